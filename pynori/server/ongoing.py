"""Which node does which ongoing task of a database: one member each, as every node works out from the same record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pynori.replication.outgoing import Destination

TASK_LISTS = ("ExternalReplications",)  # of a record; each entry has a TaskId


@dataclass(frozen=True, slots=True)
class ExternalReplication:
    """Everything of a database goes to one of another cluster, or to another one here."""

    task_id: int
    name: str
    disabled: bool
    mentor_node: str  # does it while it is a member; "": anyone
    connection_string: str
    database: str
    urls: tuple[str, ...]

    @property
    def destination(self) -> Destination:
        return Destination(self.name, self.database, self.urls, is_internal=False, task_id=self.task_id)


def external_replications(record: Mapping[str, Any]) -> Iterator[ExternalReplication]:
    """Those of a record, with the target that the connection string names."""
    strings = record["RavenConnectionStrings"]
    for given in record["ExternalReplications"]:
        string = strings.get(given.get("ConnectionStringName")) or {}
        yield ExternalReplication(
            task_id=given["TaskId"],
            name=given["Name"],
            disabled=bool(given.get("Disabled")),
            mentor_node=given.get("MentorNode") or "",
            connection_string=given.get("ConnectionStringName") or "",
            database=string.get("Database") or given.get("Database") or "",
            urls=tuple(string.get("TopologyDiscoveryUrls") or ()),
        )


def responsible_node(record: Mapping[str, Any], task_id: int) -> str:
    """The tag of the member that does a task; "" when nobody can.

    Tasks are dealt out in turn, so that each member has as many as the others; when a member fails they are dealt out
    anew among those that are left.
    """
    members = sorted(record["Topology"]["Members"])
    if not members:
        return ""
    tasks = sorted(
        (task["TaskId"], task.get("MentorNode") or "") for name in TASK_LISTS for task in record[name]
    )
    free = [id for id, mentor in tasks if mentor not in members]
    mentor = next((mentor for id, mentor in tasks if id == task_id), "")
    if mentor in members:
        return mentor
    return members[free.index(task_id) % len(members)] if task_id in free else ""
