"""Several nodes in one process, over real sockets and files, for tests of what they do together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvloop

from pynori.config import Settings
from pynori.http.listener import Listener, listen
from pynori.server.server import Server


class Node:
    """A server with its listener; can be stopped and started again on the same files and port."""

    def __init__(self, directory: Path, settings: dict[str, Any]) -> None:
        self.directory = directory
        self.settings = settings
        self.port = 0
        self.server: Server
        self.listener: Listener

    async def start(self) -> Node:
        self.server = await Server.start(Settings(data_dir=self.directory, **self.settings))
        self.listener = await listen(self.server, "127.0.0.1", self.port)
        self.port = self.listener.port
        self.server.announce(self.listener.url, "")
        return self

    async def stop(self) -> None:
        self.listener.close()
        await self.server.stop()

    @property
    def state(self) -> Any:
        return self.server.state

    def topology(self, name: str = "db") -> dict[str, Any]:
        found: dict[str, Any] = self.state.record(name)["Topology"]
        return found


class Cluster:
    """Nodes of one test; those that still run are stopped at its end."""

    def __init__(self, directory: Path, settings: dict[str, Any]) -> None:
        self.directory = directory
        self.settings = settings
        self.nodes: list[Node] = []

    async def add(self) -> Node:
        """A new node, not yet of the cluster."""
        node = await Node(self.directory / str(len(self.nodes)), self.settings).start()
        self.nodes.append(node)
        return node

    async def of(self, count: int) -> list[Node]:
        """A cluster of so many voting members."""
        nodes = [await self.add() for _ in range(count)]
        for node in nodes[1:]:
            await nodes[0].server.nodes.add(node.server.url)
        await until(lambda: all(len(roles(node, "Members")) == count for node in nodes))
        return nodes

    async def stop(self, node: Node) -> None:
        self.nodes.remove(node)
        await node.stop()

    async def close(self) -> None:
        for node in self.nodes:
            await node.stop()


def roles(node: Node, kind: str) -> dict[str, str]:
    found: dict[str, str] = node.state.cluster_topology(node.server.url)["Topology"][kind]
    return found


async def until(holds: Callable[[], bool], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.01)


def run(directory: Path, steps: Callable[[Cluster], Awaitable[None]], **settings: Any) -> None:
    """Run the steps with a cluster whose nodes have these settings, and stop what is left of it."""

    async def main() -> None:
        cluster = Cluster(directory, settings)
        try:
            await asyncio.wait_for(steps(cluster), 60)
        finally:
            await cluster.close()

    uvloop.run(main())
