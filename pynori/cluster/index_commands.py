"""The commands that change the indexes of a database's record: `Indexes`, `AutoIndexes`, `IndexesHistory`.

A definition comes complete, in one form, from whoever proposes it: equal definitions are equal values here, so that
putting one again changes nothing. Lock modes are obeyed where the change is applied, since two nodes may propose at
the same time. Names of indexes are told apart without their case and keep their first spelling.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pynori import limits
from pynori.errors import DatabaseDoesNotExist, IndexDoesNotExist, LimitExceeded, OperationFailed

if TYPE_CHECKING:
    from pynori.cluster.commands import Fields, View

# Fields of a definition that change in place; by the property names of the record.
PLAIN_FIELDS = ("LockMode", "Priority", "State")


def put_index(view: View, fields: Fields, index: int) -> bool:
    """fields: database, definition, source (who deployed it), created_at. Returns whether anything changed."""
    record = _record(view, fields)
    definition: Mapping[str, Any] = fields["definition"]
    known = find_name(record["Indexes"], definition["Name"])
    if known is None:
        if len(record["Indexes"]) + len(record["AutoIndexes"]) >= limits.INDEXES_MAX:
            raise LimitExceeded(f"INDEXES_MAX: the database has {limits.INDEXES_MAX} indexes")
        name = str(definition["Name"])
    else:
        current = record["Indexes"][known]
        if current["LockMode"] == "LockedIgnore":
            return False
        if current["LockMode"] == "LockedError":
            raise OperationFailed(f"Can not overwrite locked index: {known}")
        if current == {**definition, "Name": known}:
            return False
        name = known
    _check_output(record, name, definition)
    stored = {**definition, "Name": name}
    entry = {"Definition": stored, "Source": fields["source"], "CreatedAt": fields["created_at"]}
    history = record["IndexesHistory"]
    kept = [entry, *history.get(name, ())][: limits.INDEX_HISTORY_MAX]
    record["Indexes"] = {**record["Indexes"], name: stored}
    record["IndexesHistory"] = {**history, name: kept}
    if definition["DeploymentMode"] == "Rolling":
        record["RollingIndexes"] = {**record["RollingIndexes"], name: _deployment(record, fields["created_at"], index)}
    _store(view, record, index)
    return True


def put_auto_index(view: View, fields: Fields, index: int) -> bool:
    """fields: database, definition. Returns whether it is new."""
    record = _record(view, fields)
    definition = fields["definition"]
    if find_name(record["AutoIndexes"], definition["Name"]) is not None:
        return False
    if len(record["Indexes"]) + len(record["AutoIndexes"]) >= limits.INDEXES_MAX:
        raise LimitExceeded(f"INDEXES_MAX: the database has {limits.INDEXES_MAX} indexes")
    record["AutoIndexes"] = {**record["AutoIndexes"], definition["Name"]: dict(definition)}
    _store(view, record, index)
    return True


def delete_index(view: View, fields: Fields, index: int) -> bool:
    """fields: database, name. Returns whether there was one."""
    record = _record(view, fields)
    found = False
    for table in ("Indexes", "AutoIndexes", "IndexesHistory", "RollingIndexes"):
        known = find_name(record[table], fields["name"])
        if known is not None:
            record[table] = {name: value for name, value in record[table].items() if name != known}
            found = True
    if found:
        _store(view, record, index)
    return found


def index_rolled(view: View, fields: Fields, index: int) -> bool:
    """A node has caught up with a rolling deployment; the next one begins. fields: database, name, node, finished_at.

    Returns whether that changed anything.
    """
    record = _record(view, fields)
    name = find_name(record["RollingIndexes"], fields["name"])
    if name is None:
        return False
    nodes = dict(record["RollingIndexes"][name]["ActiveDeployments"])
    mine = nodes.get(fields["node"])
    if mine is None or mine["State"] == "Done":
        return False
    nodes[fields["node"]] = {**mine, "State": "Done", "FinishedAt": fields["finished_at"]}
    following = next((each for each, state in nodes.items() if state["State"] == "Pending"), None)
    if following is not None:
        nodes[following] = {**nodes[following], "State": "Running", "StartedAt": fields["finished_at"]}
    changed = {"ActiveDeployments": nodes, "RaftIndexChange": index}
    record["RollingIndexes"] = {**record["RollingIndexes"], name: changed}
    _store(view, record, index)
    return True


def release_nodes(record: Mapping[str, Any], members: list[str], index: int) -> dict[str, Any]:
    """The record without nodes in its rolling deployments that are members no more, so that nobody waits for them."""
    rolling = {}
    for name, deployment in record["RollingIndexes"].items():
        nodes = {node: each for node, each in deployment["ActiveDeployments"].items() if node in members}
        waiting = next((node for node, each in nodes.items() if each["State"] == "Pending"), None)
        if waiting is not None and not any(each["State"] == "Running" for each in nodes.values()):
            nodes[waiting] = {**nodes[waiting], "State": "Running"}
        is_same = nodes == deployment["ActiveDeployments"]
        rolling[name] = deployment if is_same else {"ActiveDeployments": nodes, "RaftIndexChange": index}
    return {**record, "RollingIndexes": rolling}


def _deployment(record: Mapping[str, Any], now: str, index: int) -> dict[str, Any]:
    """One node after the other builds the index."""
    nodes = {
        node: {
            "State": "Pending" if number else "Running",
            "CreatedAt": now,
            "StartedAt": None if number else now,
            "FinishedAt": None,
        }
        for number, node in enumerate(record["Topology"]["Members"])
    }
    return {"ActiveDeployments": nodes, "RaftIndexChange": index}


def set_index(view: View, fields: Fields, index: int) -> bool:
    """fields: database, names, property (of PLAIN_FIELDS), value. Returns whether anything changed."""
    record = _record(view, fields)
    assert fields["property"] in PLAIN_FIELDS
    changed = False
    for wanted in fields["names"]:
        table = next((each for each in ("Indexes", "AutoIndexes") if find_name(record[each], wanted)), None)
        if table is None:
            raise IndexDoesNotExist(f"There is no index with '{wanted}' name.")
        name = find_name(record[table], wanted)
        assert name is not None
        current = record[table][name]
        if current[fields["property"]] != fields["value"]:
            record[table] = {**record[table], name: {**current, fields["property"]: fields["value"]}}
            changed = True
    if changed:
        _store(view, record, index)
    return changed


def find_name(table: Mapping[str, Any], name: str) -> str | None:
    """The name as it is spelt in the table."""
    if name in table:
        return name
    lowered = name.lower()
    return next((each for each in table if each.lower() == lowered), None)


def _check_output(record: Mapping[str, Any], name: str, definition: Mapping[str, Any]) -> None:
    """Two indexes must not write into one collection."""
    collection = definition["OutputReduceToCollection"]
    if collection is None:
        return
    for other, each in record["Indexes"].items():
        theirs = each["OutputReduceToCollection"]
        if other != name and theirs is not None and theirs.lower() == collection.lower():
            raise OperationFailed(
                f"Index '{name}' cannot write its results to the collection '{collection}': index '{other}' does so"
            )


def _record(view: View, fields: Fields) -> dict[str, Any]:
    """A copy whose values are shared."""
    record = view.get("records", fields["database"].lower())
    if record is None:
        raise DatabaseDoesNotExist(fields["database"])
    return dict(record)


def _store(view: View, record: dict[str, Any], index: int) -> None:
    record["Etag"] = index
    view.put("records", record["DatabaseName"].lower(), record)
