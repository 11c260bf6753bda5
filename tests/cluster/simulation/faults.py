"""What goes wrong in a run, drawn from its seed: which kinds of faults at all, how often, how badly.

Each run arms only some kinds, because many at once hide one another: a network that loses everything never shows what
reordering does. All of it is over with `end`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from pynori.cluster.raft import (
    ChangeKind,
    Compacted,
    MembershipChange,
    NodeChange,
    ProposalDropped,
    Transition,
)

if TYPE_CHECKING:
    from tests.cluster.simulation.machine import Machine
    from tests.cluster.simulation.world import World

KINDS = (
    "loss", "doubling", "reordering", "partition", "one-way", "pause", "crash", "membership", "transfer", "compaction",
    "campaign", "forget",
)  # fmt: skip
TICK = 100
MEMBERS_MAX = 7


@dataclass(frozen=True)
class Plan:
    """One run: its cluster and its faults."""

    nodes: int
    armed: frozenset[str]
    fault_ticks: int
    loss: float
    doubling: float
    drift: int
    disk_delay_max: int
    asynchronous_storage: bool
    pre_vote: bool
    check_quorum: bool
    lease_reads: bool
    step_down_on_removal: bool
    message_bytes_max: int
    uncommitted_bytes_max: int
    window_count_max: int

    @classmethod
    def draw(cls, random: Random) -> Plan:
        """Draw a plan."""
        check_quorum = random.random() < 0.7
        return cls(
            nodes=random.choice((3, 3, 4, 5)),
            armed=frozenset(kind for kind in KINDS if random.random() < 0.45),
            fault_ticks=random.choice((100, 150, 250)),
            loss=random.choice((0.02, 0.1, 0.3)),
            doubling=random.choice((0.05, 0.5)),
            drift=random.choice((0, 5, 20)),
            disk_delay_max=random.choice((2, 20, 150)),
            asynchronous_storage=random.random() < 0.5,
            pre_vote=random.random() < 0.6,
            check_quorum=check_quorum,
            lease_reads=check_quorum and random.random() < 0.4,
            step_down_on_removal=random.random() < 0.5,
            message_bytes_max=random.choice((0, 100, 1 << 20)),
            uncommitted_bytes_max=random.choice((0, 0, 200)),
            window_count_max=random.choice((1, 3, 256)),
        )


class Faults:
    """The hand that breaks things, and mends them in the end."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._is_over = False
        self._next_id = world.plan.nodes + 1

    # The network asks.

    def is_lost(self) -> bool:
        """Say whether the next message is lost."""
        plan = self._world.plan
        return not self._is_over and "loss" in plan.armed and self._world.random.random() < plan.loss

    def is_doubled(self) -> bool:
        """Say whether the next message arrives twice."""
        plan = self._world.plan
        return not self._is_over and "doubling" in plan.armed and self._world.random.random() < plan.doubling

    def delay(self) -> int:
        """Return how long the next message takes."""
        random = self._world.random
        if not self._is_over and "reordering" in self._world.plan.armed and random.random() < 0.15:
            return random.randint(1, 15 * TICK)
        return random.randint(1, TICK // 3)

    # What happens by itself.

    def start(self) -> None:
        """Begin: clients always, and each armed kind at its own pace."""
        paces: dict[str, tuple[int, Callable[[], None]]] = {
            "partition": (30, self._partition), "one-way": (30, self._one_way), "pause": (25, self._pause),
            "crash": (20, self._crash), "membership": (12, self._change_membership), "transfer": (25, self._transfer),
            "compaction": (6, self._compact), "campaign": (30, self._campaign), "forget": (30, self._forget),
        }  # fmt: skip
        self._every(2, self._client)
        for kind in KINDS:
            if kind in self._world.plan.armed and kind in paces:
                self._every(*paces[kind])

    def _every(self, ticks: int, act: Callable[[], None]) -> None:
        def again() -> None:
            if not self._is_over:
                self._world.after(self._world.random.randint(1, 2 * ticks * TICK), None, run)

        def run() -> None:
            if not self._is_over:
                act()
                again()

        again()

    def end(self) -> None:
        """Mend everything: links, machines that stand still, machines that are down."""
        self._is_over = True
        self._world.blocked.clear()
        for machine in list(self._world.machines.values()):
            if machine.is_paused:
                self._world.resume(machine)
            if not machine.is_up:
                machine.restart()

    def mind_members(self, is_led: bool) -> None:
        """Switch off the machines that are no members any more, as their owner would, and on those that are."""
        agreed = self._world.agreed().membership
        members = agreed.members()
        voters = [self._world.machines[voter] for voter in sorted(agreed.all_voters())]
        # Not before one who stays knows of it: the others may still need the vote of the one who goes.
        is_known = is_led and any(voter.is_up and voter.node.membership == agreed for voter in voters)
        for machine in self._world.machines.values():
            if machine.id not in members and machine.is_up and is_known:
                machine.crash()
            elif machine.id in members and not machine.is_up:
                machine.restart()

    def _running(self) -> list[Machine]:
        return [machine for machine in self._world.machines.values() if machine.is_up and not machine.is_paused]

    def _any(self) -> Machine | None:
        running = self._running()
        return self._world.random.choice(running) if running else None

    def _leader_or_any(self) -> Machine | None:
        """Choose a leader most of the time: that is where it hurts."""
        leaders = [machine for machine in self._running() if machine.node.is_leader]
        return self._world.random.choice(leaders) if leaders and self._world.random.random() < 0.6 else self._any()

    def _client(self) -> None:
        machine = self._leader_or_any()
        if machine is None:
            return
        if self._world.random.random() < 0.4:
            self._world.ask_read(machine)
        else:
            self._world.propose(machine, self._world.random.choice((1, 1, 2, 5)))

    def _count(self, what: str, machine_id: int = 0, value: object = "") -> None:
        self._world.result.counts[what] += 1
        self._world.trace("fault", machine_id, f"{what} {value}")

    def _later(self, ticks: int, act: Callable[[], None]) -> None:
        """Mend something after a while, unless all is mended by then."""

        def run() -> None:
            if not self._is_over:
                act()

        self._world.after(self._world.random.randint(TICK, ticks * TICK), None, run)

    def _block(self, links: set[tuple[int, int]]) -> None:
        self._world.blocked |= links
        self._later(50, lambda: self._world.blocked.difference_update(links))

    def _partition(self) -> None:
        ids = sorted(self._world.machines)
        side = {machine_id for machine_id in ids if self._world.random.random() < 0.5}
        self._count("partition", 0, sorted(side))
        self._block({(a, b) for a in ids for b in ids if (a in side) != (b in side)})

    def _one_way(self) -> None:
        machine = self._leader_or_any()
        if machine is None:
            return
        others = [other for other in self._world.machines if other != machine.id]
        self._count("one-way", machine.id)
        is_deaf = self._world.random.random() < 0.5
        self._block({(other, machine.id) if is_deaf else (machine.id, other) for other in others})

    def _pause(self) -> None:
        machine = self._leader_or_any()
        if machine is None:
            return
        self._count("pause", machine.id)
        machine.is_paused = True
        self._later(40, lambda: self._world.resume(machine) if machine.is_paused else None)

    def _crash(self) -> None:
        machine = self._leader_or_any()
        if machine is None:
            return
        self._count("crash", machine.id)
        machine.crash()
        self._later(30, lambda: None if machine.is_up else machine.restart())

    def _transfer(self) -> None:
        machine, target = self._leader_or_any(), self._any()
        if machine is not None and target is not None:
            self._count("transfer", machine.id, target.id)
            machine.node.transfer_leader(target.id)
            machine.after_step()

    def _campaign(self) -> None:
        machine = self._any()
        if machine is not None:
            self._count("campaign", machine.id)
            machine.node.campaign()
            machine.after_step()

    def _forget(self) -> None:
        machine = self._any()
        if machine is not None:
            self._count("forget", machine.id)
            machine.node.forget_leader()
            machine.after_step()

    def _compact(self) -> None:
        machine = self._any()
        if machine is None:
            return
        machine.disk.sync_app()
        try:
            machine.disk.compact_to(machine.disk.app.index - self._world.random.randint(0, 3))
        except Compacted:
            return
        self._count("compaction", machine.id)

    def _change_membership(self) -> None:
        machine = self._leader_or_any()
        if machine is None:
            return
        if machine.node.membership.is_joint():
            self.leave_joint(machine)
            return
        random = self._world.random
        steps = tuple(self._draw_step(machine) for _ in range(random.choice((1, 1, 1, 2, 3))))
        transition = random.choice(tuple(Transition))
        is_single = len(steps) == 1 and transition == Transition.AUTO and random.random() < 0.5
        change = MembershipChange(steps, transition, is_single=is_single)
        self._count("change", machine.id, change)
        self._propose_change(machine, change)

    def _draw_step(self, machine: Machine) -> NodeChange:
        """Choose a node to add, promote, demote or remove; a new one is set up at once, empty."""
        random = self._world.random
        members = sorted(machine.node.membership.members())
        if random.random() < 0.4 and self._next_id <= MEMBERS_MAX:
            self._world.create(self._next_id)
            self._next_id += 1
            return NodeChange(random.choice((ChangeKind.ADD_VOTER, ChangeKind.ADD_LEARNER)), self._next_id - 1)
        known = members if random.random() < 0.8 and members else sorted(self._world.machines)
        kind = random.choice((ChangeKind.ADD_VOTER, ChangeKind.ADD_VOTER, ChangeKind.ADD_LEARNER, ChangeKind.REMOVE))
        return NodeChange(kind, random.choice(known))

    def leave_joint(self, machine: Machine) -> None:
        """Propose to leave a joint membership."""
        self._count("leave joint", machine.id)
        self._propose_change(machine, MembershipChange())

    def _propose_change(self, machine: Machine, change: MembershipChange) -> None:
        with suppress(ProposalDropped):
            machine.node.propose_change(change)
        machine.after_step()
