"""The one loop around the Raft core: what comes in, what is stored, sent and applied, and in which order.

Everything of the core happens on the event loop. What it wants stored and applied is collected while the store writes;
each write is one transaction and one sync for all that was collected, in a thread: new entries, term and vote, and the
changes of the entries that are applied. Only when it is durable do the tables show the changes, answers leave for other
nodes, and proposers get their results. So the loop never waits for a disk, and one sync serves many commands.

A proposal carries a number of its own, and its proposer waits until the entry with that number is applied here: the
same on a leader and on a follower, whose core sends it on. What gets lost on that way is proposed again. Without a
leader it waits for one, for a bounded time.

Invariants: the tables never hold what is not durable. `applied_index` is the index of the last durable applied entry.
After a failed write nothing is known about the disk: this node takes no part any more until it is opened again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from pynori_core.errors import EngineError

from pynori import limits
from pynori.cluster.commands import COMMANDS, Fields, View, is_known, leave_groups
from pynori.cluster.entries import Command, Recent, decode_command, encode_command
from pynori.cluster.raft.membership import MembershipChange, decode_change
from pynori.cluster.raft.node import RaftNode
from pynori.cluster.raft.options import Options
from pynori.cluster.raft.types import (
    APPEND_THREAD,
    APPLY_THREAD,
    ChangeRefused,
    Entry,
    EntryKind,
    HardState,
    InvariantBroken,
    Membership,
    Message,
    MessageKind,
    MessageRefused,
    ProposalDropped,
    Snapshot,
    Superseded,
)
from pynori.cluster.raft_log import RaftLog
from pynori.cluster.reads import ReadBarriers
from pynori.cluster.state_transfer import StateReceiver, StateSender
from pynori.cluster.store import Loaded, Round, Store, Tables
from pynori.cluster.topology import apply_change
from pynori.cluster.transport import Transport
from pynori.errors import (
    LimitExceeded,
    NoLeader,
    Overloaded,
    PynoriError,
    RequestTimeout,
    StorageFailed,
    Unavailable,
    from_engine,
)
from pynori.runtime import log
from pynori.runtime.channel import Channel
from pynori.runtime.rand import Rand
from pynori.runtime.tasks import Tasks

Outcome = tuple[int, Any]  # raft index, what apply returned
Changed = Set[tuple[str, str]]  # (table, key) of what has changed


class _Proposal:
    """A command of this process that is not applied yet."""

    __slots__ = ("command", "future", "sent_at")

    def __init__(self, command: Command, future: asyncio.Future[Outcome]) -> None:
        self.command = command
        self.future = future
        self.sent_at = 0.0  # when the core took it last; 0: never


@dataclass(slots=True)
class _Applied:
    """What comes of applying entries, before it is durable."""

    index: int
    term: int
    changes: dict[tuple[str, str], Any]
    membership: Membership | None
    outcomes: list[tuple[int, Outcome | Exception]]  # of proposals of this process, by number


class Driver:
    """This node's part in the cluster's agreement. Belongs to one event loop."""

    def __init__(self, store: Store, loaded: Loaded, node_id: int, rand: Rand, election_ms: int) -> None:
        self._tick_s = election_ms / limits.RAFT_ELECTION_TICKS / 1_000
        self._leaderless_wait_s = max(limits.LEADERLESS_WAIT_MS, 4 * election_ms) / 1_000
        self._proposal_wait_s = max(limits.PROPOSAL_WAIT_MS, 6 * election_ms) / 1_000
        self.applied_index = loaded.applied
        self.on_publish: Callable[[Changed], None] = lambda changed: None
        self.on_leader: Callable[[], None] = lambda: None
        self.node_id = node_id
        self._store = store
        self._tables: Tables = loaded.tables
        self._log = RaftLog(loaded, self._want_snapshot)
        self._node = RaftNode(
            Options(
                node_id=node_id, random_ticks=rand.below, election_ticks=limits.RAFT_ELECTION_TICKS,
                heartbeat_ticks=limits.RAFT_HEARTBEAT_TICKS,
                applied=loaded.applied, asynchronous_storage=True, pre_vote=True, check_quorum=True,
                uncommitted_bytes_max=limits.RAFT_UNCOMMITTED_BYTES_MAX, step_down_on_removal=True,
                window_count_max=limits.RAFT_WINDOW_COUNT_MAX,
            ),
            self._log,
        )  # fmt: skip
        self.transport = Transport(self._receive, self._unreachable)
        self._state_sender = StateSender(store, self.transport.hello, self.transport.url, self._state_sent)
        self._loop = asyncio.get_running_loop()
        self._process = int.from_bytes(rand.random_bytes(7), "big")
        self._last_number = 0
        self._recent = Recent(loaded.recent)
        self._proposed: dict[int, _Proposal] = {}
        self._fresh: dict[int, bytes] = {}  # data of proposals that the core is to take, by number
        self._last_leader = 0
        self.leader_changes = 0  # since the start, the first leader not counted
        self._leaderless_since: float | None = None
        self._heard_at = 0.0  # when the leader spoke last
        self._taking = False
        self._appends: deque[Message] = deque()
        self._applies: deque[Message] = deque()
        self._writer: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self._closed = False
        self._index_waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._reads = ReadBarriers(self._process.to_bytes(8, "big"), self._node.read_index)
        self._snapshot_wanted = False
        self._tasks = Tasks()
        # One thread: transactions of the store follow one another by its own rule, a second could only wait.
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="pynori-state")
        self._state_receiver = StateReceiver(store, self._executor, self._receive_state)
        self._next_tick: asyncio.TimerHandle | None = None
        self._ticked_at = self._loop.time()  # up to where a follower has counted the ticks since its leader spoke

    def start(self) -> None:
        """Begin to take part. Who is alone leads at once."""
        if self._is_alone():
            self._node.campaign()
        self._pump()
        self._arm()
        self._state_receiver.clear_soon()

    # ------------------------------------------------------------ what is known

    @property
    def leader_id(self) -> int:
        """Raft id of the leader; 0: none is known."""
        return self._node.leader

    @property
    def hears_leader(self) -> bool:
        """Whether another node leads, and has spoken within the election time."""
        if self._follows_quietly():
            self._count_ticks()
        return self._follows_quietly()

    @property
    def is_leader(self) -> bool:
        return self._node.is_leader

    @property
    def term(self) -> int:
        return self._node.term

    @property
    def role(self) -> str:
        return str(self._node.status().soft_state.role).removeprefix("State")

    @property
    def membership(self) -> Membership:
        return self._node.membership

    @property
    def is_busy(self) -> bool:
        """Whether something that was proposed here is still on its way."""
        return bool(self._proposed)

    @property
    def is_cut_off(self) -> bool:
        """Whether a majority may have decided things for a while of which this node does not hear.

        So it is until the first leader is known, and when none is heard of for longer than an election takes.
        """
        leader, now = self._node.leader, self._loop.time()
        if self._failure is not None or self._is_alone():
            return self._failure is not None
        if leader == self.node_id:
            return False  # it leads as long as a majority answers
        if leader:
            # Who has no vote stands for no election, and would take a leader that is gone for one for ever.
            return now - self._heard_at > self._leaderless_wait_s
        since = self._leaderless_since
        return not self._last_leader or since is None or now - since > self._leaderless_wait_s

    @property
    def failure(self) -> BaseException | None:
        """Why this node takes no part any more, or None."""
        return self._failure

    def behind(self, node_id: int) -> int | None:
        """How many entries a node lacks; None when it was not heard of, or this node does not lead."""
        progress = self._node.status().progress.get(node_id)
        return None if progress is None or not progress.match else self._log.last_index() - progress.match

    # ------------------------------------------------------------ proposing

    async def propose(self, name: str, fields: Fields, version: int = 1) -> Outcome:
        """Have a command agreed on and applied here; returns its raft index and its result.

        Raises: what the command's apply raises (the state is unchanged then), NoLeader, Overloaded, StorageFailed;
        RequestTimeout when it is not known whether the command will be applied.
        """
        self._check_open()
        self._check_leader()
        if len(self._proposed) >= limits.STATE_COMMANDS_WAITING_MAX:
            raise Overloaded(f"STATE_COMMANDS_WAITING_MAX: {limits.STATE_COMMANDS_WAITING_MAX} changes are waiting")
        self._last_number = number = self._last_number + 1
        command = Command(self._process, number, 0, COMMANDS[(name, version)].name, version, dict(fields))
        data = encode_command(command)
        if len(data) > limits.STATE_COMMAND_SIZE_BYTES_MAX:
            raise LimitExceeded(
                f"STATE_COMMAND_SIZE_BYTES_MAX: the change has {len(data)} bytes, "
                f"at most {limits.STATE_COMMAND_SIZE_BYTES_MAX} are allowed"
            )
        future: asyncio.Future[Outcome] = self._loop.create_future()
        self._proposed[number] = proposal = _Proposal(command, future)
        self._fresh[number] = data
        self._take_soon()
        try:
            async with asyncio.timeout(self._proposal_wait_s) as bound:
                outcome: Outcome = await future
                return outcome
        except TimeoutError:
            if not bound.expired():
                raise  # what the command itself ended with
            seconds = f"{self._proposal_wait_s:g} s"
            if not proposal.sent_at:
                raise NoLeader(f"The cluster had no leader for {seconds}: nothing was changed") from None
            raise RequestTimeout(
                f"The cluster did not agree on '{name}' within {seconds}; it is not known whether it will"
            ) from None
        finally:
            self._proposed.pop(number, None)
            self._fresh.pop(number, None)

    async def read_barrier(self) -> None:
        """Wait until everything that was agreed on before this call is applied here.

        What is read behind it is linearizable. Raises: NoLeader, RequestTimeout, Overloaded.
        """
        self._check_open()
        if self._is_alone():
            return  # nothing is agreed on that is not applied here
        self._check_leader()
        future: asyncio.Future[int] = self._loop.create_future()
        self._reads.add(future)
        self._take_soon()
        try:
            async with asyncio.timeout(limits.PROPOSAL_WAIT_MS / 1_000):
                index = await future
                await self.wait_for_index(index, limits.PROPOSAL_WAIT_MS / 1_000)
        except TimeoutError:
            raise RequestTimeout("The cluster's leader did not confirm within the time that it leads") from None

    def propose_change(self, change: MembershipChange) -> None:
        """Propose a change of the membership; whether it came about shows in the topology. Raises: NoLeader."""
        self._check_open()
        try:
            self._node.propose_change(change)
        except ProposalDropped:
            raise NoLeader("The cluster has no leader at present: the membership cannot change") from None
        self._pump()

    def step_down(self) -> None:
        """Hand the lead to the voter that is behind the least, if this node leads and there is one within reach."""
        connected = self.transport.connected()
        voters = (each for each in self._node.membership.voters if each != self.node_id and connected.get(each))
        known = {each: count for each in voters if (count := self.behind(each)) is not None}
        if self._node.is_leader and known:
            self._node.transfer_leader(min(known, key=lambda each: known[each]))
            self._pump()

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable("The server is stopping")
        if self._failure is not None:
            raise StorageFailed(f"The cluster's state takes no changes since a write failed: {self._failure}")

    def _check_leader(self) -> None:
        """Raise NoLeader when there has been none for a while."""
        since = self._leaderless_since
        if since is not None and self._loop.time() - since > self._leaderless_wait_s:
            members = len(self._node.membership.voters)
            raise NoLeader(
                f"The cluster has no leader: a majority of its {members} voting members cannot be reached from here"
            )

    def _give_up_without_leader(self) -> None:
        """Answer those who wait, as soon as it is clear that nobody leads."""
        try:
            self._check_leader()
        except NoLeader as error:
            self._reads.fail(error)
            for proposal in self._proposed.values():
                if proposal.future.done():
                    continue
                if proposal.sent_at:
                    message = f"{error}; it is not known whether '{proposal.command.name}' will be applied"
                    proposal.future.set_exception(RequestTimeout(message))
                else:
                    proposal.future.set_exception(error)

    def _take_soon(self) -> None:
        if not self._taking:
            self._taking = True
            self._loop.call_soon(self._take)

    def _take(self) -> None:
        """Give the core what was proposed in this turn of the loop; without a leader it waits for one."""
        self._taking = False
        if self._fresh and self._node.leader and self._failure is None and not self._closed:
            try:
                self._node.propose_many(list(self._fresh.values()))
                now = self._loop.time()
                for number in self._fresh:
                    self._proposed[number].sent_at = now
                self._fresh.clear()
            except ProposalDropped:
                pass  # a transfer is going on, or too much is uncommitted: the next tick tries again
        self._ask_reads()
        self._pump()
        self._arm_for_proposals()
        self._arm()

    def _ask_reads(self) -> None:
        if self._reads.has_any and self._node.leader and self._failure is None and not self._closed:
            self._reads.ask(self._loop.time(), limits.READ_AGAIN_MS / 1_000)

    # ------------------------------------------------------------ the loop

    def _tick(self) -> None:
        """Let time pass. Who is alone needs none, but for proposals that the core has not taken."""
        self._next_tick = None
        if self._closed or self._failure is not None:
            return
        if self._follows_quietly():
            self._count_ticks()
        elif not self._is_alone():
            self._ticked_at = self._loop.time()
            self._node.tick()
            self._ask_reads()
            self._pump()
        if self._proposed or self._reads.has_any:
            self._give_up_without_leader()
        self._propose_again(limits.PROPOSAL_AGAIN_MS / 1_000)
        if self._fresh:
            self._take_soon()
        self._arm()

    def _follows_quietly(self) -> bool:
        """Whether this node follows a leader: it counts ticks when it needs to know them, instead of living each."""
        return self._node.leader not in (0, self.node_id) and self._node.election_ticks_left > 1

    def _count_ticks(self) -> None:
        """Let the ticks pass that have gone by since the leader spoke, but for the last one before an election: a node
        that stood still may find the leader's word among what it has not read yet."""
        now = self._loop.time()
        passed = int((now - self._ticked_at) / self._tick_s)
        for _ in range(min(passed, self._node.election_ticks_left - 1)):
            self._node.tick()
        self._ticked_at += passed * self._tick_s

    def _propose_again(self, after_s: float) -> None:
        """What was proposed so long ago and is not applied may have been lost on its way."""
        until = self._loop.time() - after_s
        for number, proposal in self._proposed.items():
            if proposal.sent_at and proposal.sent_at <= until and number not in self._fresh:
                command = proposal.command
                command.since = command.since or max(1, self.applied_index)
                self._fresh[number] = encode_command(command)

    def _arm(self) -> None:
        if self._next_tick is None and (self._fresh or not self._is_alone()):
            quiet = self._node.election_ticks_left - 1 if self._follows_quietly() and not self._proposed else 1
            self._next_tick = self._loop.call_later(quiet * self._tick_s, self._tick)

    def _arm_for_proposals(self) -> None:
        """What was just proposed is looked after with each tick."""
        if self._next_tick is not None and self._next_tick.when() > self._loop.time() + self._tick_s:
            self._next_tick.cancel()
            self._next_tick = None

    def _is_alone(self) -> bool:
        return self._node.membership.members() == {self.node_id}

    def _receive(self, message: Message) -> None:
        if self._closed or self._failure is not None:
            return
        if message.kind in (MessageKind.VOTE, MessageKind.PRE_VOTE) and self._follows_quietly():
            self._count_ticks()  # whether it may vote depends on them
        try:
            self._node.step(message)
        except (MessageRefused, ProposalDropped):
            return  # from a node that is no member any more, or a proposal that its sender will miss
        except InvariantBroken as error:
            self._fail(error)
            return
        if message.source == self._node.leader:
            self._ticked_at = self._heard_at = self._loop.time()
        self._pump()

    def _unreachable(self, node_id: int) -> None:
        if node_id in self._node.membership.members():
            self._loop.call_soon(self._report_unreachable, node_id)

    def _report_unreachable(self, node_id: int) -> None:
        if not self._closed and self._failure is None:
            self._node.report_unreachable(node_id)
            self._node.report_snapshot(node_id, False)
            self._pump()

    def _pump(self) -> None:
        """Hand out everything that the core wants done."""
        if self._failure is not None:
            return
        node = self._node
        while node.has_ready():
            ready = node.ready()
            stores = any(message.target == APPEND_THREAD for message in ready.messages)
            # A vote is asked for when what came with it is durable: see the core's text.
            votes = [message for message in ready.messages if message.kind == MessageKind.VOTE] if stores else []
            for message in ready.messages:
                if message.target == APPEND_THREAD:
                    self._appends.append(replace(message, responses=(*message.responses, *votes)) if votes else message)
                elif message.target == APPLY_THREAD:
                    self._applies.append(message)
                elif message.kind == MessageKind.SNAPSHOT:
                    self._state_sender.send(message)
                elif message not in votes:
                    self.transport.send(message)
            for read in ready.read_states:
                self._reads.answered(read.context, read.index)
                self._take_soon()  # others have come since that question was asked
            if ready.soft_state is not None:
                self.on_leader()
                self._leaderless_since = None if node.leader else self._leaderless_since or self._loop.time()
                if node.leader and node.leader != self._last_leader:
                    if self._last_leader:
                        self._propose_again(0.0)  # the leader that took it may be gone
                        self.leader_changes += 1
                    self._last_leader = node.leader
                    self._take_soon()
        if (self._appends or self._applies) and self._writer is None and not self._closed:
            self._writer = self._loop.create_task(self._write_rounds(), name="cluster state")

    async def _write_rounds(self) -> None:
        try:
            while (self._appends or self._applies) and self._failure is None:
                # Let everything that is ready in this turn of the loop join the round.
                await asyncio.sleep(0)
                await self._write_round()
        finally:
            self._writer = None

    async def _write_round(self) -> None:
        appends = self._take_appends()
        if appends and appends[0].snapshot is not None:
            await self._install(appends[0])
            return
        applies = list(self._applies)
        self._applies.clear()
        # A snapshot may have brought the state beyond entries that were handed out before it.
        due = [entry for order in applies for entry in order.entries if entry.index > self.applied_index]
        work = self._round_of(appends)
        due += self._agreed_alone(work.entries, due[-1].index if due else self.applied_index)
        try:
            applied = self._apply(due) if due else None
            self._add_applied(work, applied)
            await self._loop.run_in_executor(self._executor, self._store.write, work)
        except Exception as error:
            self._fail(error)
            return
        self._log.append(work.entries)
        if work.before is not None:
            self._log.compact(work.before)
        if applied is not None:
            if applied.membership is not None:
                self._log.hold(None)  # a node that is new takes no state in which it is not yet a member
            self._publish(applied)
        self._deliver([response for order in (*appends, *applies) for response in order.responses])

    def _take_appends(self) -> list[Message]:
        """Orders to store that go into one transaction; one with a snapshot goes alone."""
        taken: list[Message] = []
        while self._appends and not (taken and self._appends[0].snapshot is not None):
            taken.append(self._appends.popleft())
            if taken[-1].snapshot is not None:
                break
        return taken

    def _agreed_alone(self, entries: Sequence[Entry], applied_index: int) -> list[Entry]:
        """Of entries that are about to be stored, those that are agreed on by that: who votes alone applies them with
        the same sync. The core hands them out once more when it learns of it; they are passed over then."""
        if not entries or not self._is_alone() or not self._node.is_leader:
            return []
        found: list[Entry] = []
        for entry in entries:
            if entry.index != applied_index + 1 + len(found) or entry.kind != EntryKind.NORMAL:
                break
            found.append(entry)
        return found

    def _round_of(self, appends: list[Message]) -> Round:
        entries: list[Entry] = []
        hard_state = None
        for order in appends:
            if order.entries:
                # A later order may replace what an earlier one of the same round wanted stored.
                first = order.entries[0].index
                entries = [entry for entry in entries if entry.index < first]
                entries += order.entries
            hard_state = _hard_state_of(order) or hard_state
        return Round(
            entries=entries, last_index=self._log.last_index(), hard_state=hard_state,
            first_index=self._log.first_index(),
        )  # fmt: skip

    def _add_applied(self, work: Round, applied: _Applied | None) -> None:
        if applied is not None:
            work.applied, work.applied_term = applied.index, applied.term
            work.changes, work.membership = applied.changes, applied.membership
            work.before = self._log.due_compaction(applied.index, self._state_sender.lowest_index)

    def _deliver(self, responses: list[Message]) -> None:
        """What is durable may be said: to the core itself and to other nodes."""
        for response in responses:
            if response.target == self.node_id:
                try:
                    self._node.step(response)
                except MessageRefused:
                    continue
            else:
                self.transport.send(response)
        self._pump()

    # ------------------------------------------------------------ applying

    def _apply(self, entries: list[Entry]) -> _Applied:
        """Apply committed entries in order; what they change waits until it is durable."""
        applied = _Applied(entries[-1].index, entries[-1].term, {}, None, [])
        for entry in entries:
            if entry.kind != EntryKind.NORMAL:
                self._apply_change(entry, applied)
            elif entry.data:
                self._apply_command(entry, applied)
        return applied

    def _apply_command(self, entry: Entry, applied: _Applied) -> None:
        outcome: Outcome | Exception
        command = decode_command(entry.data)
        if command.since and self._recent.was_applied(command):
            return
        if not is_known(command.name, command.version, command.fields):
            # Passing over it would leave this node with another state than those that know it.
            raise StorageFailed(f"entry {entry.index} is '{command.name}' {command.version}, which this version lacks")
        self._recent.add(entry.index, command.proposer, command.number)
        view = View(self._tables, applied.changes, self._store, entry.term)
        try:
            if command.since and self._recent.is_too_old(command, entry.index):
                raise RequestTimeout(f"Whether the cluster agreed on '{command.name}' is not known any more")
            known = COMMANDS[(command.name, command.version)]
            outcome = entry.index, known.apply(view, command.fields, entry.index)
        except (EngineError, OSError, MemoryError) as error:
            if not isinstance(error, PynoriError):
                raise  # of this node alone: it must not go on with a state that the others do not have
            outcome = error
        except Exception as error:  # the proposer's to handle; all nodes see the same one
            if not isinstance(error, PynoriError):
                log.error("cluster", f"{command.name} failed: {error}", error=error)
            outcome = error
        else:
            applied.changes.update(view.changes)
        if command.proposer == self._process:
            applied.outcomes.append((command.number, outcome))

    def _apply_change(self, entry: Entry, applied: _Applied) -> None:
        change = decode_change(entry.kind, entry.data)
        try:
            applied.membership = self._node.apply_change(change, entry.index)
        except Superseded:
            return  # the state as a whole is on its way, and has this change
        except ChangeRefused as error:
            log.warn("cluster", f"a change of the membership does not fit: {error}")
            return
        view = View(self._tables, applied.changes, self._store, entry.term)
        leaving = apply_change(view, change, entry.index)
        if leaving:
            leave_groups(view, leaving, entry.index)
        applied.changes.update(view.changes)
        self._arm()

    def _publish(self, applied: _Applied) -> None:
        for (table, key), value in applied.changes.items():
            small = self._tables.get(table)
            if small is None:
                continue  # read where it lies
            if value is None:
                small.pop(key, None)
            else:
                small[key] = value
        self._moved_to(applied.index)
        for number, outcome in applied.outcomes:
            proposal = self._proposed.get(number)
            if proposal is None or proposal.future.done():
                continue  # a proposer that was cancelled does not undo its command
            if isinstance(outcome, Exception):
                proposal.future.set_exception(outcome)
            else:
                proposal.future.set_result(outcome)
        if applied.changes:
            self.on_publish(applied.changes.keys())

    def _moved_to(self, index: int) -> None:
        self.applied_index = index
        still: list[tuple[int, asyncio.Future[None]]] = []
        for wanted, future in self._index_waiters:
            if future.done():
                continue
            if wanted <= index:
                future.set_result(None)
            else:
                still.append((wanted, future))
        self._index_waiters = still

    # ------------------------------------------------------------ snapshots

    def _want_snapshot(self) -> None:
        if not self._snapshot_wanted and not self._closed:
            self._snapshot_wanted = True
            self._tasks.start("snapshot of the cluster's state", self._make_snapshot())

    async def _make_snapshot(self) -> None:
        try:
            index, term, membership = await self._loop.run_in_executor(self._executor, self._store.position)
            self._log.hold(Snapshot(index, term, membership))
        finally:
            self._snapshot_wanted = False

    def _state_sent(self, node_id: int, is_there: bool) -> None:
        if not self._closed and self._failure is None:
            self._node.report_snapshot(node_id, is_there)
            self._pump()

    def accept_state(self, hello: dict[str, Any]) -> Channel:
        """A channel on which another node of this cluster sends its whole state. Raises: Forbidden, Unavailable."""
        self._check_open()
        self.transport.check(hello)
        return self._state_receiver.accept(str(hello.get("node")))

    def _receive_state(self, message: Message) -> bool:
        """All of another node's state lies beside ours; returns whether the core wants it in the place of ours."""
        self._receive(message)
        return any(order.snapshot is not None for order in self._appends)

    async def _install(self, order: Message) -> None:
        """The leader's whole state takes the place of ours."""
        snapshot = order.snapshot
        assert snapshot is not None
        hard_state = _hard_state_of(order)
        try:
            await self._loop.run_in_executor(
                self._executor, self._store.switch, snapshot.index, snapshot.term, snapshot.membership, hard_state
            )
            loaded = await self._loop.run_in_executor(self._executor, self._store.load, tuple(self._tables))
        except Exception as error:
            self._fail(error)
            return
        before = {(name, key) for name, table in self._tables.items() for key in table}
        for name, table in self._tables.items():
            table.clear()
            table.update(loaded.tables[name])
        self._log.restart(replace(snapshot, data=b""))
        self._recent = Recent(loaded.recent)
        self._state_receiver.installed()
        if order.entries:
            self._appends.appendleft(replace(order, snapshot=None))
        self._moved_to(snapshot.index)
        self.on_publish({(name, key) for name, table in self._tables.items() for key in table} | before)
        if not order.entries:
            self._deliver(list(order.responses))

    # ------------------------------------------------------------ the end

    def _fail(self, error: Exception) -> None:
        self._failure = error
        log.error("cluster", f"writing the cluster's state failed: {error}", error=error)
        ours = from_engine(error) if isinstance(error, EngineError) else StorageFailed(str(error))
        for proposal in self._proposed.values():
            if not proposal.future.done():
                proposal.future.set_exception(ours)

    async def wait_for_index(self, index: int, timeout_s: float) -> None:
        """Return when the command with this index is applied here. Raises: TimeoutError."""
        if index <= self.applied_index:
            return
        future: asyncio.Future[None] = self._loop.create_future()
        self._index_waiters.append((index, future))
        async with asyncio.timeout(timeout_s):
            await future

    def give_up(self) -> None:
        """Answer those who wait for an agreement: this node is about to stop. Alone it agrees at once, and need not."""
        if self._is_alone():
            return
        for proposal in self._proposed.values():
            if proposal.future.done():
                continue
            if proposal.sent_at:
                message = f"The server is stopping; it is not known whether '{proposal.command.name}' will be applied"
                proposal.future.set_exception(RequestTimeout(message))
            else:
                proposal.future.set_exception(Unavailable("The server is stopping"))

    async def leave(self) -> None:
        """Take no part any more and leave the store open: another driver is to take it over."""
        self._closed = True
        if self._next_tick is not None:
            self._next_tick.cancel()
        while self._writer is not None:
            await asyncio.wait([self._writer])
        await self._state_sender.close()
        await self._state_receiver.close()
        await self.transport.close()
        await self._tasks.cancel()
        # A part of a state may still be on its way to the disk in the one thread.
        await self._loop.run_in_executor(self._executor, lambda: None)
        self._executor.shutdown(wait=False)

    async def close(self) -> None:
        """Finish what is being written and was proposed while alone, take nothing more, close the store."""
        if self._is_alone() and self._failure is None:
            while self._proposed or self._writer is not None:
                if self._writer is not None:
                    await asyncio.wait([self._writer])
                else:
                    await asyncio.sleep(0.001)
                if self._failure is not None:
                    break
        await self.leave()
        await self._loop.run_in_executor(None, self._store.close)


def _hard_state_of(order: Message) -> HardState | None:
    """What an order wants stored beside entries; None: nothing."""
    wants = order.term or order.vote or order.commit
    return HardState(order.term, order.vote, order.commit) if wants else None
