"""A stage on which raft stories are played: nodes, their storage, the messages between them, and verbs for all of it.

The verbs and their output are those of etcd's raft scenarios. Nothing happens by itself: a story says who works off its
Ready, whose messages arrive, whose storage gets on. `stabilize` does all of it until nothing is left to do.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pynori.cluster.raft.describe import (
    Sentence,
    describe_entries,
    describe_message,
    describe_ready,
)
from pynori.cluster.raft.membership import ChangeKind, MembershipChange, NodeChange, Transition, decode_change
from pynori.cluster.raft.node import RaftNode
from pynori.cluster.raft.options import Options
from pynori.cluster.raft.ready import Ready
from pynori.cluster.raft.storage import MemoryStorage
from pynori.cluster.raft.types import (
    NO_LIMIT,
    Entry,
    EntryKind,
    HardState,
    Membership,
    Message,
    MessageKind,
    RaftError,
    Snapshot,
    Superseded,
    is_storage_thread,
)
from tests.cluster.datadriven import Directive

LEVELS = ("DEBUG", "INFO", "WARN", "ERROR", "FATAL", "NONE")
SILENT = len(LEVELS) - 1
_STEPS = {"v": ChangeKind.ADD_VOTER, "l": ChangeKind.ADD_LEARNER, "r": ChangeKind.REMOVE, "u": ChangeKind.UPDATE}
_TRANSITIONS = {
    "auto": Transition.AUTO, "implicit": Transition.JOINT_IMPLICIT, "explicit": Transition.JOINT_EXPLICIT,
}  # fmt: skip


def parse_steps(text: str) -> tuple[NodeChange, ...]:
    """Return the steps of a change written as `v1 l2 r3 u4`."""
    return tuple(NodeChange(_STEPS[word[0]], int(word[1:])) for word in text.split())


class StageStorage(MemoryStorage):
    """A log in memory whose snapshot is the newest state of the node's application."""

    __slots__ = ("history",)

    def __init__(self, first: Snapshot) -> None:
        super().__init__()
        self.history = [first]

    def snapshot(self) -> Snapshot | None:
        """Return the state after the last applied entry."""
        return self.history[-1]


@dataclass
class Player:
    """One node with its storage and the work that waits at its storage threads."""

    node: RaftNode
    storage: StageStorage
    options: Options
    append_work: list[Message] = field(default_factory=list)
    apply_work: list[Message] = field(default_factory=list)

    def store(self, state: HardState, entries: list[Entry], snapshot: Snapshot | None) -> None:
        """Write what a Ready or a storage order holds."""
        if not state.is_empty():
            self.storage.set_hard_state(state)
        if snapshot is not None and not snapshot.is_empty():
            assert not entries, "can't apply snapshot and entries at the same time"
            self.storage.install_snapshot(snapshot)
            self.storage.history.append(snapshot)
        self.storage.append(entries)

    def apply(self, entries: list[Entry]) -> None:
        """Append each entry's data to the state, and take changes over."""
        for entry in entries:
            last = self.storage.history[-1]
            membership, data = last.membership, entry.data
            if entry.kind != EntryKind.NORMAL:
                change = decode_change(entry.kind, entry.data)
                try:
                    membership, data = self.node.apply_change(change, entry.index), change.context
                except Superseded:
                    return
            self.storage.history.append(Snapshot(entry.index, entry.term, membership, last.data + data))


