"""One game of the oracle: changes and questions that a seed gives, against a server that may be opened anew in between.

What was done is kept as it is done, a line of JSON each: on a wrong answer the file's place is in the error, and
`Game.again` plays the lines of a file instead of a seed's. Questions of one time go out together, several at once, as
those of clients do.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tests.queries.conftest import Desk
from tests.queries.oracle.naive import Document, Question, answer, groups, sort_key
from tests.queries.oracle.questions import Chance

QUESTIONS = 12
Step = tuple[str, Any]


class Game:
    """The documents as they must be, and what has happened."""

    def __init__(self, seed: int, history: Path, at_once: int = 4) -> None:
        self.seed = seed
        self.chance = Chance(seed)
        self.history = history
        self.kept: dict[str, Document] = {}
        self._at_once = at_once
        self._lines = history.open("w")

    async def round(self, desk: Desk) -> None:
        """What happens between two openings."""
        self.note("open", None)
        for _ in range(self.chance.random.randrange(1, 3)):
            await self.change(desk, self.commands())
            await self.ask(desk, [self.chance.question(list(self.kept)) for _ in range(QUESTIONS)])

    def note(self, kind: str, what: Any) -> None:
        self._lines.write(json.dumps([kind, what]) + "\n")
        self._lines.flush()

    # ---- steps

    def commands(self) -> list[dict[str, Any]]:
        """Put some documents, new and known ones, and delete some; others come from and go to Others."""
        commands: list[dict[str, Any]] = []
        pick, touched = self.chance.random, set()
        for _ in range(pick.randrange(1, 30)):
            id = f"things/{pick.randrange(50)}"
            if id in touched:
                continue
            touched.add(id)
            if id in self.kept and pick.random() < 0.3:
                commands.append({"Type": "DELETE", "Id": id})
                if pick.random() < 0.5:
                    commands.append(put(id, "Others", self.chance.document()))
            else:
                if id not in self.kept:
                    commands.append({"Type": "DELETE", "Id": id})
                commands.append(put(id, "Things", self.chance.document()))
        return commands

    async def change(self, desk: Desk, commands: list[dict[str, Any]]) -> None:
        """All in one batch."""
        self.note("change", commands)
        await desk.api.json("POST", "/databases/db/bulk_docs", {"Commands": commands}, 201)
        for each in commands:
            self.kept.pop(each["Id"], None)
            if each["Type"] == "PUT" and each["Document"]["@metadata"]["@collection"] == "Things":
                self.kept[each["Id"]] = {k: v for k, v in each["Document"].items() if k != "@metadata"}

    async def ask(self, desk: Desk, questions: list[Question]) -> None:
        """Some questions, a few at once; each answer must be that of looking at everything."""
        self.note("ask", [asdict(each) for each in questions])
        for start in range(0, len(questions), self._at_once):
            part = questions[start : start + self._at_once]
            answers = await asyncio.gather(*(desk.ask(each.text, WaitForNonStaleResults=True) for each in part))
            for question, found in zip(part, answers, strict=True):
                try:
                    compare(question, found, self.kept)
                except AssertionError as error:
                    text = f"seed {self.seed}, history in {self.history}: {question.text}"
                    raise AssertionError(f"{text} ({found['IndexName']})\n{error}") from error

    async def again(self, desk: Desk, steps: Iterable[Step]) -> None:
        """Steps of a history up to the next opening."""
        for kind, what in steps:
            if kind == "change":
                await self.change(desk, what)
            else:
                await self.ask(desk, [question_from(each) for each in what])


def put(id: str, collection: str, document: Document) -> dict[str, Any]:
    return {"Type": "PUT", "Id": id, "Document": {**document, "@metadata": {"@collection": collection}}}


def question_from(told: dict[str, Any]) -> Question:
    """A question as it was before it became JSON, but for tuples, which nothing minds."""
    order = tuple((path, down) for path, down in told["order"])
    return Question(**{**told, "order": order, "fields": tuple(told["fields"]), "group": tuple(told["group"])})


def rounds_of(history: Path) -> list[list[Step]]:
    """The steps of a history, by opening."""
    rounds: list[list[Step]] = []
    for line in history.read_text().splitlines():
        kind, what = json.loads(line)
        if kind == "open":
            rounds.append([])
        else:
            rounds[-1].append((kind, what))
    return rounds


def compare(question: Question, found: Any, kept: dict[str, Document]) -> None:
    """Raises: AssertionError, unless the answer is that of a loop over all documents."""
    if question.group:
        expected = groups(question, kept)
        given = {
            json.dumps([each[path] for path in question.group]): (each["Many"], each.get("Total") or 0)
            for each in found["Results"]
        }
        assert given.keys() == expected.keys(), (given, expected)
        for key, (many, total) in expected.items():
            assert given[key] == (many, pytest.approx(total)), key
        return
    ids = [each["@metadata"]["@id"] for each in found["Results"]]
    expected_ids = answer(question, kept)
    assert found["TotalResults"] == len(expected_ids), sorted(set(ids) ^ set(expected_ids))
    end = None if question.take is None else question.skip + question.take
    page = expected_ids[question.skip : end]
    assert len(ids) == len(page) == len(set(ids)) and set(ids) <= set(expected_ids), (ids, page)
    for each in found["Results"]:
        told = {name: value for name, value in each.items() if name != "@metadata"}
        assert told == kept[each["@metadata"]["@id"]], (told, kept[each["@metadata"]["@id"]])
    for path, descending in question.order:
        keys = [[sort_key(kept[id], path, descending) for id in each] for each in (ids, page)]
        assert keys[0] == keys[1], (path, keys)
