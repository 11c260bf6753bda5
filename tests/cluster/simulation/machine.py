"""One machine of the simulated cluster: a raft core, its disk, and a driver that does what Ready asks for.

The driver keeps the order that the package text of pynori.cluster.raft demands, and no more order than that: what may
go early goes early at times, disk work takes its time, and messages and ticks arrive meanwhile.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from pynori.cluster.raft import (
    ChangeRefused,
    Entry,
    EntryKind,
    HardState,
    Message,
    MessageKind,
    MessageRefused,
    Options,
    ProposalDropped,
    RaftNode,
    Ready,
    Superseded,
    decode_change,
)
from tests.cluster.simulation.disk import Disk

if TYPE_CHECKING:
    from tests.cluster.simulation.world import World

# With synchronous storage these may leave before the disk is done.
EARLY_KINDS = frozenset({MessageKind.APPEND, MessageKind.HEARTBEAT, MessageKind.SNAPSHOT})


class Machine:
    """A node that can crash, stand still and come back."""

    def __init__(self, world: World, machine_id: int, options: Options) -> None:
        self.world = world
        self.id = machine_id
        self.options = options
        self.disk = Disk()
        self.node = RaftNode(options, self.disk)
        self.is_up = True
        self.is_paused = False
        self.missed_ticks = 0
        # Disk work of an earlier life must not answer in this one.
        self.life = 0
        self._is_busy = False
        self._append_orders: list[tuple[Message, list[Message]]] = []
        self._apply_orders: list[Message] = []
        self._is_appending = False
        self._is_applying = False
        # Reads that wait until this much is applied.
        self._waiting_reads: list[tuple[int, bytes]] = []

    def has_durably(self, index: int, term: int) -> bool:
        """Say whether an entry would survive a crash now."""
        log = self.disk.durable_log
        return log.term(index) == term or log.first_index() > index

    # What happens to it.

    def tick(self) -> None:
        """Let a tick pass; one that stands still makes up for it later if its reads trust the clock."""
        if self.is_paused:
            self.missed_ticks += 1
        elif self.is_up:
            self.node.tick()
            self.after_step()

    def crash(self) -> None:
        """Stop dead."""
        self.is_up = self.is_paused = False
        self.life += 1
        self.disk.crash(self.world.random)
        self.world.witness.crashed(self)

    def restart(self) -> None:
        """Start again from the disk."""
        self.is_up = True
        self.missed_ticks = 0
        self._is_busy = self._is_appending = self._is_applying = False
        self._append_orders.clear()
        self._apply_orders.clear()
        self._waiting_reads.clear()
        self.options.applied = self.disk.app.index
        self.node = RaftNode(self.options, self.disk)
        self.after_step()

    def resume(self) -> None:
        """Go on after standing still."""
        self.is_paused = False
        ticks = self.missed_ticks if self.options.lease_reads else min(1, self.missed_ticks)
        self.missed_ticks = 0
        for _ in range(ticks):
            self.node.tick()
        self.after_step()

    def receive(self, message: Message) -> None:
        """Take a message from the network or from the own disk."""
        with suppress(MessageRefused, ProposalDropped):
            self.node.step(message)
        self.after_step()

    def ask_read(self, context: bytes) -> None:
        """Begin a linearizable read here."""
        self.world.witness.read_asked(self, context)
        self.node.read_index(context)
        self.after_step()

    # The driver.

    def after_step(self) -> None:
        """Let the witness look, then do what is due."""
        self.world.witness.stepped(self, self.world.machines)
        rounds = 0
        while not self._is_busy and self.is_up and not self.is_paused and self.node.has_ready():
            self._take_ready()
            rounds += 1
            assert rounds < 1000, f"{self.id} is never done"

    def _take_ready(self) -> None:
        world = self.world
        ready = self.node.ready()
        world.trace("ready", self.id, ready)
        world.witness.stored(self, list(ready.entries))
        self._waiting_reads += [(read.index, read.context) for read in ready.read_states]
        if self.options.asynchronous_storage:
            self._take_asynchronous(ready)
            self._answer_reads()
            return
        self.disk.write(ready.hard_state, list(ready.entries), ready.snapshot)
        if ready.snapshot is not None:
            world.witness.installed(self, ready.snapshot)
        messages = list(ready.messages)
        if world.random.random() < 0.5:
            early = [message for message in messages if message.kind in EARLY_KINDS]
            messages = [message for message in messages if message.kind not in EARLY_KINDS]
            world.send_all(early)
        if ready.must_sync:
            self._is_busy = True
            world.after(world.disk_delay(), self, self._finish_in_life, self.life, ready, messages)
        else:
            self._finish(ready, messages)

    def _finish_in_life(self, life: int, ready: Ready, messages: list[Message]) -> None:
        if life == self.life and self.is_up:
            self.disk.sync()
            self._finish(ready, messages)
            self.after_step()

    def _finish(self, ready: Ready, messages: list[Message]) -> None:
        """Send, apply and advance, once everything is as durable as it has to be."""
        self.world.send_all(messages)
        self._apply(list(ready.committed_entries))
        self._is_busy = False
        self.node.advance()
        self.world.witness.stepped(self, self.world.machines)

    def _take_asynchronous(self, ready: Ready) -> None:
        """Queue the orders to storage, and send the rest; votes wait for the order that came with them."""
        orders = [message for message in ready.messages if message.kind == MessageKind.STORAGE_APPEND]
        votes = [message for message in ready.messages if message.kind == MessageKind.VOTE]
        rest = [m for m in ready.messages if m.kind not in (MessageKind.STORAGE_APPEND, MessageKind.VOTE)]
        self._apply_orders += [message for message in rest if message.kind == MessageKind.STORAGE_APPLY]
        self.world.send_all([message for message in rest if message.kind != MessageKind.STORAGE_APPLY])
        if orders:
            self._append_orders.append((orders[0], votes))
        else:
            self.world.send_all(votes)
        self._start_threads()

    def _start_threads(self) -> None:
        world = self.world
        if self._append_orders and not self._is_appending:
            self._is_appending = True
            # Several orders may share one sync.
            count = world.random.randint(1, len(self._append_orders))
            for order, _ in self._append_orders[:count]:
                state = HardState(order.term, order.vote, order.commit)
                self.disk.write(None if state.is_empty() else state, list(order.entries), order.snapshot)
                if order.snapshot is not None:
                    world.witness.installed(self, order.snapshot)
            world.after(world.disk_delay(), self, self._end_append, self.life, count)
        if self._apply_orders and not self._is_applying:
            self._is_applying = True
            world.after(world.disk_delay(), self, self._end_apply, self.life)

    def _end_append(self, life: int, count: int) -> None:
        if life != self.life or not self.is_up:
            return
        self.disk.sync()
        done, self._append_orders = self._append_orders[:count], self._append_orders[count:]
        self._is_appending = False
        for order, votes in done:
            self.world.send_all(votes)
            self._deliver(list(order.responses))
        self._start_threads()

    def _end_apply(self, life: int) -> None:
        if life != self.life or not self.is_up:
            return
        order = self._apply_orders.pop(0)
        self._is_applying = False
        self._apply(list(order.entries))
        self._deliver(list(order.responses))
        self._start_threads()

    def _deliver(self, responses: list[Message]) -> None:
        for message in responses:
            if message.target == self.id:
                self.receive(message)
            else:
                self.world.send_all([message])

    def _apply(self, entries: list[Entry]) -> None:
        """Apply entries; at times the application makes durable what it has."""
        for entry in entries:
            before = self.disk.app
            membership = before.membership
            if entry.index <= before.index:
                continue
            if entry.kind != EntryKind.NORMAL:
                try:
                    membership = self.node.apply_change(decode_change(entry.kind, entry.data), entry.index)
                except ChangeRefused:
                    membership = before.membership
                except Superseded:
                    break
            self.disk.app = before.after(entry, membership)
            self.world.witness.applied_entry(self, entry, before, self.disk.app)
            self.world.applied(self, entry)
        if entries and self.world.random.random() < 0.3:
            self.disk.sync_app()
        self._answer_reads()

    def _answer_reads(self) -> None:
        ready = [read for read in self._waiting_reads if read[0] <= self.disk.app.index]
        self._waiting_reads = [read for read in self._waiting_reads if read[0] > self.disk.app.index]
        for index, context in ready:
            self.world.witness.read_answered(self, context, index)
