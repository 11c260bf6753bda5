"""Random documents, questions, changes and restarts over a real server: answers equal those of a naive loop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop

from pynori.config import Settings
from pynori.http.listener import listen
from pynori.server.server import Server
from tests.http.conftest import Api
from tests.queries.conftest import Desk
from tests.queries.oracle.naive import Document, Question, answer, groups, sort_key
from tests.queries.oracle.questions import Chance

ROUNDS = 4
QUESTIONS = 12


@asynccontextmanager
async def running(folder: Path, *, fresh: bool) -> AsyncIterator[Desk]:
    """A server over a folder, with its database."""
    server = await Server.start(Settings(data_dir=folder))
    listener = await listen(server, "127.0.0.1", 0)
    server.announce(listener.url, "tcp://127.0.0.1:4711")
    try:
        api = Api(server, listener)
        if fresh:
            await api.json("PUT", "/admin/databases?name=db&replicationFactor=1", {"DatabaseName": "db"}, 201)
        yield Desk(api)
    finally:
        listener.close()
        await server.stop()


async def change(desk: Desk, chance: Chance, kept: dict[str, Document]) -> None:
    """Put some documents, new and known ones, and delete some, in one batch; others come from and go to Others."""
    commands: list[dict[str, Any]] = []
    touched = set()
    for _ in range(chance.random.randrange(1, 30)):
        id = f"things/{chance.random.randrange(50)}"
        if id in touched:
            continue
        touched.add(id)
        if id in kept and chance.random.random() < 0.3:
            commands.append({"Type": "DELETE", "Id": id})
            del kept[id]
            if chance.random.random() < 0.5:
                document = {**chance.document(), "@metadata": {"@collection": "Others"}}
                commands.append({"Type": "PUT", "Id": id, "Document": document})
        else:
            if id not in kept:
                commands.append({"Type": "DELETE", "Id": id})
            kept[id] = chance.document()
            document = {**kept[id], "@metadata": {"@collection": "Things"}}
            commands.append({"Type": "PUT", "Id": id, "Document": document})
    await desk.api.json("POST", "/databases/db/bulk_docs", {"Commands": commands}, 201)


async def compare(desk: Desk, question: Question, kept: dict[str, Document], seed: int) -> None:
    found = await desk.ask(question.text, WaitForNonStaleResults=True)
    context = (seed, question.text)
    if question.group:
        expected = groups(question, kept)
        given = {
            json.dumps([each[path] for path in question.group]): (each["Many"], each.get("Total") or 0)
            for each in found["Results"]
        }
        assert given.keys() == expected.keys(), (*context, given, expected)
        for key, (many, total) in expected.items():
            assert given[key] == (many, pytest.approx(total)), (*context, key)
        return
    ids = [each["@metadata"]["@id"] for each in found["Results"]]
    expected_ids = answer(question, kept)
    assert found["TotalResults"] == len(expected_ids), (*context, sorted(set(ids) ^ set(expected_ids)))
    end = None if question.take is None else question.skip + question.take
    page = expected_ids[question.skip : end]
    assert len(ids) == len(page) == len(set(ids)) and set(ids) <= set(expected_ids), (*context, ids, page)
    for path, descending in question.order:
        keys = [[sort_key(kept[id], path, descending) for id in each] for each in (ids, page)]
        assert keys[0] == keys[1], (*context, path, keys)


@pytest.mark.parametrize("seed", range(4))
def test_answers_equal_those_of_looking_at_everything(seed: int, tmp_path: Path) -> None:
    """Whatever is asked after whatever changes and restarts, the answer is that of a loop over all documents."""

    async def run() -> None:
        chance = Chance(seed)
        kept: dict[str, Document] = {}
        for number in range(ROUNDS):
            async with running(tmp_path, fresh=number == 0) as desk:
                for _ in range(chance.random.randrange(1, 3)):
                    await change(desk, chance, kept)
                    for _ in range(QUESTIONS):
                        await compare(desk, chance.question(list(kept)), kept, seed)

    async def limited() -> None:
        await asyncio.wait_for(run(), 60)

    uvloop.run(limited())