class Stage:
    """The players, the messages on their way, and what was printed by the verb that runs."""

    def __init__(self) -> None:
        self.players: list[Player] = []
        self.messages: list[Message] = []
        self.level = 0
        self._printed: list[str] = []

    def handle(self, directive: Directive) -> str:
        """Run a verb and return what it prints, `ok` if it is nothing."""
        self._printed = []
        verb: Callable[[Directive], None] = getattr(self, "verb_" + directive.command.replace("-", "_"))
        try:
            verb(directive)
        except (RaftError, ValueError) as error:
            if self.level == SILENT:
                return str(error)
            self.print(str(error))
        return "".join(self._printed) or "ok"

    def print(self, text: str) -> None:
        """Print, unless everything is silent."""
        if self.level != SILENT:
            self._printed.append(text)

    def listen(self, sentence: Sentence, values: tuple[object, ...]) -> None:
        """Print what a node says at or above the level."""
        if self.level <= sentence.level:
            self.print(f"{sentence.level.name} {sentence.text(values)}\n")

    @contextmanager
    def indented(self) -> Iterator[None]:
        """Indent all that is printed inside."""
        outer, self._printed = self._printed, []
        try:
            yield
        finally:
            inner = "".join(self._printed)
            self._printed = outer
            if inner:
                outer += ["  " + line + "\n" for line in inner.removesuffix("\n").split("\n")]

    def player(self, directive: Directive) -> Player:
        """Return the player whom the first argument names."""
        return self.players[int(directive.arguments[0][0]) - 1]

    # Setting the stage.

    def verb_add_nodes(self, directive: Directive) -> None:
        """add-nodes 3 voters=(1,2,3) learners=(4) index=10 content=foo [options as etcd names them]"""
        keys = directive.keys
        yes = {name for name in keys if keys[name] == ["true"]}
        index = int(directive.value("index", "0"))
        members = Membership(
            frozenset(map(int, keys.get("voters", ()))), learners=frozenset(map(int, keys.get("learners", ())))
        )
        first = Snapshot(index, 1 if index else 0, members, directive.value("content").encode())
        assert index != 1, "index must be specified as > 1 due to bootstrap"
        for _ in range(int(directive.arguments[0][0])):
            storage = StageStorage(first)
            if index:
                storage.install_snapshot(first)
            options = Options(
                node_id=len(self.players) + 1,
                random_ticks=lambda ticks: ticks - 1,
                election_ticks=3,
                heartbeat_ticks=1,
                applied=index,
                asynchronous_storage="async-storage-writes" in yes,
                message_bytes_max=int(directive.value("max-size-per-msg", str(NO_LIMIT))),
                applying_bytes_max=int(directive.value("max-committed-size-per-ready", "0")),
                uncommitted_bytes_max=int(directive.value("max-uncommitted-size", "0")),
                window_count_max=int(directive.value("inflight", str(2**31 - 1))),
                pre_vote="prevote" in yes,
                check_quorum="checkquorum" in yes,
                lease_reads=directive.value("read-only") == "lease-based",
                forward_proposals="disable-proposal-forwarding" not in yes,
                validate_changes="disable-conf-change-validation" not in yes,
                step_down_on_removal="step-down-on-removal" in yes,
                listener=self.listen,
            )
            self.players.append(Player(RaftNode(options, storage), storage, options))

    def verb_restart(self, directive: Directive) -> None:
        """restart 2: lose everything that is not in storage, and start again from it"""
        player = self.player(directive)
        player.options.applied = player.storage.history[-1].index
        player.append_work.clear()
        player.apply_work.clear()
        player.node = RaftNode(player.options, player.storage)
        if player.node.membership != player.storage.history[-1].membership:
            raise ValueError("restart after a membership change needs a compacted log")

    def verb_log_level(self, directive: Directive) -> None:
        """log-level WARN; NONE silences everything but errors"""
        self.level = LEVELS.index(directive.arguments[0][0].upper())

    # Doing something.

    def verb_campaign(self, directive: Directive) -> None:
        """campaign 1"""
        self.player(directive).node.campaign()

    def verb_propose(self, directive: Directive) -> None:
        """propose 1 foo"""
        self.player(directive).node.propose(directive.arguments[1][0].encode())

    def verb_propose_conf_change(self, directive: Directive) -> None:
        """propose-conf-change 1 [v1=true] [transition=explicit], and the steps as input: v1 l2 r3"""
        transition = _TRANSITIONS[directive.value("transition", "auto")]
        change = MembershipChange(
            parse_steps(directive.input), transition, is_single=directive.value("v1") == "true"
        )
        self.player(directive).node.propose_change(change)

    def verb_read_index(self, directive: Directive) -> None:
        """read-index 1 ctx"""
        self.player(directive).node.read_index(directive.arguments[1][0].encode())

    def verb_transfer_leadership(self, directive: Directive) -> None:
        """transfer-leadership from=1 to=2"""
        self.players[int(directive.value("from")) - 1].node.transfer_leader(int(directive.value("to")))

    def verb_forget_leader(self, directive: Directive) -> None:
        """forget-leader 1"""
        self.player(directive).node.forget_leader()

    def verb_report_unreachable(self, directive: Directive) -> None:
        """report-unreachable 1 2: the first says so of the second"""
        self.player(directive).node.report_unreachable(int(directive.arguments[1][0]))

    def verb_report_snapshot(self, directive: Directive) -> None:
        """report-snapshot 1 2 delivered=false"""
        is_delivered = directive.value("delivered", "true") == "true"
        self.player(directive).node.report_snapshot(int(directive.arguments[1][0]), is_delivered)

    def verb_send_snapshot(self, directive: Directive) -> None:
        """send-snapshot 1 3: queue the first one's snapshot for the second"""
        source, target = map(int, directive.words())
        player = self.players[source - 1]
        term = player.node.status().hard_state.term
        message = Message(MessageKind.SNAPSHOT, target, source, term, snapshot=player.storage.snapshot())
        self.messages.append(message)
        self.print(describe_message(message))

    def verb_compact(self, directive: Directive) -> None:
        """compact 1 12: forget the log up to that entry"""
        player = self.player(directive)
        player.storage.compact(int(directive.arguments[1][0]))
        self.print_log(player)

    def verb_tick_election(self, directive: Directive) -> None:
        """tick-election 1: the shortest election time passes"""
        self._tick(directive, self.player(directive).options.election_ticks)

    def verb_tick_heartbeat(self, directive: Directive) -> None:
        """tick-heartbeat 1: a heartbeat's time passes"""
        self._tick(directive, self.player(directive).options.heartbeat_ticks)

    def _tick(self, directive: Directive, count: int) -> None:
        for _ in range(count):
            self.player(directive).node.tick()

    def verb_set_randomized_election_timeout(self, directive: Directive) -> None:
        """set-randomized-election-timeout 1 timeout=5"""
        self.player(directive).node.set_election_timeout(int(directive.value("timeout")))

    # Getting on.

    def verb_deliver_msgs(self, directive: Directive) -> None:
        """deliver-msgs 1 2 drop=(3) type=MsgApp"""
        kind = next((k for k in MessageKind if str(k) == directive.value("type")), None)
        count = 0
        for key, values in directive.arguments:
            if not values:
                count += self.deliver(int(key), kind, is_drop=False)
            elif key == "drop":
                count += sum([self.deliver(int(node_id), kind, is_drop=True) for node_id in values])
        if not count:
            self.print("no messages\n")

    def _waiting(self, target: int, kind: MessageKind | None = None, is_drop: bool = False) -> list[Message]:
        """Return the messages for a node; those that stay on its machine are never dropped."""
        found = []
        for message in self.messages:
            is_local = message.source == message.target or is_storage_thread(message.source)
            if message.target == target and (kind is None or message.kind == kind) and not (is_drop and is_local):
                found.append(message)
        return found

    def deliver(self, target: int, kind: MessageKind | None, is_drop: bool) -> int:
        """Deliver or drop the messages for a node; return how many there were."""
        waiting = self._waiting(target, kind, is_drop)
        chosen = set(map(id, waiting))
        self.messages = [message for message in self.messages if id(message) not in chosen]
        for message in waiting:
            self.print(("dropped: " if is_drop else "") + describe_message(message) + "\n")
            if not is_drop:
                try:
                    self.players[target - 1].node.step(message)
                except RaftError as error:
                    self.print(f"{error}\n")
        return len(waiting)

    def _each(self, directive: Directive, title: str, act: Callable[[Player], None]) -> None:
        """Do something at the nodes that are named, with a title for each if there are several."""
        words = directive.words()
        for word in words:
            player = self.players[int(word) - 1]
            if len(words) == 1:
                act(player)
                continue
            self.print(f"> {word} {title}\n")
            with self.indented():
                act(player)

    def verb_process_ready(self, directive: Directive) -> None:
        """process-ready 1 2"""
        self._each(directive, "handling Ready", self.process_ready)

    def verb_process_append_thread(self, directive: Directive) -> None:
        """process-append-thread 1"""
        self._each(directive, "processing append thread", self.process_append)

    def verb_process_apply_thread(self, directive: Directive) -> None:
        """process-apply-thread 1"""
        self._each(directive, "processing apply thread", self.process_apply)

    def process_ready(self, player: Player) -> None:
        """Work one Ready off."""
        ready: Ready = player.node.ready()
        self.print(describe_ready(ready))
        is_asynchronous = player.options.asynchronous_storage
        if not is_asynchronous:
            player.store(ready.hard_state or HardState(), list(ready.entries), ready.snapshot)
            player.apply(list(ready.committed_entries))
        for message in ready.messages:
            if message.kind == MessageKind.STORAGE_APPEND:
                player.append_work.append(message)
            elif message.kind == MessageKind.STORAGE_APPLY:
                player.apply_work.append(message)
            else:
                self.messages.append(message)
        if not is_asynchronous:
            player.node.advance()

    def process_append(self, player: Player) -> None:
        """Carry out the oldest order to store."""
        if not player.append_work:
            self.print("no append work to perform")
            return
        message = player.append_work.pop(0)
        state = HardState(message.term, message.vote, message.commit)
        self._process(message, lambda: player.store(state, list(message.entries), message.snapshot))

    def process_apply(self, player: Player) -> None:
        """Carry out the oldest order to apply."""
        if not player.apply_work:
            self.print("no apply work to perform")
            return
        message = player.apply_work.pop(0)
        self._process(message, lambda: player.apply(list(message.entries)))

    def _process(self, message: Message, act: Callable[[], None]) -> None:
        responses, message.responses = message.responses, ()
        self.print(f"Processing:\n{describe_message(message)}\n")
        act()
        self.print("Responses:\n" + "".join([describe_message(response) + "\n" for response in responses]))
        self.messages += responses

    def verb_stabilize(self, directive: Directive) -> None:
        """stabilize 1 2 [log-level=none]: go on until nothing is left to do"""
        level = self.level
        if "log-level" in directive.keys:
            self.level = LEVELS.index(directive.value("log-level").upper())
        words = directive.words()
        self.stabilize([int(word) for word in words] or list(range(1, len(self.players) + 1)))
        self.level = level

    def stabilize(self, node_ids: list[int]) -> None:
        """Ready of all, then messages to all, then their storage, until nothing is left."""
        is_busy = True
        while is_busy:
            is_busy = False
            for title, has_work, act in self._works():
                for node_id in node_ids:
                    player = self.players[node_id - 1]
                    if has_work(player):
                        is_busy = True
                        self.print(f"> {node_id} {title}\n")
                        with self.indented():
                            act(player)

    def _works(self) -> tuple[tuple[str, Callable[[Player], bool], Callable[[Player], None]], ...]:
        def own_id(player: Player) -> int:
            return player.options.node_id

        def drain(work: Callable[[Player], list[Message]], act: Callable[[Player], None], player: Player) -> None:
            while work(player):
                act(player)

        return (
            ("handling Ready", lambda player: player.node.has_ready(), self.process_ready),
            (
                "receiving messages",
                lambda player: bool(self._waiting(own_id(player))),
                lambda player: self._receive(own_id(player)),
            ),
            (
                "processing append thread",
                lambda player: bool(player.append_work),
                lambda player: drain(lambda p: p.append_work, self.process_append, player),
            ),
            (
                "processing apply thread",
                lambda player: bool(player.apply_work),
                lambda player: drain(lambda p: p.apply_work, self.process_apply, player),
            ),
        )

    def _receive(self, node_id: int) -> None:
        self.deliver(node_id, None, is_drop=False)

    # Looking.

    def verb_raft_log(self, directive: Directive) -> None:
        """raft-log 1"""
        self.print_log(self.player(directive))

    def print_log(self, player: Player) -> None:
        """Print the stored entries."""
        first, last = player.storage.first_index(), player.storage.last_index()
        if last < first:
            self.print(f"log is empty: first index={first}, last index={last}")
        else:
            self.print(describe_entries(player.storage.entries(first, last + 1, NO_LIMIT)))

    def verb_raft_state(self, directive: Directive) -> None:
        """raft-state: role, term and leader of everybody"""
        for player in self.players:
            status = player.node.status()
            kind = "(Voter)" if status.node_id in status.membership.all_voters() else "(Non-Voter)"
            soft = status.soft_state
            self.print(f"{status.node_id}: {soft.role} {kind} Term:{status.hard_state.term} Lead:{soft.leader}\n")

    def verb_status(self, directive: Directive) -> None:
        """status 1: how far everybody is, as the leader sees it"""
        for node_id, progress in sorted(self.player(directive).node.status().progress.items()):
            self.print(f"{node_id}: {progress}\n")

    def verb_content(self, directive: Directive) -> None:
        """content 1: the state of the application"""
        last = self.player(directive).storage.history[-1]
        self.print(f"applied={last.index} content={last.data.decode()}\n")
