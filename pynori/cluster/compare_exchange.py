"""Compare-exchange values, and transactions that the whole cluster agrees on: what their commands do to the state.

A value stands under a key, which has no case, with the raft index of the command that wrote it last. To change it is to
name that index, 0 for "must not exist", so that of several who try one wins and the others learn whom they lost to.
A value may say when it expires; then it lies in a second table by that time, as long as it is that value, and goes with
one of the commands by which the leader has removed what had expired when it looked.

A cluster-wide transaction changes such values and documents, all or nothing. Its documents are guarded by values of
their own, `rvn-atomic/<id>`, whose index travels in the document's change vector ("TRXN:<index>-<id of the database's
transactions>"). What it does to documents is kept under its raft index until each instance of the database has applied
it, in the order of the indexes; they get the change vector "RAFT:<count>-<id of the group>", where `count` numbers the
document commands of all such transactions of the database.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from pynori import limits
from pynori.cluster.database_topology import instances
from pynori.errors import (
    ClusterTransactionConcurrency,
    CompareExchangeKeyTooBig,
    DatabaseDoesNotExist,
    InvalidArgument,
    LimitExceeded,
)

if TYPE_CHECKING:
    from pynori.cluster.commands import Fields, View

GUARD_PREFIX = "rvn-atomic/"
TABLE = "compare_exchange"
EXPIRY = "compare_exchange_expiry"
_GROUP_ID_SIZE = 22  # characters of base64, among which a "/" may be


class Stored(msgspec.Struct, frozen=True):
    """A value as it is kept; `value` is the JSON text that was given: an object with "Object" and "@metadata"."""

    index: int
    key: str  # as it was spelt when it was written
    value: bytes


class Outcome(msgspec.Struct, frozen=True):
    """What became of one put or delete."""

    index: int  # of the command if it succeeded, else of the value that is there; 0: none
    value: bytes | None  # after a put the new one, after a delete the old one, after a failure the present one
    successful: bool


class Transaction(msgspec.Struct, frozen=True):
    """Document commands of one cluster-wide transaction, for the instances of the database to apply."""

    index: int
    first: int  # number of its first document command among those of all transactions of the database
    guarded: bool
    commands: list[DocumentCommand]
    ticks: int = 0  # when it was proposed, in units of 100 ns since the year 1; 0: of an earlier version, not known


class DocumentCommand(msgspec.Struct, frozen=True):
    """A put, or a delete when `document` is None."""

    id: str
    document: str | None


class Cell(msgspec.Struct, array_like=True, frozen=True):
    """The bytes of a stored value."""

    index: int
    key: str
    value: msgspec.Raw
    expires: int = 0  # ticks of 100 ns since the year 1; 0: never


_decode_cell = msgspec.json.Decoder(Cell).decode
_decode_transaction = msgspec.json.Decoder(Transaction).decode


def group_id(record: Mapping[str, Any]) -> str:
    """The id under which the values of a database are kept: another one of the same name has another."""
    return str(record["Topology"]["DatabaseTopologyIdBase64"])


def expiry_ticks(key: str) -> int:
    """When the value expires that a key of the table EXPIRY stands for."""
    return int(key.partition("/")[0], 16)


def check_key(key: str) -> str:
    """The key itself when it may be one. Raises: InvalidArgument, CompareExchangeKeyTooBig."""
    if not key:
        raise InvalidArgument("A compare exchange key must not be empty")
    size_bytes = len(key.encode("utf-8", "surrogatepass"))
    if size_bytes > limits.COMPARE_EXCHANGE_KEY_SIZE_BYTES_MAX:
        raise CompareExchangeKeyTooBig(
            f"The compare exchange key '{key[:40]}...' has {size_bytes} bytes, at most "
            f"COMPARE_EXCHANGE_KEY_SIZE_BYTES_MAX = {limits.COMPARE_EXCHANGE_KEY_SIZE_BYTES_MAX} are allowed"
        )
    return key


def place(record: Mapping[str, Any], key: str) -> str:
    """Where a value of a database lies in the table."""
    return f"{group_id(record)}/{key.lower()}"


def transaction_place(record: Mapping[str, Any], index: int) -> str:
    return f"{group_id(record)}/{index:016x}"


def read_stored(data: bytes) -> Stored:
    cell = _decode_cell(data)
    return Stored(cell.index, cell.key, bytes(cell.value))


def read_transaction(data: bytes) -> Transaction:
    return _decode_transaction(data)


# ---------------------------------------------------------------- commands


def put(view: View, fields: Fields, index: int) -> Outcome:
    """As `put_until`, of an earlier version: what is put never expires."""
    return _put(view, fields, index, 0)


def put_until(view: View, fields: Fields, index: int) -> Outcome:
    """fields: database, key, index (expected), value (JSON text), expires (ticks; 0: never)."""
    return _put(view, fields, index, fields["expires"])


def _put(view: View, fields: Fields, index: int, expires: int) -> Outcome:
    where = place(_record(view, fields), fields["key"])
    current = _find(view, where)
    if (current.index if current else 0) != fields["index"]:
        return _refused(current)
    _store(view, where, fields["key"], index, fields["value"], expires)
    return Outcome(index, fields["value"].encode(), True)


def delete(view: View, fields: Fields, index: int) -> Outcome:
    """fields: database, key, index (expected). Nothing to delete is a success."""
    where = place(_record(view, fields), fields["key"])
    current = _find(view, where)
    if current is None:
        return Outcome(index, None, True)
    if current.index != fields["index"]:
        return _refused(current)
    _remove(view, where)
    return Outcome(index, current.value, True)


def transact(view: View, fields: Fields, index: int) -> None:
    """As `transact_at`, of an earlier version.

    Each instance gives its documents a time of its own, and the keys of their guards are spelt as their ids are.
    """
    _transact(view, fields, index, 0)


def transact_at(view: View, fields: Fields, index: int) -> None:
    """fields: database, guarded, changes [{key, index, value or null, expires}], documents [{id, guard, document or
    null}], ticks: when the transaction was proposed; its documents have that time everywhere.

    `guard` is the index at which the transaction saw the document's guard, 0: it saw none.
    Raises: ClusterTransactionConcurrency, with everything that contradicts, and nothing is changed.
    """
    _transact(view, fields, index, fields["ticks"])


def _transact(view: View, fields: Fields, index: int, ticks: int) -> None:
    record = _record(view, fields)
    guarded: bool = fields["guarded"]
    violations = [*_check_changes(view, record, fields["changes"])]
    if guarded:
        violations += _check_guards(view, record, fields["documents"])
    if violations:
        raise ClusterTransactionConcurrency(
            "Failed to execute cluster transaction due to the following issues: "
            + ", ".join(message for message, _ in violations),
            [violation for _, violation in violations],
        )
    for change in fields["changes"]:
        where = place(record, change["key"])
        if change["value"] is None:
            _remove(view, where)
        else:
            _store(view, where, change["key"], index, change["value"], change.get("expires", 0))
    documents = fields["documents"]
    if not documents:
        return
    key = group_id(record)
    count: int = view.get("cluster_transactions", key) or 0
    view.put("cluster_transactions", key, count + len(documents))
    commands = [DocumentCommand(each["id"], each["document"]) for each in documents]
    transaction = Transaction(index, count + 1, guarded, commands, ticks)
    view.put("transactions", transaction_place(record, index), msgspec.json.encode(transaction))
    if not guarded:
        return
    for each in documents:
        where = place(record, GUARD_PREFIX + each["id"])
        if each["document"] is None:
            _remove(view, where)
        else:
            value = msgspec.json.encode({"Object": {"Id": each["id"]}}).decode()
            id = each["id"].lower() if ticks else each["id"]
            _store(view, where, GUARD_PREFIX + id, index, value, 0)


def applied(view: View, fields: Fields, index: int) -> None:
    """All instances of a database have applied its transactions up to `until`. fields: database, until."""
    record = _record(view, fields)
    for key in view.keys("transactions", f"{group_id(record)}/"):
        if int(key.rpartition("/")[2], 16) <= fields["until"]:
            view.delete("transactions", key)


def applied_on(view: View, fields: Fields, index: int) -> None:
    """An instance has applied the transactions up to `until`. fields: database, node, until.

    What all instances have applied goes. A new instance gets older ones as documents, from its mentor.
    """
    record = _record(view, fields)
    key = group_id(record)
    known: dict[str, int] = view.get("transactions_applied", key) or {}
    view.put("transactions_applied", key, {**known, fields["node"]: max(fields["until"], known.get(fields["node"], 0))})
    drop_applied(view, record)


def drop_applied(view: View, record: Mapping[str, Any]) -> None:
    """Forget the transactions that all present instances have applied."""
    key = group_id(record)
    known: dict[str, int] = view.get("transactions_applied", key) or {}
    if not known:
        return
    nodes = instances(record["Topology"])
    still = {tag: until for tag, until in known.items() if tag in nodes}
    if still != known:
        view.put("transactions_applied", key, still)
    until = min(still.get(tag, 0) for tag in nodes)
    for place_of_one in view.keys("transactions", f"{key}/") if until else ():
        if int(place_of_one.rpartition("/")[2], 16) <= until:
            view.delete("transactions", place_of_one)


def expire(view: View, fields: Fields, index: int) -> int:
    """Remove values that have expired, the oldest first. fields: until (ticks), count_max. Returns how many went."""
    count = 0
    for key in view.first_keys(EXPIRY, "", fields["count_max"]):
        if expiry_ticks(key) > fields["until"]:
            break
        where = key.partition("/")[2]
        count += 1
        if view.get("purging", _group_of(where)):
            view.delete(TABLE, where)  # its database is gone, and no values are counted any more
            view.delete(EXPIRY, key)
        else:
            _remove(view, where)
    return count


def forget_database(view: View, record: Mapping[str, Any]) -> None:
    """A database goes. Its values, of which there may be many, follow in steps: see `purge`."""
    group = group_id(record)
    if view.get("compare_exchange_counts", group) or view.get("cluster_transactions", group):
        view.put("purging", group, True)
    view.delete("cluster_transactions", group)
    view.delete("compare_exchange_counts", group)
    view.delete("transactions_applied", group)


def purge(view: View, fields: Fields, index: int) -> bool:
    """Remove some of the values of a database that is gone. fields: group. Returns whether that was all."""
    group: str = fields["group"]
    left = limits.COMPARE_EXCHANGE_PURGE_STEP
    for table in (TABLE, "transactions"):
        for key in view.first_keys(table, f"{group}/", left):
            if table == TABLE:
                _forget_expiry(view, key)
            view.delete(table, key)
            left -= 1
    if left:
        view.delete("purging", group)
    return left > 0


# ---------------------------------------------------------------- what they are made of


def _check_changes(
    view: View, record: Mapping[str, Any], changes: list[dict[str, Any]]
) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for change in changes:
        current = _find(view, place(record, change["key"]))
        actual = current.index if current else 0
        if actual != change["index"]:
            doing = "deleting" if change["value"] is None else "putting"
            found.append((
                f"Concurrency check failed for {doing} the key '{change['key']}'. "
                f"Requested index: {change['index']}, actual index: {actual}",
                _violation(change["key"], "CompareExchange", change["index"], actual),
            ))  # fmt: skip
    return found


def _check_guards(
    view: View, record: Mapping[str, Any], documents: list[dict[str, Any]]
) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for each in documents:
        current = _find(view, place(record, GUARD_PREFIX + each["id"]))
        actual = current.index if current else 0
        if actual != each["guard"]:
            found.append((
                f"Guard compare exchange value '{GUARD_PREFIX}{each['id']}' index does not match the transaction "
                f"index's {each['guard']} change vector on document '{each['id']}', actual index: {actual}",
                _violation(each["id"], "Document", each["guard"], actual),
            ))  # fmt: skip
    return found


def _violation(id: str, kind: str, expected: int, actual: int) -> dict[str, Any]:
    return {"Id": id, "Type": kind, "Expected": expected, "Actual": actual}


def _record(view: View, fields: Fields) -> Mapping[str, Any]:
    record: Mapping[str, Any] | None = view.get("records", fields["database"].lower())
    if record is None:
        raise DatabaseDoesNotExist(fields["database"])
    return record


def _find(view: View, where: str) -> Stored | None:
    data = view.get(TABLE, where)
    return None if data is None else read_stored(data)


def _refused(current: Stored | None) -> Outcome:
    return Outcome(current.index, current.value, False) if current else Outcome(0, None, False)


def _store(view: View, where: str, key: str, index: int, value: str, expires: int) -> None:
    data = value.encode()
    if len(data) > limits.COMPARE_EXCHANGE_VALUE_SIZE_BYTES_MAX:
        raise LimitExceeded(
            f"COMPARE_EXCHANGE_VALUE_SIZE_BYTES_MAX: the value of '{key}' is longer than "
            f"{limits.COMPARE_EXCHANGE_VALUE_SIZE_BYTES_MAX} bytes"
        )
    if view.get(TABLE, where) is None:
        _count(view, where, 1)
    _forget_expiry(view, where)
    view.put(TABLE, where, msgspec.json.encode(Cell(index, key, msgspec.Raw(data), expires)))
    if expires:
        view.put(EXPIRY, _expiry_place(expires, where), b"1")


def _remove(view: View, where: str) -> None:
    if view.get(TABLE, where) is not None:
        _count(view, where, -1)
        _forget_expiry(view, where)
        view.delete(TABLE, where)


def _forget_expiry(view: View, where: str) -> None:
    """The value is about to go, or to be another one."""
    data = view.get(TABLE, where)
    expires = 0 if data is None else _decode_cell(data).expires
    if expires:
        view.delete(EXPIRY, _expiry_place(expires, where))


def _expiry_place(expires: int, where: str) -> str:
    return f"{expires:016x}/{where}"


def _group_of(where: str) -> str:
    return where[: where.index("/", _GROUP_ID_SIZE)]


def _count(view: View, where: str, change: int) -> None:
    group = _group_of(where)
    view.put("compare_exchange_counts", group, (view.get("compare_exchange_counts", group) or 0) + change)
