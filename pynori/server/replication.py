"""Replication follows the cluster: which instances a database sends to and by which rules it resolves conflicts.

An instance takes links from the other instances of its group, which its record names, and from anybody who replicates
from outside; it opens links as its place in the topology says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pynori.cluster.database_topology import destinations
from pynori.cluster.records import instances
from pynori.errors import Forbidden, InvalidArgument
from pynori.replication.conflicts import ConflictRules
from pynori.replication.outgoing import INTERNAL, Destination, owner_of
from pynori.replication.replication import Replication
from pynori.runtime.channel import Channel
from pynori.server.ongoing import external_replications, responsible_node

if TYPE_CHECKING:
    from pynori.cluster.records import Record
    from pynori.cluster.state import ClusterState
    from pynori.documents.database import Database
    from pynori.runtime.clock import Clock
    from pynori.server.cluster_transactions import ClusterTransactions
    from pynori.server.databases import Databases
    from pynori.server.open_database import OpenDatabase

CUT_OFF = (
    "paused: this node hears of no majority of its cluster, so another one may do this task by now; "
    "it goes on when there is a majority"
)


def new_replication(
    database: Database, name: str, state: ClusterState, transactions: ClusterTransactions, clock: Clock
) -> Replication:
    """Replication of a database that is being opened; it does nothing before it is told to `follow`."""

    def introduce() -> Mapping[str, Any]:
        record = state.record(name)
        return {"node": state.node_tag, "url": state.url, "group": "" if record is None else group_of(record)}

    return Replication(database, database.scripts, clock, ConflictRules(), introduce, lambda: transactions.own)


def follow(found: OpenDatabase, state: ClusterState, is_cut_off: bool) -> None:
    """Bring links and rules of an open database in line with its record and the cluster's topology.

    is_cut_off: this node does not hear what a majority decides, so it cannot know which tasks are still its own.
    """
    record = state.record(found.name)
    if record is None:
        return
    urls = state.node_urls("")
    wanted = [
        Destination(tag, record["DatabaseName"], (urls[tag],))
        for tag in destinations(record["Topology"], state.node_tag)
        if urls.get(tag)
    ]
    siblings = [tag for tag in instances(record) if tag != state.node_tag]
    receivers = [owner_of(tag) for tag in siblings]
    for task in external_replications(record):
        if responsible_node(record, task.task_id) == state.node_tag:
            receivers.append(owner_of(task.name, is_internal=False))
            if not task.disabled and task.urls:
                wanted.append(task.destination)
    holders = {*record["Topology"]["Members"], *record["Topology"]["Rehabs"]}.intersection(siblings)
    pause = CUT_OFF if is_cut_off else ""
    found.replication.follow(wanted, ConflictRules.of_record(record), receivers, holders, pause)


def accept(databases: Databases, hello: dict[str, Any]) -> Channel:
    """A channel on which another instance sends. Raises what says why he is not taken."""
    name = hello.get("database")
    if not isinstance(name, str):
        raise InvalidArgument("who replicates must name the database")
    found = databases.find(name)
    group = hello.get("group")
    if hello.get("kind") == INTERNAL and group != group_of(found.record):
        raise Forbidden(f"database '{name}' of node {hello.get('node')} is another one than that of this name here")
    return found.replication.accept(hello)


def group_of(record: Record) -> str:
    """What all instances of a database have in common, and no other database of that name."""
    return str(record["Topology"]["DatabaseTopologyIdBase64"])
