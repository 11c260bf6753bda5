"""A world of SWIM nodes in virtual time: loss, delay, one-way cuts, pauses, kills and restarts, all from one seed."""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from pynori.cluster import gossip
from pynori.cluster.swim import Swim
from pynori.cluster.swim_types import Member, Message, State

PERIOD_MS = 1_000.0
DELAY_MS = (0.3, 30.0)  # of a message: two are often out of order
HEAD_SIZE_BYTES = 6  # of a frame
AT_ONCE_MAX = 10_000  # events at the same moment


class Change(NamedTuple):
    """Somebody believes something else of another one."""

    at_ms: float
    who: int
    whom: int
    before: State
    now: State


class World:
    """Nodes 0 to `count` - 1, named by their place; their raft ids are as long as real ones."""

    def __init__(self, seed: int, count: int, loss: float = 0.0, measures: bool = False) -> None:
        """measures: count the bytes that are sent, which takes time."""
        self.chance = random.Random(seed)
        self.now_ms = 0.0
        self.loss = loss
        self.ids = [self.chance.getrandbits(56) | 1 for _ in range(count)]
        self.nodes: list[Swim | None] = [None] * count
        self.cuts: set[tuple[int, int]] = set()  # (from, to), by place
        self.paused: set[int] = set()
        self.sent = Counter[int]()  # messages by node
        self.sent_bytes = Counter[int]()
        self.largest_bytes = 0
        self.changes: list[Change] = []
        self._measures = measures
        self._places = {id: place for place, id in enumerate(self.ids)}
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = itertools.count()
        self._woken: dict[int, float] = {}  # when a node is called next, by place
        self._held: dict[int, list[Message]] = {}  # what has come to a node that stands still
        for place in range(count):
            self.start(place)

    # ---- what happens to nodes

    def start(self, place: int) -> None:
        """Start a node, or start it again: it has forgotten everything."""
        node = Swim(gossip.options(self.chance.randrange, PERIOD_MS), self.ids[place], self.now_ms)
        node.on_change = lambda member, before: self._changed(place, member, before)
        node.set_members(self.ids, self.now_ms)
        self.nodes[place] = node
        self._woken.pop(place, None)
        self._served(place, node)

    def kill(self, place: int) -> None:
        self.nodes[place] = None

    def pause(self, place: int) -> None:
        """It stands still: what comes waits for it."""
        self.paused.add(place)

    def resume(self, place: int) -> None:
        self.paused.discard(place)
        for message in self._held.pop(place, []):
            self._arrive(place, message)
        self._woken[place] = self.now_ms
        self._wake(place, self.now_ms)

    def cut(self, *pairs: tuple[int, int]) -> None:
        """No message goes from the first to the second any more."""
        self.cuts.update(pairs)

    def heal(self) -> None:
        self.cuts.clear()

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end_ms = self.now_ms + seconds * 1_000
        at_once = 0
        while self._events and self._events[0][0] <= end_ms:
            before_ms = self.now_ms
            self.now_ms, _, what, arguments = heapq.heappop(self._events)
            at_once = at_once + 1 if self.now_ms == before_ms else 0
            assert at_once < AT_ONCE_MAX, "a node wants to be called again and again"
            what(*arguments)
        self.now_ms = end_ms

    # ---- what is seen

    def node(self, place: int) -> Swim:
        found = self.nodes[place]
        assert found is not None
        return found

    def view(self, place: int, other: int) -> Member:
        """What a node knows of another one."""
        return self.node(place).members[self.ids[other]]

    def believers(self, other: int, state: State) -> list[int]:
        """Who takes a node to be in this state, of those that run."""
        running = (place for place, node in enumerate(self.nodes) if node is not None and place != other)
        return [place for place in running if self.view(place, other).state is state]

    def failures(self) -> list[Change]:
        """When somebody took a node to have failed."""
        return [change for change in self.changes if change.now is State.FAILED]

    def believed_wrongly(self) -> list[tuple[int, int]]:
        """Who takes whom not to live, of those that run."""
        running = [place for place, node in enumerate(self.nodes) if node is not None]
        pairs = ((who, whom) for who in running for whom in running if who != whom)
        return [(who, whom) for who, whom in pairs if self.view(who, whom).state is not State.ALIVE]

    # ---- inside

    def _changed(self, place: int, member: Member, before: State) -> None:
        self.changes.append(Change(self.now_ms, place, self._places[member.id], before, member.state))

    def _at(self, at_ms: float, what: Callable[..., None], *arguments: Any) -> None:
        heapq.heappush(self._events, (at_ms, next(self._order), what, arguments))

    def _served(self, place: int, node: Swim) -> None:
        """Send what a node wants sent, and call it again when it wants to be called."""
        for message in node.take_messages():
            self.sent[place] += 1
            if self._measures:
                size = len(gossip.encode(message)) + HEAD_SIZE_BYTES
                self.sent_bytes[place] += size
                self.largest_bytes = max(self.largest_bytes, size)
            target = self._places[message.target]
            if (place, target) not in self.cuts and self.chance.random() >= self.loss:
                self._at(self.now_ms + self.chance.uniform(*DELAY_MS), self._arrive, target, message)
        if node.next_ms < self._woken.get(place, math.inf):
            self._woken[place] = node.next_ms
            self._at(max(node.next_ms, self.now_ms), self._wake, place, node.next_ms)

    def _wake(self, place: int, due_ms: float) -> None:
        if self._woken.get(place) != due_ms:
            return  # it was called earlier than that
        del self._woken[place]
        node = self.nodes[place]
        if node is not None and place not in self.paused:
            if node.next_ms <= self.now_ms:
                node.tick(self.now_ms)
            self._served(place, node)

    def _arrive(self, place: int, message: Message) -> None:
        node = self.nodes[place]
        if node is None:
            return
        if place in self.paused:
            self._held.setdefault(place, []).append(message)
            return
        node.step(message, self.now_ms)
        self._served(place, node)
