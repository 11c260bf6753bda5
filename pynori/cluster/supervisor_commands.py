"""The commands of the supervisor: a change of a group's topology with its reasons, and whether it is suspended.

A change holds only in the term in which it was decided, and for the topology that it was made from: what a leader that
was cut off has proposed comes to nothing when it arrives later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pynori import limits
from pynori.errors import DatabaseDoesNotExist, OperationFailed, RaftConcurrency

if TYPE_CHECKING:
    from pynori.cluster.commands import Fields, View

SETTINGS = "supervisor"  # key of the table `cluster`
DECISIONS = "decisions"  # table: by raft index and number, for people


def check(view: View, fields: Fields) -> dict[str, Any]:
    """The record that a decision is about. fields: name, expected_index, term. Raises: RaftConcurrency."""
    if view.term != fields["term"]:
        raise RaftConcurrency(f"The decision was made in term {fields['term']}; this is term {view.term}")
    if (view.get("cluster", SETTINGS) or {}).get("suspended"):
        raise OperationFailed("The supervisor is suspended")
    record: dict[str, Any] | None = view.get("records", fields["name"].lower())
    if record is None:
        raise DatabaseDoesNotExist(fields["name"])
    if record["Topology"]["Stamp"]["Index"] != fields["expected_index"]:
        raise RaftConcurrency(f"The topology of database '{fields['name']}' has changed since the decision")
    return record


def note(view: View, record: dict[str, Any], fields: Fields, index: int) -> None:
    """Keep what was decided and why. fields: decisions [{kind, tag, reason}], at."""
    for number, each in enumerate(fields["decisions"]):
        entry = {**each, "database": record["DatabaseName"], "at": fields["at"], "term": fields["term"]}
        view.put(DECISIONS, f"{index:016x}/{number:04x}", entry)
    kept = sorted(view.keys(DECISIONS))
    for key in kept[: max(0, len(kept) - limits.DECISIONS_KEPT)]:
        view.delete(DECISIONS, key)


def suspend(view: View, fields: Fields, index: int) -> None:
    """fields: suspended."""
    view.put("cluster", SETTINGS, {"suspended": bool(fields["suspended"])})
