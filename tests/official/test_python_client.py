"""The official Python client, unmodified, against a real server process: what a first application does."""

import json
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
import requests
from ravendb import DocumentStore
from ravendb.documents.operations.compare_exchange.operations import (
    GetCompareExchangeValueOperation,
    GetCompareExchangeValuesOperation,
    PutCompareExchangeValueOperation,
)
from ravendb.documents.operations.identities import GetIdentitiesOperation, NextIdentityForOperation
from ravendb.documents.operations.statistics import GetCollectionStatisticsOperation, GetStatisticsOperation
from ravendb.documents.session.misc import SessionOptions, TransactionMode
from ravendb.exceptions.exceptions import DatabaseDoesNotExistException
from ravendb.exceptions.raven_exceptions import ConcurrencyException
from ravendb.json.metadata_as_dictionary import MetadataAsDictionary
from ravendb.serverwide.database_record import DatabaseRecord
from ravendb.serverwide.operations.common import (
    CreateDatabaseOperation,
    DeleteDatabaseOperation,
    GetDatabaseNamesOperation,
    GetDatabaseRecordOperation,
)

CLUSTER_WIDE = SessionOptions(transaction_mode=TransactionMode.CLUSTER_WIDE)


class User:
    def __init__(self, name: str | None = None, age: int | None = None, friend: str | None = None):
        self.name, self.age, self.friend = name, age, friend


def test_store_load_change_delete(store: DocumentStore) -> None:
    """A document goes through its life in sessions, and its change vector moves with each save."""
    with store.open_session() as session:
        session.store(User("Ada", 36), "users/1")
        session.save_changes()
    vectors = []
    for age in (37, 38):
        with store.open_session() as session:
            user = session.load("users/1", User)
            vectors.append(session.advanced.get_change_vector_for(user))
            user.age = age
            session.save_changes()
    with store.open_session() as session:
        user = session.load("USERS/1", User)
        assert (user.name, user.age) == ("Ada", 38)
        assert session.advanced.get_metadata_for(user)["@collection"] == "Users"
        vectors.append(session.advanced.get_change_vector_for(user))
        session.delete(user)
        session.save_changes()
    assert len(set(vectors)) == 3 and all(vector.startswith("A:") for vector in vectors)
    with store.open_session() as session:
        assert session.load("users/1", User) is None


def test_ids_come_from_ranges_slashes_and_identities(store: DocumentStore) -> None:
    """HiLo ids are consecutive from 1, `users/` is completed by the server, `users|` counts by the cluster."""
    with store.open_session() as session:
        users = [User(str(number)) for number in range(3)]
        for user in users:
            session.store(user)
        session.save_changes()
        assert [session.advanced.get_document_id(user) for user in users] == ["users/1-A", "users/2-A", "users/3-A"]
    with store.open_session() as session:
        by_server, by_cluster = User("server"), User("cluster")
        session.store(by_server, "users/")
        session.store(by_cluster, "people|")
        session.save_changes()
        assert session.advanced.get_document_id(by_server).startswith("users/00000000000000000")
        assert session.advanced.get_document_id(by_cluster) == "people/1"
    assert store.maintenance.send(NextIdentityForOperation("people|")) == 2
    assert store.maintenance.send(GetIdentitiesOperation()) == {"people|": 2}


def test_concurrency_of_two_sessions(store: DocumentStore) -> None:
    """The slower of two sessions fails whole: the other document of its batch is not stored either."""
    with store.open_session() as session:
        session.store(User("Ada"), "users/1")
        session.save_changes()
    with store.open_session() as first, store.open_session() as second:
        for session in (first, second):
            session.advanced.use_optimistic_concurrency = True
        mine, theirs = first.load("users/1", User), second.load("users/1", User)
        mine.name, theirs.name = "mine", "theirs"
        first.save_changes()
        second.store(User("bystander"), "users/2")
        with pytest.raises(ConcurrencyException, match="Optimistic concurrency violation"):
            second.save_changes()
    with store.open_session() as session:
        assert session.load("users/1", User).name == "mine"
        assert session.load("users/2", User) is None


