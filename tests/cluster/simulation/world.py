"""The events of a simulated cluster, in the order of their time: ticks, messages, disk work, faults and clients.

    run(seed)     a history with faults, then a healed cluster that must find a leader and get on
    report(seed)  the same history once more, as text, one line for each event

Time counts in hundredths of a tick of an even clock.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random

from pynori.cluster.raft import (
    Entry,
    InvariantBroken,
    Membership,
    Message,
    MessageKind,
    Options,
    ProposalDropped,
    Ready,
    Sentence,
)
from pynori.cluster.raft.describe import describe_message, describe_ready
from pynori.cluster.raft.quorum import VoteResult, joint_vote
from tests.cluster.simulation.disk import AppState
from tests.cluster.simulation.faults import Faults, Plan
from tests.cluster.simulation.machine import Machine
from tests.cluster.simulation.witness import Violation, Witness

TICK = 100
ELECTION_TICKS = 10
# A cluster that works finds a leader within three of the longest election timeouts of its slowest clock.
LEADER_TIME_MAX = 3 * (2 * ELECTION_TICKS - 1) * TICK * 6 // 5
# Then everything else is done within ten: leave a joint membership, commit, bring everybody up to date, read.
PROGRESS_TIME_MAX = 10 * (2 * ELECTION_TICKS - 1) * TICK * 6 // 5
FIRST_INDEX = 10


@dataclass
class Result:
    """What a run came to. healed_time: from the heal to a leader that has committed."""

    seed: int
    plan: Plan
    events: int = 0
    ticks: int = 0
    healed_time: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    failure: str = ""


class World:
    """One history from one seed."""

    def __init__(self, seed: int, is_traced: bool = False) -> None:
        self.random = Random(seed)
        self.plan = Plan.draw(self.random)
        self.faults = Faults(self)
        self.witness = Witness()
        self.result = Result(seed, self.plan)
        self.machines: dict[int, Machine] = {}
        self.time = 0
        self.lines: list[str] | None = [] if is_traced else None
        self.blocked: set[tuple[int, int]] = set()
        self.is_healed = False
        self._queue: list[tuple[int, int, Machine | None, Callable[..., None], tuple[object, ...]]] = []
        self._sequence = 0
        self._backlog: dict[int, list[tuple[Callable[..., None], tuple[object, ...]]]] = {}
        self._commands = 0
        self._periods: dict[int, int] = {}
        first = AppState(FIRST_INDEX, 1, 0, Membership(frozenset(range(1, self.plan.nodes + 1))))
        self.witness.bootstrapped(first)
        for machine_id in range(1, self.plan.nodes + 1):
            self.create(machine_id, first)

    # Time.

    def after(self, delay: int, machine: Machine | None, act: Callable[..., None], *arguments: object) -> None:
        """Let something happen later; at a machine that stands still it waits until the machine goes on."""
        self._sequence += 1
        heapq.heappush(self._queue, (self.time + delay, self._sequence, machine, act, arguments))

    def run_until(self, time: int, is_done: Callable[[], bool] = lambda: False) -> bool:
        """Let events happen up to a time, or until it is done; return whether it is."""
        while not is_done():
            if not self._queue or self._queue[0][0] > time:
                self.time = time
                return False
            self.time, _, machine, act, arguments = heapq.heappop(self._queue)
            if machine is not None and machine.is_paused:
                self._backlog.setdefault(machine.id, []).append((act, arguments))
                continue
            self.result.events += 1
            act(*arguments)
        return True

    def resume(self, machine: Machine) -> None:
        """Let a machine go on: first the time that it missed, then what waited for it."""
        machine.resume()
        for act, arguments in self._backlog.pop(machine.id, []):
            act(*arguments)

    def trace(self, what: str, machine_id: int, value: object) -> None:
        """Write a line, if somebody wants to read it."""
        if self.lines is None:
            return
        if isinstance(value, Message):
            text = describe_message(value)
        elif isinstance(value, Ready):
            text = describe_ready(value).replace("\n", " | ")
        else:
            text = str(value)
        self.lines.append(f"{self.time / TICK:9.2f} {machine_id} {what}: {text}")

    # Machines.

    def create(self, machine_id: int, first: AppState | None = None) -> Machine:
        """Set up a machine: one of the first, or an empty one that is to join."""
        plan = self.plan

        def listen(sentence: Sentence, values: tuple[object, ...]) -> None:
            self.trace("says", machine_id, sentence.text(values))

        options = Options(
            machine_id,
            self.random.randrange,
            election_ticks=ELECTION_TICKS,
            heartbeat_ticks=2,
            asynchronous_storage=plan.asynchronous_storage,
            message_bytes_max=plan.message_bytes_max,
            uncommitted_bytes_max=plan.uncommitted_bytes_max,
            window_count_max=plan.window_count_max,
            pre_vote=plan.pre_vote,
            check_quorum=plan.check_quorum,
            lease_reads=plan.lease_reads,
            step_down_on_removal=plan.step_down_on_removal,
            listener=listen if self.lines is not None else None,
        )
        machine = Machine(self, machine_id, options)
        if first is not None:
            machine.disk.write(None, [], first.snapshot())
            machine.restart()
        self.machines[machine_id] = machine
        self._periods[machine_id] = TICK + self.random.randint(-plan.drift, plan.drift) * TICK // 100
        self.after(self.random.randint(1, TICK), None, self._tick, machine)
        return machine

    def _tick(self, machine: Machine) -> None:
        self.result.ticks += 1
        machine.tick()
        self.after(self._periods[machine.id], None, self._tick, machine)

    def disk_delay(self) -> int:
        """Return how long the disk works now."""
        return self.random.randint(1, self.plan.disk_delay_max)

    # The network.

    def send_all(self, messages: list[Message]) -> None:
        """Put messages on the network, where they may be lost, doubled and late."""
        for message in messages:
            self.witness.sent(message)
            copies = 0 if self.faults.is_lost() else 2 if self.faults.is_doubled() else 1
            for _ in range(copies):
                self.after(self.faults.delay(), None, self._deliver, message)
            if message.kind == MessageKind.SNAPSHOT:
                self._report_snapshot_later(message, copies > 0)
            elif not copies and self.random.random() < 0.2:
                self._at_sender(message, partial(_report_unreachable, message.target))

    def _report_snapshot_later(self, message: Message, is_sent: bool) -> None:
        """Tell the sender how its snapshot fared, as a transport must, sooner or later."""
        machine = self.machines.get(message.target)
        is_delivered = is_sent and machine is not None and machine.is_up
        self._at_sender(message, lambda sender: sender.node.report_snapshot(message.target, is_delivered))

    def _at_sender(self, message: Message, act: Callable[[Machine], None]) -> None:
        sender = self.machines[message.source]

        def run() -> None:
            if sender.is_up:
                act(sender)
                sender.after_step()

        self.after(self.random.randint(1, 5 * TICK), sender, run)

    def _deliver(self, message: Message) -> None:
        machine = self.machines.get(message.target)
        if machine is None or not machine.is_up or (message.source, message.target) in self.blocked:
            return
        if machine.is_paused:
            self._backlog.setdefault(machine.id, []).append((self._deliver, (message,)))
            return
        self.trace("gets", machine.id, message)
        self.result.counts["messages"] += 1
        machine.receive(message)

    # Clients.

    def propose(self, machine: Machine, count: int) -> bool:
        """Propose new commands at a machine; return whether they were taken."""
        commands = []
        for _ in range(count):
            self._commands += 1
            commands.append(b"c%d" % self._commands + b"." * self.random.choice((0, 0, 5, 60)))
        try:
            machine.node.propose_many(commands)
        except ProposalDropped:
            return False
        finally:
            machine.after_step()
        self.result.counts["proposals"] += count
        return True

    def ask_read(self, machine: Machine) -> None:
        """Begin a read at a machine."""
        self._commands += 1
        self.result.counts["reads"] += 1
        machine.ask_read(b"r%d" % self._commands)

    def applied(self, machine: Machine, entry: Entry) -> None:
        """Hear what a machine applied."""
        self.trace("applies", machine.id, f"{entry.term}/{entry.index}")

    # The whole.

    def agreed(self) -> AppState:
        """Return the newest state that anybody has applied."""
        return self.witness.applied[self.witness.applied_max]

    def members(self) -> list[Machine]:
        """Return the machines of the newest membership."""
        return [self.machines[machine_id] for machine_id in sorted(self.agreed().membership.members())]

    def leader(self) -> Machine | None:
        """Return the machine that leads and that a quorum follows."""
        for machine in self.machines.values():
            term = machine.node.term
            if not machine.is_up or not machine.node.is_leader:
                continue
            membership = machine.node.membership
            votes = {i: m.node.leader == machine.id and m.node.term == term for i, m in self.machines.items()}
            if joint_vote(membership.voters, membership.outgoing, votes) == VoteResult.WON:
                return machine
        return None

    def run(self) -> Result:
        """Run the whole history; the result says what went wrong, if anything did."""
        try:
            self.faults.start()
            self.run_until(self.plan.fault_ticks * TICK)
            self._heal()
        except (Violation, InvariantBroken) as error:
            self.result.failure = f"{type(error).__name__} at {self.time / TICK:.2f}: {error}"
        counts = self.result.counts
        counts["terms"] = len(self.witness.leaders)
        counts["commits"] = self.witness.committed_max - FIRST_INDEX
        counts["reads answered"] = self.witness.reads_answered
        counts["changes"] = self.witness.changes_applied
        return self.result

    def _heal(self) -> None:
        """End all faults; demand a leader soon, and then that everybody gets on."""
        self.trace("heal", 0, "everybody runs, nothing is lost")
        self.faults.end()
        healed = self.time
        limit = healed + PROGRESS_TIME_MAX
        if not self.plan.pre_vote and not self.run_until(limit, lambda: self.leader() is not None):
            # Without pre-vote a fast clock whose log is behind may keep those from standing who could win.
            self.result.counts["starved without pre-vote"] += 1
            return
        self._require_soon(LEADER_TIME_MAX, lambda: self.leader() is not None, "L1: no leader after the heal")
        self.result.healed_time = self.time - healed
        self._require_soon(PROGRESS_TIME_MAX, self._has_left_joint, "L2: a joint membership is never left")
        self._require_soon(PROGRESS_TIME_MAX, self._is_member_led, "L3: no member leads")
        target = self.witness.applied_max + 1
        self._require_soon(PROGRESS_TIME_MAX, lambda: self._propose_anywhere(target), "L4: no command is committed")
        self._require_soon(
            PROGRESS_TIME_MAX,
            lambda: all(machine.disk.app.index >= target for machine in self.members()),
            f"L5: not everybody has entry {target}",
        )
        answered = self.witness.reads_answered
        self._require_soon(PROGRESS_TIME_MAX, lambda: self._read_anywhere(answered), "L6: no read is answered")

    def _require_soon(self, time: int, is_done: Callable[[], bool], text: str) -> None:
        end = self.time + time
        while not self.run_until(min(end, self.time + TICK), is_done):
            if self.time >= end:
                raise Violation(text)
            self.faults.mind_members(self.leader() is not None)

    def _has_left_joint(self) -> bool:
        """Leave a joint membership that does not leave by itself, as the application must."""
        if not self.agreed().membership.is_joint():
            return True
        leader = self.leader()
        if leader is not None and not self.agreed().membership.auto_leave and self.random.random() < 0.01:
            self.faults.leave_joint(leader)
        return False

    def _is_member_led(self) -> bool:
        """Say whether a voter leads; hand over from one that was made a learner, as the application must."""
        leader = self.leader()
        voters = sorted(self.agreed().membership.all_voters())
        if leader is None or leader.id in voters:
            return leader is not None
        if self.random.random() < 0.01:
            leader.node.transfer_leader(self.random.choice(voters))
            leader.after_step()
        return False

    def _propose_anywhere(self, target: int) -> bool:
        leader = self.leader()
        if leader is not None and self.witness.applied_max < target and self.random.random() < 0.02:
            self.propose(leader, 1)
        return self.witness.applied_max >= target

    def _read_anywhere(self, answered: int) -> bool:
        if self.random.random() < 0.02:
            self.ask_read(self.random.choice([m for m in self.members() if m.is_up]))
        return self.witness.reads_answered > answered


def _report_unreachable(target: int, sender: Machine) -> None:
    sender.node.report_unreachable(target)


def run(seed: int) -> Result:
    """Run the history of a seed."""
    return World(seed).run()


def report(seed: int, lines_max: int = 200) -> str:
    """Return the end of a seed's history as text, with what went wrong."""
    world = World(seed, is_traced=True)
    result = world.run()
    lines = (world.lines or [])[-lines_max:]
    return "\n".join([*lines, f"seed {seed}: {result.plan}", result.failure or "nothing went wrong"])
