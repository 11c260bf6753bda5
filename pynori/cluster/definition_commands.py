"""The commands that register analyzers and sorters: in a database's record, or for all databases of the cluster.

Definitions are `{"Name": ..., "Code": ...}`, checked by whoever proposes them, since a log is applied without the parts
that understand them. Names are told apart without their case.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pynori import limits
from pynori.cluster.index_commands import find_name
from pynori.errors import DatabaseDoesNotExist, LimitExceeded

if TYPE_CHECKING:
    from pynori.cluster.commands import Fields, View

KINDS = ("Analyzers", "Sorters")  # properties of the record; in lower case keys of the table `cluster`


def put_definitions(view: View, fields: Fields, index: int) -> None:
    """fields: kind, database (None: all), definitions: a list."""
    known = dict(_known(view, fields))
    for each in fields["definitions"]:
        earlier = find_name(known, each["Name"])
        if earlier is not None:
            del known[earlier]
        known[each["Name"]] = {"Name": each["Name"], "Code": each["Code"]}
    if len(known) > limits.REGISTERED_DEFINITIONS_MAX:
        raise LimitExceeded(
            f"REGISTERED_DEFINITIONS_MAX: more than {limits.REGISTERED_DEFINITIONS_MAX} {fields['kind']}"
        )
    _store(view, fields, known, index)


def delete_definition(view: View, fields: Fields, index: int) -> bool:
    """fields: kind, database (None: all), name. Returns whether there was one."""
    known = dict(_known(view, fields))
    name = find_name(known, fields["name"])
    if name is None:
        return False
    del known[name]
    _store(view, fields, known, index)
    return True


def _known(view: View, fields: Fields) -> Mapping[str, Any]:
    assert fields["kind"] in KINDS
    if fields["database"] is None:
        found: Mapping[str, Any] = view.get("cluster", fields["kind"].lower()) or {}
        return found
    record = view.get("records", fields["database"].lower())
    if record is None:
        raise DatabaseDoesNotExist(fields["database"])
    return record.get(fields["kind"]) or {}


def _store(view: View, fields: Fields, known: dict[str, Any], index: int) -> None:
    if fields["database"] is None:
        view.put("cluster", fields["kind"].lower(), known)
        return
    record = view.get("records", fields["database"].lower())
    view.put("records", fields["database"].lower(), {**record, fields["kind"]: known, "Etag": index})