def test_includes_travel_with_the_answer(store: DocumentStore) -> None:
    """An included document costs no second request."""
    with store.open_session() as session:
        session.store(User("Bob"), "users/2")
        session.store(User("Ada", friend="users/2"), "users/1")
        session.save_changes()
    with store.open_session() as session:
        user = session.include("friend").load("users/1", User)
        user = user["users/1"] if isinstance(user, dict) else user
        assert session.load(user.friend, User).name == "Bob"
        assert session.advanced.number_of_requests == 1


def test_bulk_insert_prefix_stream_and_counts(store: DocumentStore) -> None:
    """Ten thousand documents go in through one stream, are counted, listed by prefix, and stream out again."""
    with store.bulk_insert() as bulk:
        for number in range(10_000):
            bulk.store_as(User(f"user {number}", number % 90), f"users/{number:05}")
    statistics = store.maintenance.send(GetCollectionStatisticsOperation())
    assert statistics.count_of_documents == 10_000 and statistics.collections == {"Users": 10_000}
    assert store.maintenance.send(GetStatisticsOperation()).count_of_documents == 10_000
    with store.open_session() as session:
        page = session.load_starting_with("users/0012", User, page_size=100)
        assert [user.name for user in page] == [f"user {number}" for number in range(120, 130)]
        some = session.load_starting_with("users/", User, matches="0000?", exclude="*5", start=2, page_size=3)
        assert [user.name for user in some] == ["user 2", "user 3", "user 4"]
        names = [result.document.name for result in session.advanced.stream_starting_with("users/", object_type=User)]
        assert len(names) == 10_000 and names[9_999] == "user 9999"


def test_lazy_loads_share_one_request(store: DocumentStore) -> None:
    """Two lazy loads become one multi_get."""
    with store.open_session() as session:
        session.store(User("Ada"), "users/1")
        session.store(User("Bob"), "users/2")
        session.save_changes()
    with store.open_session() as session:
        ada = session.advanced.lazily.load("users/1", User)
        missing = session.advanced.lazily.load("users/3", User)
        assert ada.value.name == "Ada"
        assert missing.value is None
        assert session.advanced.number_of_requests == 1


def test_unchanged_documents_answer_304(store: DocumentStore) -> None:
    """A read with the document's change vector is answered without a body; a changed or missing one is told apart."""
    with store.open_session() as session:
        session.store(User("Ada"), "users/1")
        session.save_changes()
    url = f"{store.urls[0]}/databases/{store.database}/docs?id=users/1"
    first = requests.get(url)
    again = requests.get(url, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    missing = requests.get(url + "0", headers={"If-None-Match": '"404 Response"'})
    assert missing.status_code == 304
    with store.open_session() as session:
        session.load("users/1", User).name = "Eva"
        session.save_changes()
    assert requests.get(url, headers={"If-None-Match": first.headers["ETag"]}).json()["Results"][0]["name"] == "Eva"


def test_numbers_and_text_come_back_as_sent(store: DocumentStore) -> None:
    """Integers, decimals, exponents and escapes keep their form; property order stays."""
    body = b'{"z":9223372036854775807,"a":1.0,"long":12345678901234567890.123456789,"e":1e400,'
    body += b'"t":"\\u00e9\\n\xf0\x9f\x98\x80"}'
    url = f"{store.urls[0]}/databases/{store.database}/docs?id=numbers/1"
    assert requests.put(url, data=body).status_code == 201
    text = requests.get(url).content
    for part in (b'"z":9223372036854775807,"a":1.0,', b'"long":12345678901234567890.123456789', b'"e":1e400'):
        assert part in text
    assert json.loads(text)["Results"][0]["t"] == "é\n😀"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"a":', "end"),
        (b'{"a":NaN}', "letter"),
        (b'{"a":"\xff"}', "UTF-8"),
        (b"[1]", "object"),
        (b'{"a":' + b"[" * 200 + b"]" * 200 + b"}", "nested deeper"),
    ],
)
def test_bad_documents_are_refused_with_position_and_reason(store: DocumentStore, body: bytes, reason: str) -> None:
    """Text that is no document is refused with a 400 that says why, and stores nothing."""
    url = f"{store.urls[0]}/databases/{store.database}/docs?id=bad/1"
    answer = requests.put(url, data=body)
    assert answer.status_code == 400
    assert reason.lower() in answer.json()["Message"].lower()
    assert requests.get(url).status_code == 404


