"""Facets, suggestions and highlights as whole answers: documents, an index over them, and what a client gets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from pynori_core.command import Batch
from pynori_core.document_snapshot import DocumentSnapshot
from pynori_core.document_writer import DocumentWriter
from pynori_core.index_feed import FieldPaths
from pynori_core.index_store import IndexStore
from pynori_core.items import DocumentStore

from pynori.queries.execute import Execution, Facts
from pynori.queries.indexed import IndexedQuery, IndexView
from pynori.queries.plan import plan
from pynori.queries.project import WholeDocuments
from pynori.queries.request import QueryRequest
from pynori.queries.rows import Row
from pynori.queries.values import Values
from pynori.rql.parser import parse
from pynori.runtime import codecs  # noqa: F401  (hands the engine its LZ4)
from pynori.runtime.clock import ManualClock
from pynori.text.analyzers import find_analyzer

FIELDS = ("Company", "Employee", "Freight", "Lines[].Product")
DOCUMENTS: dict[str, dict[str, Any]] = {
    "employees/1": {"Name": "Nancy"},
    "facets/Orders": {"Facets": [{"FieldName": "Company"}], "RangeFacets": [{"Ranges": ["Freight < 10"]}]},
    "orders/1": {"Company": "Alpha", "Employee": "employees/1", "Freight": 5, "Lines": [{"Product": "tea"}]},
    "orders/2": {"Company": "Alfa", "Employee": None, "Freight": 50, "Lines": [{"Product": "tea"}, {"Product": "rum"}]},
}


class Stage:
    """Documents and an index over them, in memory."""

    def __init__(self, documents: DocumentStore, index: IndexStore) -> None:
        self.documents = documents
        self.index = index

    def ask(self, text: str, **parameters: Any) -> Any:
        """The whole answer to a query of the index."""
        values = Values(parameters, datetime(2026, 1, 1, tzinfo=UTC))
        planned = plan(parse(text), QueryRequest(text, parameters), values)
        snapshot = self.index.read()
        view = IndexView("I", snapshot, True, False, None, lambda name: find_analyzer("StandardAnalyzer", name))
        documents = DocumentSnapshot(self.documents)
        reading = IndexedQuery(planned, view, documents, values, lambda pattern, texts: [], once=True)
        found, settled = reading.found(planned.page)
        execution = Execution(
            planned, found, settled or WholeDocuments(), Facts("I", "A", 1), documents, values, ManualClock(),
            close=snapshot.close, highlights=reading.highlightings(),
        )  # fmt: skip
        answer = json.loads(b"".join(execution.pieces()))
        execution.close()
        return answer


@contextmanager
def staged() -> Iterator[Stage]:
    store = DocumentStore.create("", bytes(16), "A", in_memory=True)
    writer = DocumentWriter(store)
    batch = Batch()
    for id, document in DOCUMENTS.items():
        collection = id.split("/")[0].capitalize()
        batch.put(id, json.dumps({**document, "@metadata": {"@collection": collection}}).encode())
    writer.execute(batch)
    with IndexStore.create(None) as index:
        snapshot = DocumentSnapshot(store)
        with index.write() as feeding:
            paths = [(feeding.field(path), path) for path in FIELDS]
            fed = feeding.feed(snapshot, "Orders", 0, FieldPaths(paths))
            assert fed.documents == 2 and not fed.errors
        snapshot.close()
        yield Stage(store, index)
    writer.close()
    store.close()


def test_facets_with_included_documents() -> None:
    """Facets come as results; including a facet's field brings the documents that its terms name."""
    with staged() as stage:
        answer = stage.ask("from index 'I' as o include o.Employee select facet(o.Employee), facet('Lines[].Product')")
        assert answer["TotalResults"] == 2
        assert [(each["Range"], each["Count"]) for each in answer["Results"][0]["Values"]] == [
            ("NULL_VALUE", 1), ("employees/1", 1)
        ]  # fmt: skip
        assert [(each["Range"], each["Count"]) for each in answer["Results"][1]["Values"]] == [("rum", 1), ("tea", 2)]
        assert answer["Includes"]["employees/1"]["Name"] == "Nancy"


def test_facets_of_a_set_up_document() -> None:
    """A set-up document is read from the same snapshot as everything else."""
    with staged() as stage:
        answer = stage.ask("from index 'I' where Freight > 1 select facet(id('facets/Orders'))")
        assert [each["Name"] for each in answer["Results"]] == ["Company", "Freight"]
        assert [each["Range"] for each in answer["Results"][0]["Values"]] == ["alfa", "alpha"]
        assert answer["Results"][1]["Values"] == [{"Name": None, "Range": "Freight < 10", "Count": 1}]


def test_suggestions() -> None:
    """Suggestions come as results."""
    with staged() as stage:
        answer = stage.ask("from index 'I' as o select suggest(o.Company, $word) as c", word="Alpa")
        assert answer["Results"] == [{"Name": "c", "Suggestions": ["alpha", "alfa"]}]


def test_like_a_document_without_analysed_fields() -> None:
    """More-like-this over whole values: the other order with the same product."""
    with staged() as stage:
        options = {"MinimumTermFrequency": 1, "MinimumDocumentFrequency": 2}
        answer = stage.ask("from index 'I' where moreLikeThis(id() = $id, $o)", id="orders/1", o=options)
        assert [each["@metadata"]["@id"] for each in answer["Results"]] == ["orders/2"]
        assert answer["Results"][0]["@metadata"]["@index-score"] > 0


def test_a_group_has_metadata() -> None:
    """A result of a reduce stands for no document and has metadata all the same: clients look into it."""
    with staged() as stage:
        documents = DocumentSnapshot(stage.documents)
        rows = [Row(documents, "", json=json) for json in (b'{"a":1}', b"{}")]
        assert WholeDocuments().render(rows) == [b'{"a":1,"@metadata":{}}', b'{"@metadata":{}}']
        documents.close()
