"""The official Python client's indexes, unmodified, against a real server process."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from ravendb import AbstractIndexCreationTask, DocumentStore, IndexDefinition
from ravendb.documents.indexes.definitions import (
    FieldIndexing,
    IndexFieldOptions,
    IndexLockMode,
    IndexPriority,
    IndexRunningStatus,
)
from ravendb.documents.operations.indexes import (
    DeleteIndexOperation,
    GetIndexErrorsOperation,
    GetIndexingStatusOperation,
    GetIndexNamesOperation,
    GetIndexOperation,
    GetIndexStatisticsOperation,
    GetTermsOperation,
    IndexHasChangedOperation,
    PutIndexesOperation,
    ResetIndexOperation,
    SetIndexesLockOperation,
    SetIndexesPriorityOperation,
    StartIndexOperation,
    StopIndexOperation,
)
from ravendb.documents.operations.statistics import GetStatisticsOperation


class Order:
    def __init__(self, company: str | None = None, product: str | None = None, total: float | None = None):
        self.company, self.product, self.total = company, product, total


class Company:
    def __init__(self, name: str | None = None):
        self.name = name


class Sales:
    def __init__(self, product: str | None = None, total: float | None = None, count: int | None = None):
        self.product, self.total, self.count = product, total, count


class OrdersByCompany(AbstractIndexCreationTask):
    def __init__(self) -> None:
        super().__init__()
        self.map = (
            'from o in docs.Orders let c = LoadDocument(o.company, "Companies") '
            "select new { company = c.name, o.product, o.total }"
        )
        self._index("company", FieldIndexing.SEARCH)


class SalesByProduct(AbstractIndexCreationTask):
    def __init__(self) -> None:
        super().__init__()
        self.map = "docs.Orders.Select(o => new { product = o.product, total = o.total, count = 1 })"
        self._reduce = (
            "from r in results group r by r.product into g "
            "select new { product = g.Key, total = g.Sum(x => x.total), count = g.Sum(x => x.count) }"
        )


def wait(store: DocumentStore) -> None:
    end = time.monotonic() + 20
    while any(each.stale for each in store.maintenance.send(GetStatisticsOperation()).indexes):
        assert time.monotonic() < end, "an index stays stale"
        time.sleep(0.01)


@pytest.fixture
def orders(store: DocumentStore) -> DocumentStore:
    """Two indexes over three orders and a company, up to date."""
    OrdersByCompany().execute(store)
    SalesByProduct().execute(store)
    with store.open_session() as session:
        session.store(Company("Fine Cheese"), "companies/1")
        for number, (product, total) in enumerate((("milk", 3.0), ("milk", 4.0), ("bread", 2.5))):
            session.store(Order("companies/1", product, total), f"orders/{number}")
        session.save_changes()
    wait(store)
    return store


def test_map_over_loaded_documents(orders: DocumentStore) -> None:
    """Orders are found by a word of their company's name, and follow when the company is renamed."""
    with orders.open_session() as session:
        found = list(session.query_index_type(OrdersByCompany, Order).search("company", "cheese").order_by("total"))
        assert [each.total for each in found] == [2.5, 3.0, 4.0]
        session.load("companies/1", Company).name = "Old Wine"
        session.advanced.wait_for_indexes_after_save_changes(
            lambda builder: builder.with_timeout(timedelta(seconds=15)).throw_on_timeout(True)
        )
        session.save_changes()
    with orders.open_session() as session:
        assert not list(session.query_index_type(OrdersByCompany, Order).search("company", "cheese"))
        assert len(list(session.query_index_type(OrdersByCompany, Order).search("company", "wine"))) == 3


def test_map_reduce(orders: DocumentStore) -> None:
    """Groups are results, and follow their orders."""
    with orders.open_session() as session:
        session.delete("orders/0")
        session.save_changes()
    wait(orders)
    with orders.open_session() as session:
        query = session.query_index_type(SalesByProduct, Sales).order_by_descending("total").of_type(Sales)
        assert [(each.product, each.total, each.count) for each in query] == [("milk", 4, 1), ("bread", 2.5, 1)]


def test_management(orders: DocumentStore) -> None:
    """Statistics, terms, lock, priority, pause, reset, errors and deletion as the client's operations ask for them."""
    send = orders.maintenance.send
    name = OrdersByCompany().index_name
    assert send(GetIndexStatisticsOperation(name)).entries_count == 3
    assert sorted(send(GetTermsOperation(name, "product", None))) == ["bread", "milk"]
    send(SetIndexesLockOperation(IndexLockMode.LOCKED_IGNORE, name))
    send(SetIndexesPriorityOperation(IndexPriority.LOW, name))
    shown = send(GetIndexOperation(name))
    assert (shown.lock_mode, shown.priority) == (IndexLockMode.LOCKED_IGNORE, IndexPriority.LOW)
    send(StopIndexOperation(name))
    status = {each.name: each.status for each in send(GetIndexingStatusOperation()).indexes}
    assert status[name] == IndexRunningStatus.PAUSED
    send(StartIndexOperation(name))
    send(ResetIndexOperation(name))
    wait(orders)
    assert send(GetIndexStatisticsOperation(name)).entries_count == 3
    assert all(not each.errors for each in send(GetIndexErrorsOperation()))
    send(DeleteIndexOperation(name))
    assert send(GetIndexNamesOperation(0, 10)) == [SalesByProduct().index_name]


def test_deploying_again_and_changing(store: DocumentStore) -> None:
    """The same definition is no change; a changed one replaces the index when it has caught up."""
    definition = IndexDefinition(name="People")
    definition.maps = ["from u in docs.Users select new { u.name }"]
    store.maintenance.send(PutIndexesOperation(definition))
    assert not store.maintenance.send(IndexHasChangedOperation(definition))
    definition.fields = {"name": IndexFieldOptions(indexing=FieldIndexing.EXACT)}
    assert store.maintenance.send(IndexHasChangedOperation(definition))
    store.maintenance.send(PutIndexesOperation(definition))
    wait(store)
    assert store.maintenance.send(GetIndexNamesOperation(0, 10)) == ["People"]
    assert not store.maintenance.send(IndexHasChangedOperation(definition))


def test_documents_that_change_their_collection(orders: DocumentStore) -> None:
    """What is deleted and stored again in another collection is found there, and in no index of the first."""
    with orders.open_session() as session:
        assert len(list(session.query(object_type=Order).where_equals("product", "milk"))) == 2
        session.delete("orders/0")
        session.save_changes()
    with orders.open_session() as session:
        session.store(Company("Milk"), "orders/0")
        session.save_changes()
    wait(orders)
    with orders.open_session() as session:
        query = session.query_index_type(SalesByProduct, Sales).order_by_descending("total").of_type(Sales)
        assert [(each.product, each.total, each.count) for each in query] == [("milk", 4, 1), ("bread", 2.5, 1)]
        assert [each.total for each in session.query(object_type=Order).where_equals("product", "milk")] == [4.0]
        assert len(list(session.query(object_type=Order))) == 2
        assert {each.name for each in session.query(object_type=Company)} == {"Fine Cheese", "Milk"}
        assert [each.name for each in session.query(object_type=Company).where_equals("name", "milk")] == ["Milk"]