def test_databases_are_created_listed_described_and_deleted(server_url: str) -> None:
    """The life of a database by the client's own operations; a second creation is a concurrency error."""
    with DocumentStore(server_url, "life-of-a-database") as store:
        store.initialize()
        created = store.maintenance.server.send(CreateDatabaseOperation(DatabaseRecord("life-of-a-database")))
        assert created.name == "life-of-a-database"
        assert "life-of-a-database" in store.maintenance.server.send(GetDatabaseNamesOperation(0, 100))
        assert store.maintenance.server.send(GetDatabaseRecordOperation("Life-Of-A-Database")) is not None
        with pytest.raises(ConcurrencyException, match="already exists"):
            store.maintenance.server.send(CreateDatabaseOperation(DatabaseRecord("life-of-a-database")))
        store.maintenance.server.send(DeleteDatabaseOperation("life-of-a-database", hard_delete=True))
        with pytest.raises(DatabaseDoesNotExistException), store.open_session() as session:
            session.load("users/1")


def test_concurrent_sessions_lose_nothing(store: DocumentStore) -> None:
    """Eight threads save through the client at once; every document is there afterwards."""

    def save(worker: int) -> None:
        for number in range(25):
            with store.open_session() as session:
                session.store(User(f"{worker}-{number}"), f"users/{worker}-{number}")
                session.save_changes()

    threads = [threading.Thread(target=save, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.maintenance.send(GetCollectionStatisticsOperation()).collections == {"Users": 200}


def test_unique_names_by_cluster_wide_sessions(store: DocumentStore) -> None:
    """A name is claimed together with the document that bears it; a second claim fails whole."""
    with store.open_session(session_options=CLUSTER_WIDE) as session:
        session.advanced.cluster_transaction.create_compare_exchange_value("names/ada", "users/1")
        session.store(User("ada"), "users/1")
        session.save_changes()
    with store.open_session(session_options=CLUSTER_WIDE) as session:
        session.advanced.cluster_transaction.create_compare_exchange_value("names/ada", "users/2")
        session.store(User("ada"), "users/2")
        with pytest.raises(Exception, match="Concurrency check failed for putting the key 'names/ada'"):
            session.save_changes()
    with store.open_session(session_options=CLUSTER_WIDE) as session:
        value = session.advanced.cluster_transaction.get_compare_exchange_value("names/ada", str)
        assert value.value == "users/1" and session.load("users/2", User) is None
    with store.open_session(session_options=CLUSTER_WIDE) as session:
        user = session.load("users/1", User)
        user.age = 5
        session.save_changes()
    with store.open_session() as session:
        assert session.load("users/1", User).age == 5


def test_a_value_expires(store: DocumentStore) -> None:
    """A value with @expires in its metadata is there until then, and gone soon after it; another one stays."""
    soon = datetime.now(UTC) + timedelta(seconds=1)
    for key, moment in (("soon", soon), ("late", soon + timedelta(hours=1))):
        metadata = MetadataAsDictionary({"@expires": moment.strftime("%Y-%m-%dT%H:%M:%S.%f0Z")})
        assert store.operations.send(PutCompareExchangeValueOperation(key, "x", 0, metadata)).successful
    assert set(store.operations.send(GetCompareExchangeValuesOperation(["soon", "late"], str))) == {"soon", "late"}
    deadline = time.monotonic() + 10
    while store.operations.send(GetCompareExchangeValueOperation("soon", str)) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert datetime.now(UTC) >= soon
    assert store.operations.send(GetCompareExchangeValueOperation("late", str)).value == "x"
