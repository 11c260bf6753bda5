"""Queries over an index's own store, without the parts that keep it up to date: answers equal the naive ones."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pynori_core.command import Batch
from pynori_core.document_snapshot import DocumentSnapshot
from pynori_core.document_writer import DocumentWriter
from pynori_core.index_feed import FieldPaths
from pynori_core.index_store import IndexStore
from pynori_core.items import DocumentStore

from pynori.queries.indexed import IndexedQuery, IndexView
from pynori.queries.plan import plan
from pynori.queries.request import QueryRequest
from pynori.queries.values import Values
from pynori.rql.parser import parse
from pynori.runtime import codecs  # noqa: F401  (hands the engine its LZ4)
from pynori.text.analyzers import find_analyzer
from tests.queries.oracle.naive import Document, answer, sort_key
from tests.queries.oracle.questions import PATHS, Chance


class Stage:
    """Documents and an index over them, in memory."""

    def __init__(self) -> None:
        self.documents = DocumentStore.create("", bytes(16), "A", in_memory=True)
        self.writer = DocumentWriter(self.documents)
        self.index = IndexStore.create(None)
        self.kept: dict[str, Document] = {}
        self.fed = 0

    def change(self, puts: dict[str, Document], deletes: list[str] = []) -> None:  # noqa: B006
        batch = Batch()
        for id, document in puts.items():
            batch.put(id, json.dumps({**document, "@metadata": {"@collection": "Things"}}).encode())
            self.kept[id] = document
        for id in deletes:
            batch.delete(id)
            del self.kept[id]
        self.writer.execute(batch)
        snapshot = DocumentSnapshot(self.documents)
        with self.index.write() as writer:
            fields = [(writer.field(path), path) for path in PATHS]
            fields += [(writer.field(f"exact({path})", exact=True), path) for path in PATHS]
            fed = writer.feed(snapshot, "Things", self.fed, FieldPaths(fields))
            assert not fed.more and not fed.errors
            writer.feed_tombstones(snapshot, "Things", self.fed)
            self.fed = snapshot.counts()[2]
        snapshot.close()

    def ask(self, text: str, **parameters: Any) -> tuple[int, list[str]]:
        """(total, ids) of a query."""
        request = QueryRequest(text, parameters)
        values = Values(parameters, datetime(2026, 1, 1, tzinfo=UTC))
        planned = plan(parse(text), request, values)
        documents = DocumentSnapshot(self.documents)
        with self.index.read() as snapshot:
            view = IndexView("I", snapshot, True, False, None, lambda name: find_analyzer("StandardAnalyzer", name))
            query = IndexedQuery(planned, view, documents, values, lambda pattern, texts: [], once=True)
            found, _ = query.found(planned.page)
            ids = [row.id for row in found.rows]
        documents.close()
        return found.total, ids

    def close(self) -> None:
        self.writer.close()
        self.documents.close()
        self.index.close()


@pytest.mark.parametrize("seed", range(12))
def test_answers_equal_those_of_looking_at_every_document(seed: int) -> None:
    """Random questions after random changes give what a loop over all documents gives."""
    chance, stage = Chance(seed), Stage()
    for _ in range(4):
        puts = {f"things/{chance.random.randrange(60)}": chance.document() for _ in range(25)}
        gone = [id for id in stage.kept if id not in puts and chance.random.random() < 0.2]
        stage.change(puts, gone)
        for _ in range(40):
            question = chance.question(list(stage.kept))
            if question.group:
                continue
            expected = answer(question, stage.kept)
            total, found = stage.ask(question.text)
            assert total == len(expected), (seed, question.text, sorted(set(found) ^ set(expected)))
            end = None if question.take is None else question.skip + question.take
            page = expected[question.skip : end]
            assert len(found) == len(page) == len(set(found)), (seed, question.text)
            assert set(found) <= set(expected), (seed, question.text)
            for path, descending in question.order:
                keys = [[sort_key(stage.kept[id], path, descending) for id in ids] for ids in (found, page)]
                assert keys[0] == keys[1], (seed, question.text, found, page)
    stage.close()
