"""Nodes join, are promoted, demoted and removed: what any node of the cluster can be asked to do.

A node joins in two steps. It is asked, over a channel of its own, to leave the cluster of one that it is, and answers
with a new raft id; then the cluster takes it in as one that only listens. As soon as it has caught up the leader makes
it a voter, unless it is to be a watcher.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from pynori import limits
from pynori.cluster import topology
from pynori.cluster.raft.membership import MembershipChange
from pynori.cluster.state import ClusterState
from pynori.errors import InvalidArgument, NoLeader, OperationFailed, PynoriError, RequestTimeout
from pynori.runtime import log
from pynori.runtime.channel import Channel, connect
from pynori.runtime.tasks import Tasks

OPERATION = "join"
_ANSWER = 1  # JSON: {"id"} or {"error"}


class Nodes:
    """Changes of the cluster's nodes, and this node's answer when it is asked to join one."""

    def __init__(self, state: ClusterState) -> None:
        self._state = state
        self._tasks = Tasks()
        self._changed = asyncio.Event()
        state.on_nodes = self._changed.set

    def start(self) -> None:
        self._tasks.start("promotion of nodes", self._promote_who_has_caught_up())

    def announced(self) -> None:
        """This node is reached at `state.url`: when the others know another address, they are told."""
        self._tasks.start("address of this node", self._tell_when_moved())

    async def stop(self) -> None:
        await self._tasks.cancel()

    # ------------------------------------------------------------ asked of this node

    async def add(self, url: str, tag: str | None = None, is_watcher: bool = False) -> str:
        """Take the node at `url` into the cluster; returns its tag.

        Raises: InvalidArgument, OperationFailed when it cannot join, ChannelClosed when it cannot be reached, NoLeader.
        """
        state = self._state
        await state.found()
        known = state.topology
        topology.check_room(known)
        url = url.rstrip("/")
        if url in topology.urls(known).values():
            raise InvalidArgument(f"A node with the address {url} is in the cluster already")
        tag = topology.tag_for(known, url) if tag is None else topology.check_tag(tag)
        if tag in topology.nodes(known):
            raise InvalidArgument(f"There is a node '{tag}' in the cluster already")
        if not self._node(state.node_tag)["url"]:
            await self._tell_address()
        node_id = await self._invite(url, tag)
        role = topology.WATCHER if is_watcher else topology.PROMOTABLE
        await self._change(
            topology.addition(tag, node_id, url, role),
            lambda: topology.nodes(state.topology).get(tag, {}).get("id") == node_id,
        )
        log.info("cluster", f"node {tag} at {url} has joined as {role.lower()}")
        return tag

    async def remove(self, tag: str) -> None:
        """Take a node out of the cluster and of all groups of databases. It is passive then, and keeps its files."""
        node = self._node(tag)
        if len(topology.urls(self._state.topology, topology.MEMBER)) == 1 and node["role"] == topology.MEMBER:
            raise OperationFailed(f"Node '{tag}' is the last voting member of the cluster")
        await self._change(topology.removal(tag, node["id"]), lambda: tag not in topology.nodes(self._state.topology))
        log.info("cluster", f"node {tag} was removed")

    async def set_role(self, tag: str, role: str) -> None:
        """Promote a watcher (`Promotable`: it votes when it has caught up) or demote a member to a watcher."""
        node = self._node(tag)
        if node["role"] == role or (role == topology.PROMOTABLE and node["role"] == topology.MEMBER):
            return
        members = topology.urls(self._state.topology, topology.MEMBER)
        if role == topology.WATCHER and tag in members and len(members) == 1:
            raise OperationFailed(f"Node '{tag}' is the last voting member of the cluster")
        ends = (topology.PROMOTABLE, topology.MEMBER) if role == topology.PROMOTABLE else (role,)
        await self._change(
            topology.addition(tag, node["id"], node["url"], role),
            lambda: topology.nodes(self._state.topology).get(tag, {}).get("role") in ends,
        )

    def _node(self, tag: str) -> topology.Node:
        node = topology.nodes(self._state.topology).get(tag)
        if node is None:
            raise InvalidArgument(f"There is no node '{tag}' in the cluster")
        return node

    async def _tell_when_moved(self) -> None:
        state = self._state
        while True:
            known = topology.nodes(state.topology)
            mine = known.get(state.node_tag)
            if len(known) < 2 or mine is None or mine["url"] == state.url:
                return
            try:
                await self._tell_address()
                log.info("cluster", f"this node is reached at {state.url} now; it was at {mine['url']}")
            except (NoLeader, RequestTimeout):
                await asyncio.sleep(limits.MEMBERSHIP_RETRY_MS / 1_000)

    async def _tell_address(self) -> None:
        """Have the cluster know where this node is reached; while it was alone nobody had to know."""
        state = self._state
        node = {**state.topology["nodes"][state.node_tag], "url": state.url}
        await state.driver.propose("cluster.node", {"tag": state.node_tag, "node": node})

    async def _invite(self, url: str, tag: str) -> int:
        """Ask a node to join; returns its raft id."""
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[dict[str, Any]] = loop.create_future()

        def receive(kind: int, payload: bytes) -> None:
            if not answered.done():
                answered.set_result(msgspec.json.decode(payload, type=dict))

        def lost(reason: str) -> None:
            if not answered.done():
                answered.set_exception(OperationFailed(f"The node at {url} did not answer: {reason}"))

        hello = {"topology": self._state.topology_id, "tag": tag, "from": self._state.node_tag}
        channel = await connect(url, OPERATION, hello, receive, lost)
        try:
            async with asyncio.timeout(limits.PROPOSAL_WAIT_MS / 1_000):
                answer = await answered
        except TimeoutError:
            raise RequestTimeout(f"The node at {url} did not answer the invitation") from None
        finally:
            channel.close()
        if "id" not in answer:
            raise OperationFailed(f"The node at {url} cannot join: {answer.get('error')}")
        return int(answer["id"])

    async def _change(self, change: MembershipChange, done: Callable[[], bool]) -> None:
        """Propose until the topology shows it; a change that meets another one on its way comes to nothing.

        It is of this cluster: a node that is removed meanwhile begins anew, and must not propose it to itself.
        """
        driver = self._state.driver
        loop = asyncio.get_running_loop()
        deadline = loop.time() + limits.PROPOSAL_WAIT_MS / 1_000
        next_try = 0.0
        while not done():
            now = loop.time()
            if self._state.driver is not driver:
                raise OperationFailed("This node has left the cluster; it is not known whether that will agree")
            if now > deadline:
                raise RequestTimeout("The cluster did not agree on the change; it is not known whether it will")
            if now >= next_try:
                driver.propose_change(change)
                next_try = now + limits.MEMBERSHIP_RETRY_MS / 1_000
            await asyncio.sleep(limits.MEMBERSHIP_LOOK_MS / 1_000)

    # ------------------------------------------------------------ of the leader

    async def _promote_who_has_caught_up(self) -> None:
        state = self._state
        while True:
            waiting = list(topology.urls(state.topology, topology.PROMOTABLE))
            if state.driver.is_leader and waiting:
                self._promote_one(waiting)
                await asyncio.sleep(limits.MEMBERSHIP_RETRY_MS / 1_000)
                continue
            self._changed.clear()
            await self._changed.wait()

    def _promote_one(self, waiting: list[str]) -> None:
        """One at a time: the membership changes in steps."""
        state = self._state
        for tag in waiting:
            node = topology.nodes(state.topology)[tag]
            behind = state.driver.behind(node["id"])
            if behind is None or behind > limits.PROMOTION_ENTRIES_MAX:
                continue
            try:
                state.driver.propose_change(topology.addition(tag, node["id"], node["url"], topology.MEMBER))
            except PynoriError as error:
                log.warn("cluster", f"node {tag} cannot be promoted now: {error}")
            return

    # ------------------------------------------------------------ asked by another cluster

    def accept(self, hello: dict[str, Any]) -> Channel:
        """Another cluster invites this node."""
        channel = Channel(lambda kind, payload: None, lambda reason: None)
        self._tasks.start("joining a cluster", self._join(channel, hello))
        return channel

    async def _join(self, channel: Channel, hello: dict[str, Any]) -> None:
        answer: dict[str, Any]
        try:
            tag = topology.check_tag(str(hello.get("tag")))
            answer = {"id": await self._state.begin_anew(str(hello.get("topology")), tag)}
            log.info("cluster", f"this node joins the cluster of node {hello.get('from')} as node {tag}")
        except PynoriError as error:
            answer = {"error": error.message}
        channel.send(_ANSWER, msgspec.json.encode(answer))
