"""Whether all is well once nothing goes wrong any more, and whether nothing was lost on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pynori.cluster import topology
from pynori.cluster.compare_exchange import TABLE
from pynori.server.open_database import OpenDatabase
from tests.cluster.history import violations
from tests.simulation.clients import TRANSACTED, seen_in

if TYPE_CHECKING:
    from tests.simulation.node import Node
    from tests.simulation.world import World

TASKS = ("promotion of nodes", "watch over databases", "supervision", "watch over the disk")


def not_well(world: World) -> list[str]:
    """Why the cluster is not in order yet; empty: it is."""
    if world.clients.pending:
        return [f"no end of {world.clients.pending}"]
    down = [node.name for node in world.nodes if node.server is None]
    if down:
        return [f"not up: {down}"]
    members = _members(world)
    waiting = [node.name for node in world.nodes if node.waits]
    if not members or waiting:
        return [f"of {len(members)} nodes there is a cluster, {waiting} wait for it"]
    found = list(_unlike_states(members))
    if not found:
        for name in _state(members[0]).database_names():
            found += _unlike_instances(world, members, name)
    return found


def _members(world: World) -> list[Node]:
    return [node for node in world.nodes if node.is_member]


def _state(node: Node) -> Any:
    assert node.server is not None
    return node.server.state


def _unlike_states(members: list[Node]) -> Iterator[str]:
    """All nodes of the cluster know each other, the leader, and the same state."""
    first = _state(members[0])
    known = topology.nodes(first.topology)
    if sorted(each["url"] for each in known.values()) != sorted(node.url for node in members):
        yield f"{members[0].name} knows {[each['url'] for each in known.values()]} of {[node.name for node in members]}"
    if any(each["role"] == topology.PROMOTABLE for each in known.values()):
        yield f"somebody is not promoted: {known}"
    for node in members:
        state = _state(node)
        if not state.leader_tag or state.leader_tag != first.leader_tag:
            yield f"{node.name} follows '{state.leader_tag}', {members[0].name} '{first.leader_tag}'"
        if state.raft_index != first.raft_index:
            yield f"{node.name} is at {state.raft_index}, {members[0].name} at {first.raft_index}"
        if state._tables["creating"] or state._tables["deleting"]:
            yield f"{node.name} has notes: {state._tables['creating']} {state._tables['deleting']}"


def _unlike_instances(world: World, members: list[Node], name: str) -> Iterator[str]:
    """The instances of a database are all Members, open, linked, and hold the same."""
    state = _state(members[0])
    known = state.record(name)["Topology"]
    if known["Promotables"] or known["Rehabs"]:
        yield f"{name} is not in order: Members {known['Members']}, {known['Promotables']}, {known['Rehabs']}"
        return
    holders = [(node, node.find(name)) for node in members if node.tag in known["Members"]]
    opened = [(node, each) for node, each in holders if each is not None]
    if len(opened) < len(known["Members"]):
        yield f"{name} is open at {[node.name for node, _ in opened]} of {known['Members']}"
        return
    for node, each in opened:
        apart = [link.destination.name for link in each.replication.outgoing if not link.is_connected]
        if apart or len(each.replication.outgoing) != len(opened) - 1:
            yield f"{name} at {node.name} has no link to {apart} of {len(opened) - 1}"
        if each.database.conflict_count and world.plan.rule != "none":
            yield f"{name} at {node.name} has {each.database.conflict_count} conflicts left"
    contents = [content(each) for _, each in opened]
    for (node, _), one in zip(opened[1:], contents[1:], strict=True):
        for id in sorted(one.keys() | contents[0].keys()):
            if one.get(id) != contents[0].get(id):
                yield f"{name} {id}: {opened[0][0].name} has {contents[0].get(id)}, {node.name} has {one.get(id)}"


def content(opened: OpenDatabase) -> dict[str, list[tuple[str, tuple[int, ...] | None]]]:
    """The versions of each document that is there: vector and numbers; None: a deletion in conflict."""
    found: dict[str, list[tuple[str, tuple[int, ...] | None]]] = {}
    for item in opened.database.items_since(0):
        if item.kind == "TOMBSTONE":
            continue
        numbers = tuple(sorted(seen_in(item.json))) if item.json else None
        found.setdefault(item.id, []).append((item.change_vector, numbers))
    return {id: sorted(versions) for id, versions in found.items()}


def problems(world: World) -> list[str]:
    """What is wrong for good."""
    members = _members(world)
    return [
        *violations(world.clients.work.history),
        *_ended_tasks(world),
        *_unlike_values(members),
        *_lost(world, members),
    ]


def _ended_tasks(world: World) -> Iterator[str]:
    for node in world.nodes:
        assert node.server is not None
        running = {task.get_name() for task in asyncio.all_tasks(node.loop)}
        wanted = list(TASKS)
        for each in node.server.databases.open_databases():
            wanted += [f"conflicts of {each.name}", f"tombstones of {each.name}"]
            wanted += [f"replication to {link.destination.name} of {each.name}" for link in each.replication.outgoing]
        for name in wanted:
            if name not in running:
                yield f"{node.name} runs no task '{name}' any more"


def _unlike_values(members: list[Node]) -> Iterator[str]:
    """Compare-exchange values are the same on all nodes."""
    first = dict(_state(members[0])._store.scan(TABLE, ""))
    for node in members[1:]:
        if dict(_state(node)._store.scan(TABLE, "")) != first:
            yield f"the values of {node.name} and {members[0].name} differ"


def _lost(world: World, members: list[Node]) -> Iterator[str]:
    """Every acknowledged write is part of what is there, or it has a name why it is not."""
    work = world.clients.work
    state = _state(members[0])
    for name in state.database_names():
        group = f"{name}/{state.group_id(name)}"
        opened = [found for node in members if (found := node.find(name)) is not None]
        there = content(opened[0])
        instances = {each.database.id for each in opened}
        for write in work.writes:
            if write.database != group:
                continue
            versions = there.get(write.id, [])
            if any(numbers is not None and write.number in numbers for _, numbers in versions):
                continue
            if write.number in work.deleted or write.number in work.resolved_away:
                continue
            removed = write.instance not in instances
            if removed and (not write.is_replicated or work.deleted_instances[name] > 1):
                continue  # the instance that took it was deleted, and its files kept if others lacked what they hold
            yield f"{write} is part of none of {versions}"
        yield from _unlike_transacted(world, state, name, group, there)


def _unlike_transacted(world: World, state: Any, name: str, group: str, there: dict[str, Any]) -> Iterator[str]:
    """The value and the document that change together have changed together, and hold what was acknowledged."""
    stored = state.compare_exchange_value(name, TRANSACTED)
    value = set() if stored is None else seen_in(stored.value)
    document = {number for _, numbers in there.get("tx/1", []) for number in numbers or ()}
    if value != document:
        yield f"transactions of {name} have left {sorted(value)} as a value and {sorted(document)} as a document"
    if not world.clients.work.transacted.get(group, set()) <= value:
        yield f"of transactions {sorted(world.clients.work.transacted[group])} only {sorted(value)} are there"
