"""SWIM over the channels of the transport: time, chance, bytes and wake-ups for the pure part in `swim.py`.

What it finds out is evidence and nothing else: for the supervisor and for people. A node of which nobody but this one
is a member is silent. A message to a node without a channel is dropped, so that the probe is not answered; and whoever
is heard of, or is said to live again, is connected to at once in place of after the transport's pause.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated

import msgspec

from pynori import limits
from pynori.cluster.swim import Swim
from pynori.cluster.swim_types import Counts, Kind, Member, Message, News, Options, Sight, State
from pynori.cluster.transport import Transport
from pynori.runtime import log
from pynori.runtime.clock import Clock
from pynori.runtime.rand import Rand


class _News(msgspec.Struct, array_like=True, frozen=True):
    """One piece of news on the wire."""

    subject: int
    state: State
    incarnation: Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
    accuser: int


class _Frame(msgspec.Struct, array_like=True, frozen=True):
    """One message on the wire. What later versions add comes behind this, and is passed over here."""

    kind: Kind
    number: int
    source: int
    subject: int
    news: list[_News]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Frame)


def encode(message: Message) -> bytes:
    """The payload of a frame. Whom it is for is known by the channel."""
    return _encoder.encode((message.kind, message.number, message.source, message.subject, message.news))


def decode(payload: bytes, target: int) -> Message:
    """The message of a frame that came to `target`. Raises: ValueError, msgspec.DecodeError."""
    frame = _decoder.decode(payload)
    if len(frame.news) > limits.CLUSTER_NODES_MAX:
        raise ValueError(f"{len(frame.news)} pieces of news in one message")
    news = tuple(News(each.subject, each.state, each.incarnation, each.accuser) for each in frame.news)
    return Message(frame.kind, target, frame.source, frame.number, frame.subject, news)


def options(random_below: Callable[[int], int], period_ms: float) -> Options:
    """What `limits` says for all nodes, with this one's period."""
    return Options(
        random_below, period_ms, limits.SWIM_HELPERS, limits.SWIM_CONFIRMATIONS, limits.SWIM_SUSPICION_PERIODS,
        limits.SWIM_SUSPICION_SPREAD, limits.SWIM_NEWS_REPEATS, limits.SWIM_NEWS_MAX, limits.SWIM_SCORE_MAX,
        limits.SWIM_RELAYS_MAX,
    )  # fmt: skip


class Gossip:
    """This node's part in the gossip. Belongs to one event loop."""

    def __init__(self, clock: Clock, rand: Rand, period_ms: float) -> None:
        self._clock = clock
        self._options = options(rand.below, period_ms)
        self._swim = Swim(self._options, 0, 0.0)
        self._transport: Transport | None = None  # none before the begin and after the end
        self._tags: dict[int, str] = {}  # of the other nodes, by raft id
        self._watched: set[int] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._due_ms = 0.0  # when it rings
        self.sent = 0  # messages,
        self.sent_bytes = 0  # and their payload

    def begin(self, node_id: int, transport: Transport) -> None:
        """Take part as a node with this raft id, which has no part yet or was another one so far."""
        self._transport = transport
        self._tags = {}
        self._watched = set()
        self._swim = Swim(self._options, node_id, self._clock.monotonic_ms())
        self._swim.on_change = self._changed
        transport.on_gossip = self._take
        self._serve()

    def end(self) -> None:
        self._transport = None
        self._serve()

    def set_nodes(self, tags: Mapping[int, str]) -> None:
        """Who the other nodes are, by raft id."""
        self._tags = dict(tags)
        self._watched &= self._tags.keys()
        self._swim.set_members(tags, self._clock.monotonic_ms())
        self._serve()

    def watch(self, node_ids: Iterable[int]) -> None:
        """Probe these nodes more often than their turn comes: of them it is to be known how they are now."""
        self._watched = self._tags.keys() & set(node_ids)
        if self._watched:
            now_ms = self._clock.monotonic_ms()
            for node_id in sorted(self._watched):
                self._swim.look_at(node_id, now_ms)
            self._serve()

    # ------------------------------------------------------------ what is known

    def sight(self, node_id: int) -> Sight | None:
        """What is known of a node; None of one that is none of the others."""
        member = self._swim.members.get(node_id)
        if member is None:
            return None
        from_ms = self._clock.monotonic_ms() - self._fresh_ms()
        reached_by = (self._tags.get(each) for each, at_ms in member.reached_by.items() if at_ms >= from_ms)
        missed_by = (self._tags.get(each) for each in member.accusers)
        return Sight(
            member.state, member.since_ms, member.incarnation, member.answered_ms,
            member.answered_ms is not None and member.answered_ms >= from_ms,
            tuple(sorted(filter(None, reached_by))), tuple(sorted(filter(None, missed_by))), member.round_trip_ms,
        )  # fmt: skip

    def _fresh_ms(self) -> float:
        """The watched, or else all, are probed in turn, and a probe takes longer while this node is unwell."""
        turns = len(self._watched) or len(self._tags)
        return limits.SWIM_FRESH_PERIODS * (1 + self._swim.score) * turns * self._options.period_ms

    def sights(self) -> dict[str, Sight]:
        """What is known of each other node, by tag."""
        found = {tag: self.sight(node_id) for node_id, tag in self._tags.items()}
        return {tag: sight for tag, sight in sorted(found.items()) if sight is not None}

    @property
    def counts(self) -> Counts:
        """How probes have ended."""
        return self._swim.counts

    @property
    def score(self) -> int:
        """How unwell this node is."""
        return self._swim.score

    # ------------------------------------------------------------ the loop

    def _take(self, payload: bytes) -> None:
        """A frame has come."""
        message = decode(payload, self._swim.node_id)
        if self._transport is None:
            return
        self._swim.step(message, self._clock.monotonic_ms())
        if message.source in self._swim.members:
            self._transport.hurry(message.source)
        self._serve()

    def _ring(self) -> None:
        self._timer = None
        self._swim.tick(self._clock.monotonic_ms())
        self._serve()

    def _serve(self) -> None:
        """Send what is to be sent, and set the timer."""
        messages = self._swim.take_messages()
        if self._transport is not None:
            for message in messages:
                payload = encode(message)
                self.sent += 1
                self.sent_bytes += len(payload)
                self._transport.gossip(message.target, payload)
        due_ms = self._swim.next_ms if self._transport is not None else math.inf
        if self._timer is not None:
            if due_ms == self._due_ms:
                return
            self._timer.cancel()
            self._timer = None
        if due_ms < math.inf:
            self._due_ms = due_ms
            delay_s = max(0.0, due_ms - self._clock.monotonic_ms()) / 1_000
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._ring)

    def _changed(self, member: Member, before: State) -> None:
        """What is believed of a member has changed."""
        tag = self._tags.get(member.id, "")
        others = ", ".join(sorted(self._tags.get(each, "this node") for each in member.accusers))
        if member.state is State.FAILED:
            log.warn("gossip", f"node {tag} has failed: {others} could not reach it, and it did not answer to that")
        elif before is State.FAILED:
            log.info("gossip", f"node {tag} is back")
        else:
            log.debug("gossip", f"node {tag} is taken to be {member.state.name.lower()}, by {others or 'its own word'}")
        if member.state is State.ALIVE and self._transport is not None:
            self._transport.hurry(member.id)
