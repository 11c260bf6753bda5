"""Messages of Raft, reports and gossip to and from the other nodes: a channel to each, open as long as both are up.

A message that cannot be sent now is dropped and the core is told, as Raft allows; nothing is heaped up for a node that
is away. A channel that breaks is opened again, with pauses that grow: whether there is one says whether a node can be
reached. Whoever has seen that it is back need not wait for the pause: `hurry`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from pynori import limits
from pynori.cluster.raft.types import Message, MessageKind
from pynori.cluster.wire import decode_message, encode_message
from pynori.errors import Forbidden
from pynori.runtime import log
from pynori.runtime.channel import Channel, ChannelClosed, connect
from pynori.runtime.tasks import Tasks

OPERATION = "raft"
_MESSAGE = 1  # a message of Raft
_REPORT = 2  # what a node tells the leader: see `reports.py`
_REMOVED = 3  # the answer to a node that has left the cluster and may not know
_GOSSIP = 4  # see `gossip.py`
# What goes between a node and its own storage; and a snapshot comes with the state, see `state_transfer.py`.
_NEVER_SENT = (MessageKind.STORAGE_APPEND, MessageKind.STORAGE_APPLY, MessageKind.SNAPSHOT)
_COMPRESSED_FROM = 16 * 1024  # bytes of a message


class _Peer:
    """One other node, by its raft id."""

    __slots__ = ("channel", "is_guest", "is_moved", "is_opening", "lost_at", "next_try", "pause_s", "url")

    def __init__(self, url: str, is_guest: bool = False) -> None:
        self.url = url
        self.is_guest = is_guest  # known by its own word alone, as the leader is to a node that has just joined
        self.is_moved = False  # its address is known by its own word, and differs from what the topology says so far
        self.channel: Channel | None = None
        self.is_opening = False
        self.pause_s = 0.0
        self.next_try = 0.0
        self.lost_at: float | None = None  # since when there is no channel; None: there is one, or never was


class Transport:
    """Sends for one node. `receive` gets what others send; `unreachable` the ids of nodes that a message missed."""

    def __init__(self, receive: Callable[[Message], None], unreachable: Callable[[int], None]) -> None:
        self._receive = receive
        self._unreachable = unreachable
        self._peers: dict[int, _Peer] = {}
        self._incoming: dict[Channel, object] = {}  # with the raft ids of the callers
        self._hello: Callable[[], dict[str, Any]] = dict
        self.on_report: Callable[[bytes], None] = lambda payload: None
        self.on_gossip: Callable[[bytes], None] = lambda payload: None
        self.on_removed: Callable[[], None] = lambda: None  # another node says that this one has left the cluster
        self._tasks = Tasks()
        self._closed = False

    def introduce(self, hello: Callable[[], dict[str, Any]]) -> None:
        """What this node says of itself when it opens a channel: topology, node, id, url."""
        self._hello = hello

    def set_peers(self, urls: Mapping[int, str]) -> None:
        """The other nodes of the cluster, by raft id; channels to those that are gone or have moved are closed."""
        for node_id, peer in list(self._peers.items()):
            if urls.get(node_id) != peer.url and not (peer.is_guest and node_id not in urls) and not (
                peer.is_moved and node_id in urls
            ):
                self._drop(node_id, peer)
        for node_id, url in urls.items():
            peer = self._peers.setdefault(node_id, _Peer(url))
            peer.is_guest = False
            peer.is_moved = peer.url != url
        self.open_all()

    def open_all(self) -> None:
        """Open what is not open, if this node can say where it is reached itself."""
        for node_id, peer in self._peers.items():
            if not peer.is_guest and (peer.channel is None or not peer.channel.is_open):
                self._open(node_id, peer)

    def tell_removed(self, is_removed: Callable[[object], bool]) -> None:
        """Tell the callers that have left the cluster that they have."""
        for channel, node_id in list(self._incoming.items()):
            if is_removed(node_id):
                channel.send(_REMOVED)
                channel.close("the node has left the cluster")

    def _drop(self, node_id: int, peer: _Peer) -> None:
        del self._peers[node_id]
        if peer.channel is not None:
            peer.channel.close("the node has left the cluster, or has moved")

    def accept(self, hello: dict[str, Any], is_removed: bool) -> Channel:
        """A channel on which another node sends. Raises: Forbidden when it is not of this cluster.

        is_removed: it was of it; then the channel says so, and ends.
        """
        self.check(hello)
        if is_removed:
            return _Farewell()
        node_id, url = hello.get("id"), hello.get("url")
        if isinstance(node_id, int) and isinstance(url, str) and url:
            self._meet(node_id, url)
        channel: Channel

        def lost(reason: str) -> None:
            self._incoming.pop(channel, None)

        channel = Channel(self._take, lost)
        self._incoming[channel] = node_id
        return channel

    def check(self, hello: dict[str, Any]) -> None:
        """Raises: Forbidden when the caller is not of this cluster."""
        if hello.get("topology") != self._hello()["topology"]:
            raise Forbidden(f"node {hello.get('node')} belongs to another cluster")

    def _meet(self, node_id: int, url: str) -> None:
        """A node says where it is reached."""
        known = self._peers.get(node_id)
        if known is None or (known.is_guest and known.url != url):
            if len(self._peers) < limits.CLUSTER_NODES_MAX:
                self._peers[node_id] = _Peer(url, is_guest=True)
        elif known.url != url:
            self._drop(node_id, known)
            self._peers[node_id] = moved = _Peer(url)
            moved.is_moved = True
            self._open(node_id, moved)

    def send(self, message: Message) -> None:
        peer = self._peers.get(message.target)
        if peer is None:
            return
        channel = peer.channel
        if channel is None or not channel.is_open or channel.is_full:
            if channel is None or not channel.is_open:
                self._open(message.target, peer)
            self._unreachable(message.target)
            return
        data = encode_message(message)
        channel.send(_MESSAGE, data, compress=len(data) >= _COMPRESSED_FROM)

    def channel(self, node_id: int) -> Channel | None:
        """The channel to a node, if it takes something now."""
        peer = self._peers.get(node_id)
        channel = None if peer is None else peer.channel
        return channel if channel is not None and channel.is_open and not channel.is_full else None

    @staticmethod
    def report(channel: Channel, payload: bytes) -> None:
        """Send a report of this node on a channel of `channel`."""
        channel.send(_REPORT, payload, compress=len(payload) >= _COMPRESSED_FROM)

    def gossip(self, node_id: int, payload: bytes) -> None:
        """Send a message of SWIM, if the node takes something now."""
        channel = self.channel(node_id)
        if channel is not None:
            channel.send(_GOSSIP, payload)

    def hurry(self, node_id: int) -> None:
        """A node lives: open a channel to it now, if there is none."""
        peer = self._peers.get(node_id)
        if peer is not None and not peer.is_guest and (peer.channel is None or not peer.channel.is_open):
            peer.next_try = 0.0
            self._open(node_id, peer)

    def hello(self) -> dict[str, Any]:
        return self._hello()

    def url(self, node_id: int) -> str | None:
        """Where a node is reached."""
        peer = self._peers.get(node_id)
        return None if peer is None else peer.url

    def connected(self) -> dict[int, bool]:
        """Whether there is a channel, by raft id."""
        return {node_id: peer.channel is not None and peer.channel.is_open for node_id, peer in self._peers.items()}

    def peers(self) -> dict[int, tuple[bool, float | None]]:
        """By raft id: whether there is a channel, and for how many seconds there is none any more."""
        now = asyncio.get_running_loop().time()
        return {
            node_id: (
                peer.channel is not None and peer.channel.is_open,
                None if peer.lost_at is None else now - peer.lost_at,
            )
            for node_id, peer in self._peers.items()
        }  # fmt: skip

    async def close(self) -> None:
        self._closed = True
        for peer in self._peers.values():
            if peer.channel is not None:
                peer.channel.close("the server is stopping")
        self._peers.clear()
        for channel in list(self._incoming):
            channel.close("the server is stopping")
        await self._tasks.cancel()

    def _take(self, kind: int, payload: bytes) -> None:
        if kind == _REPORT:
            self.on_report(payload)
            return
        if kind == _GOSSIP:
            self.on_gossip(payload)
            return
        message = decode_message(payload)
        if kind != _MESSAGE or message.kind in _NEVER_SENT:
            raise ValueError(f"a frame of kind {kind} with {message.kind.name}")
        self._receive(message)

    def _open(self, node_id: int, peer: _Peer) -> None:
        now = asyncio.get_running_loop().time()
        if not peer.is_opening and now >= peer.next_try and not self._closed and self._hello()["url"]:
            peer.is_opening = True
            self._tasks.start(f"channel to {peer.url}", self._connect(node_id, peer))

    async def _connect(self, node_id: int, peer: _Peer) -> None:
        try:
            peer.channel = await connect(
                peer.url, OPERATION, self._hello(), self._answered, lambda reason: self._open_later(node_id, peer)
            )
            peer.pause_s = 0.0
            peer.lost_at = None
            if self._peers.get(node_id) is not peer:
                peer.channel.close("the node has left the cluster")
        except ChannelClosed as error:
            if not peer.pause_s:
                log.warn("cluster", f"node at {peer.url} cannot be reached: {error}")
            peer.pause_s = min(peer.pause_s * 2 or limits.PEER_RETRY_MS_MIN / 1_000, limits.PEER_RETRY_MS_MAX / 1_000)
            peer.next_try = asyncio.get_running_loop().time() + peer.pause_s
            self._open_later(node_id, peer)
        finally:
            peer.is_opening = False

    def _open_later(self, node_id: int, peer: _Peer) -> None:
        """Try again by itself, so that a node that is back is seen although nobody has anything to say to it."""
        if peer.lost_at is None:
            peer.lost_at = asyncio.get_running_loop().time()

        def again() -> None:
            if self._peers.get(node_id) is peer and (peer.channel is None or not peer.channel.is_open):
                self._open(node_id, peer)

        # Timers may be a little early; then it would not be the time yet.
        asyncio.get_running_loop().call_later(peer.pause_s + limits.PEER_RETRY_MS_MIN / 1_000, again)

    def _answered(self, kind: int, payload: bytes) -> None:
        if kind != _REMOVED:
            raise ValueError("nobody sends on this side of the channel")
        asyncio.get_running_loop().call_soon(self.on_removed)


class _Farewell(Channel):
    """The channel of a node that has left the cluster: it is told so, and nothing is heard of it."""

    def __init__(self) -> None:
        super().__init__(lambda kind, payload: None, lambda reason: None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.send(_REMOVED)
        self.close("the node has left the cluster")
