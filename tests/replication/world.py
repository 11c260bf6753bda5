"""Instances in memory, linked by the real sessions over a network of messages, in virtual time from one seed.

Links lose what is on its way when they break, and open again; messages take their time; instances write and delete on
their own, also while they are apart. Nothing here waits or reads a clock: a seed is a history.

What a version rests on is known here from what happened, not from its vector: a write rests on the versions that stood
where it was made, a version that a rule made of others rests on what they rest on. So a vector that counts what was
never seen is found out when somebody's write is gone.
"""

from __future__ import annotations

import heapq
import itertools
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from pynori_core import change_vector
from pynori_core.command import Batch
from pynori_core.document_writer import DocumentWriter
from pynori_core.item_frames import EMPTY_FRAME, add_frame, outgoing
from pynori_core.items import DocumentStore
from pynori_core.reads import DocumentStream

from pynori.replication.messages import Accepted, decode_batch, encode_batch
from pynori.replication.session import NEVER, Receiver, Sender, Step

ITEMS_MAX = 7  # of one batch, so that snapshots take several
IDS = 6

Version = tuple[str, str, bytes]  # vector, kind, content


class Instance:
    """One database in memory."""

    def __init__(self, tag: str) -> None:
        self.tag = tag
        self.id = bytes([ord(tag)] * 16)
        self.store = DocumentStore.create(None, self.id, tag, in_memory=True)
        self.writer = DocumentWriter(self.store)
        self.name = change_vector.format_database_id(self.id)

    def write(self, *documents: tuple[str, object]) -> list[tuple[str, str]]:
        """One transaction of puts, and of deletions where the content is None; (id, vector) of each that happened."""
        batch = Batch()
        for id, content in documents:
            if content is None:
                batch.delete(id)
            else:
                batch.put(id, json.dumps({"n": content}).encode())
        results = self.writer.execute(batch)
        return [(id, result.change_vector) for (id, _), result in zip(documents, results, strict=True)
                if result.change_vector]  # fmt: skip

    def position(self, source: str) -> int:
        return self.store.position(f"replication/{source}")

    def apply(self, payload: bytes, source: str) -> None:
        batch = decode_batch(payload)
        commands = Batch()
        commands.set_position(f"replication/{source}", batch.position)
        add_frame(commands, batch.items or EMPTY_FRAME, batch.vector)
        self.writer.execute(commands)

    def versions(self) -> dict[str, list[Version]]:
        """All that is there, deletions too, by lower-case id."""
        found: dict[str, list[Version]] = {}
        for item in DocumentStream.items_since(self.store, 0, 1 << 30):
            content = b"" if item.json is None else json.dumps(json.loads(item.json or b"{}").get("n")).encode()
            found.setdefault(item.id.lower(), []).append((item.change_vector, item.kind, content))
        return {id: sorted(versions) for id, versions in found.items()}


def versions_in(frame: bytes) -> dict[str, list[Version]]:
    """What a frame brings, as an empty instance takes it."""
    reader = Instance("Z")
    batch = Batch()
    add_frame(batch, frame)
    reader.writer.execute(batch)
    return reader.versions()


@dataclass
class Link:
    """From one instance to another; `generation` tells messages of an earlier connection."""

    source: Instance
    target: Instance
    generation: int = 0
    sender: Sender | None = None
    receiver: Receiver | None = None
    payloads: list[bytes] = field(default_factory=list)  # on their way, and
    answers: list[Accepted] = field(default_factory=list)  # on their way back
    wakes_at: float = NEVER


