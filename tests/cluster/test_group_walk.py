"""A random walk over a cluster: groups are made, changed and deleted anywhere while nodes restart; then all agree."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from pynori.errors import AlreadyExists, DatabaseDoesNotExist, InvalidArgument, PynoriError
from tests.cluster.cluster_of_nodes import Cluster, Node, run, until

NAMES = ["one", "two", "three", "four"]
TAGS = "ABC"


async def step(nodes: list[Node], chance: random.Random) -> None:
    """One thing that an administrator does, at any node; what cannot be done is refused."""
    databases = chance.choice(nodes).server.databases
    name, tag = chance.choice(NAMES), chance.choice(TAGS)
    kind = chance.randrange(7)
    try:
        if kind <= 2:
            await databases.create({"DatabaseName": name}, chance.randint(1, 3))
        elif kind == 3:
            await databases.delete([name], hard=True)
        elif kind == 4:
            await databases.delete([name], hard=True, nodes=[tag])
        elif kind == 5:
            await databases.add_instance(name, tag, None)
        else:
            await databases.set_disabled(name, chance.random() < 0.5)
    except (AlreadyExists, DatabaseDoesNotExist, InvalidArgument):
        pass


def folders(node: Node) -> list[str]:
    directory = node.directory / "Databases"
    return sorted(each.name for each in directory.iterdir()) if directory.exists() else []


def is_settled(nodes: list[Node]) -> bool:
    """Whether all nodes know the same, nothing is left to be made or removed, and each has what it is to have."""
    first = nodes[0].state
    for node in nodes:
        state = node.state
        if state.raft_index != first.raft_index or state.database_names() != first.database_names():
            return False
        held = [name for name in state.database_names() if state.is_here(name)]
        enabled = [name for name in held if not state.is_disabled(name)]
        opened = sorted(each.name for each in node.server.databases.open_databases())
        if opened != sorted(enabled) or node.server.databases.failures():
            return False
        unmade = [name for name in held if state.is_unmade(name)]
        if any(not state.is_disabled(name) for name in unmade) or any(state.deletions(name) for name in NAMES):
            return False
        if folders(node) != sorted(name for name in held if name not in unmade):
            return False
    return True


@pytest.mark.parametrize("seed", [1, 3])
def test_a_random_walk(tmp_path: Path, seed: int) -> None:
    """After every walk records are equal, and each node has the files and open databases that they say, no others."""
    print(f"seed {seed}")

    async def steps(cluster: Cluster) -> None:
        nodes = await cluster.of(3)
        chance = random.Random(seed)
        for _ in range(6):
            away = chance.choice([None, None, *nodes])
            if away is not None:
                await away.stop()
            up = [node for node in nodes if node is not away]
            await until(lambda up=up: any(node.state.driver.is_leader for node in up))
            for _ in range(4):
                outcomes = await asyncio.gather(*(step(up, chance) for _ in range(3)), return_exceptions=True)
                for each in outcomes:
                    if isinstance(each, BaseException) and not isinstance(each, PynoriError):
                        raise each
            if away is not None:
                await away.start()
        await until(lambda: is_settled(nodes), 15)
        for name in nodes[0].state.database_names():
            assert len({str(node.state.record(name)) for node in nodes}) == 1

    run(tmp_path, steps)