class World:
    """A seed's history."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        count = self.chance.choice((2, 3, 3, 4))
        self.instances = [Instance(tag) for tag in "ABCD"[:count]]
        self.links = [Link(a, b) for a, b in itertools.permutations(self.instances, 2)]
        if count > 2 and self.chance.random() < 0.3:
            # Not everybody reaches everybody: a chain, over which versions take detours.
            near = {("A", "B"), ("B", "C"), ("C", "D")}
            self.links = [each for each in self.links if (each.source.tag, each.target.tag) in near
                          or (each.target.tag, each.source.tag) in near]  # fmt: skip
        self.now = 0.0
        self.writes: list[tuple[str, Version]] = []  # acknowledged
        self.rests_on: dict[tuple[str, Version], frozenset[Version]] = {}  # writes that are part of a version
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._numbers = itertools.count(1)
        self.quiet = False

    def at(self, delay: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + delay, next(self._order), act))

    def run(self, steps: int) -> None:
        """So many writes and breaks, then quiet until nothing happens any more."""
        for link in self.links:
            self.at(self.chance.random(), lambda link=link: self._open(link))
        for _ in range(steps):
            self.at(self.chance.random() * 5, self._write)
            if self.chance.random() < 0.3:
                link = self.chance.choice(self.links)
                self.at(self.chance.random() * 5, lambda link=link: self._break(link))
        self._drain()
        self.quiet = True
        for link in self.links:
            if link.sender is None:
                self.at(0.0, lambda link=link: self._open(link))
        self._drain()

    def _drain(self) -> None:
        events = 0
        while self._events:
            self.now, _, act = heapq.heappop(self._events)
            act()
            events += 1
            assert events < 200_000, "it never becomes quiet"

    def _write(self) -> None:
        instance = self.chance.choice(self.instances)
        documents: dict[str, object] = {}
        for _ in range(self.chance.choice((1, 1, 2, 5))):
            documents[f"docs/{self.chance.randrange(IDS)}"] = (
                None if self.chance.random() < 0.2 else self.chance.choice((0, next(self._numbers)))
            )
        before = instance.versions()
        written = [id for id, _ in instance.write(*documents.items())]
        after = instance.versions()
        for id in written:
            (version,) = after[id]
            self.writes.append((id, version))
            self.rests_on[(id, version)] = self._sum(id, before.get(id, [])) | {version}
        self._wake(instance)

    def _sum(self, id: str, versions: list[Version]) -> frozenset[Version]:
        """What versions rest on together."""
        return frozenset().union(*(self.rests_on.get((id, version), frozenset()) for version in versions))

    def _wake(self, instance: Instance) -> None:
        for link in self.links:
            if link.source is instance:
                self._step(link)

    # ---- links

    def _open(self, link: Link) -> None:
        link.generation += 1
        link.receiver = Receiver(link.target.position(link.source.name))
        link.payloads, link.answers = [], []
        start = Accepted(link.receiver.position, link.target.store.change_vector)
        link.sender = Sender(start, link.source.store.last_etag)
        link.wakes_at = NEVER
        self._step(link)

    def _break(self, link: Link) -> None:
        """What is on its way is lost; the receiver keeps what it has on disk."""
        if link.sender is None:
            return
        link.generation += 1
        link.sender = link.receiver = None
        self.at(self.chance.random() * 3, lambda: self._open(link) if link.sender is None else None)

    def _step(self, link: Link) -> None:
        sender = link.sender
        while sender is not None:
            store = link.source.store
            step = sender.next_step(store.change_vector, store.last_etag, self.now)
            if step is Step.READ:
                found = outgoing(store, sender.position, sender.vector, ITEMS_MAX, 1 << 20)
                batch = sender.read(
                    found.items, found.last_etag, found.vector if found.ended else "", found.frame, self.now
                )
            elif step is Step.TELL:
                batch = sender.tell(self.now)
            else:
                if self.now < sender.due_at != NEVER and link.wakes_at != sender.due_at:
                    link.wakes_at = sender.due_at
                    self.at(sender.due_at - self.now, lambda: self._step(link))
                return
            if batch is not None:
                self._send(link, encode_batch(batch))

    def _send(self, link: Link, payload: bytes) -> None:
        link.payloads.append(payload)
        generation = link.generation

        def arrive() -> None:
            # In order, as a connection delivers; whatever belongs to a broken one never comes.
            if link.generation == generation and link.receiver is not None:
                self._arrive(link, link.payloads.pop(0))

        self.at(self.chance.random() * 0.2, arrive)

    def _arrive(self, link: Link, payload: bytes) -> None:
        assert link.receiver is not None
        batch = decode_batch(payload)
        link.receiver.take(batch)
        before = link.target.versions()
        link.target.apply(payload, link.source.name)
        link.receiver.done()
        if batch.items:
            after = link.target.versions()
            for id, came in versions_in(batch.items).items():
                for version in after.get(id, []):
                    if (id, version) not in self.rests_on:  # a rule made it of what was here and what came
                        self.rests_on[(id, version)] = self._sum(id, before.get(id, []) + came)
        link.answers.append(Accepted(batch.position, link.target.store.change_vector))
        generation = link.generation

        def answered() -> None:
            if link.generation == generation and link.sender is not None:
                link.sender.accept(link.answers.pop(0))
                self._step(link)

        self.at(self.chance.random() * 0.2, answered)
        self._wake(link.target)


def wrong_in(world: World) -> list[str]:
    """What must not be, once it is quiet."""
    found = []
    states = [instance.versions() for instance in world.instances]
    for instance, state in zip(world.instances[1:], states[1:], strict=True):
        for id in sorted(state.keys() | states[0].keys()):
            if state.get(id) != states[0].get(id):
                found.append(f"{id}: A has {states[0].get(id)}, {instance.tag} has {state.get(id)}")
    for id, write in world.writes:
        versions = states[0].get(id, [])
        if not any(write in world.rests_on[(id, version)] for version in versions):
            found.append(f"{id}: the acknowledged write {write} is part of none of {versions}")
    return found

