"""Edges of the raft core that no story shows: what is refused, what is bounded, what a start makes of its storage."""

from random import Random

import pytest

from pynori.cluster.raft import (
    NO_LIMIT,
    ChangeKind,
    ChangeRefused,
    Compacted,
    Entry,
    EntryKind,
    HardState,
    InvariantBroken,
    Membership,
    MembershipChange,
    MemoryStorage,
    Message,
    MessageKind,
    MessageRefused,
    NodeChange,
    Options,
    ProposalDropped,
    RaftNode,
    Role,
    Snapshot,
    Transition,
    decode_change,
    encode_change,
)
from pynori.cluster.raft.progress import Window
from pynori.cluster.raft.read_only import WAITING_READS_MAX, ReadQueue
from pynori.cluster.raft.types import ENTRY_OVERHEAD_BYTES, limit_size


def options(**more: object) -> Options:
    """Return settings with a fixed election timeout."""
    return Options(1, lambda ticks: 0, **more)  # type: ignore[arg-type]


def stored(*voters: int, index: int = 10) -> MemoryStorage:
    """Return the storage of a node of a first membership."""
    storage = MemoryStorage()
    storage.install_snapshot(Snapshot(index, 1, Membership(frozenset(voters))))
    return storage


def test_changes_survive_their_entry() -> None:
    """Random changes come back from their bytes; the one that leaves a joint membership has none."""
    random = Random(5)
    assert encode_change(MembershipChange()) == (EntryKind.CHANGE_V2, b"")
    for _ in range(300):
        steps = tuple(
            NodeChange(random.choice(list(ChangeKind)), random.randrange(2**64)) for _ in range(random.randint(1, 5))
        )
        transition = random.choice(list(Transition))
        is_single = len(steps) == 1 and transition == Transition.AUTO
        change = MembershipChange(steps, transition, random.randbytes(random.randint(0, 9)), is_single)
        assert decode_change(*encode_change(change)) == change


def test_foreign_bytes_are_no_change() -> None:
    """Whatever bytes an entry has, decoding gives a change or ChangeRefused, nothing else."""
    random = Random(6)
    refused = 0
    for _ in range(2000):
        try:
            kind = random.choice((EntryKind.CHANGE, EntryKind.CHANGE_V2))
            decode_change(kind, random.randbytes(random.randint(0, 40)))
        except ChangeRefused:
            refused += 1
    assert refused > 1000
    with pytest.raises(ChangeRefused):
        encode_change(MembershipChange((), is_single=True))


@pytest.mark.parametrize(
    "wrong",
    [
        {"heartbeat_ticks": 0}, {"election_ticks": 1}, {"window_count_max": 0}, {"lease_reads": True},
        {"window_bytes_max": 1}, {"node_id": 0}, {"node_id": 2**64 - 1},
    ],
    ids=str,
)  # fmt: skip
def test_settings_that_cannot_work_are_refused(wrong: dict[str, int]) -> None:
    """A node does not start with settings under which it could not keep its word."""
    settings = Options(wrong.pop("node_id", 1), lambda ticks: 0, **wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError):
        RaftNode(settings, stored(1))


def test_a_start_knows_what_was_applied() -> None:
    """A commit index that a crash lost is taken from the applied one; one beyond the log means that the log is gone."""
    storage = stored(1)
    storage.append([Entry(1, 11), Entry(1, 12), Entry(1, 13)])
    storage.set_hard_state(HardState(1, 1, 11))
    node = RaftNode(options(applied=12), storage)
    assert node.status().hard_state == HardState(1, 1, 12)
    storage.set_hard_state(HardState(1, 1, 9))
    assert RaftNode(options(), storage).status().hard_state == HardState(1, 1, 10)
    storage.set_hard_state(HardState(1, 1, 14))
    with pytest.raises(InvariantBroken, match="out of range"):
        RaftNode(options(), storage)


def test_messages_that_nobody_may_send_are_refused() -> None:
    """Local messages do not come from the network, answers not from strangers, proposals need a leader."""
    node = RaftNode(options(), stored(1, 2))
    with pytest.raises(MessageRefused, match="local"):
        node.step(Message(MessageKind.CAMPAIGN, 1, 2))
    with pytest.raises(MessageRefused, match="local"):
        node.step(Message(MessageKind.STORAGE_APPEND_RESPONSE, 1, 2, index=10))
    with pytest.raises(MessageRefused, match="not found"):
        node.step(Message(MessageKind.APPEND_RESPONSE, 1, 7, 1, index=10))
    with pytest.raises(ProposalDropped):
        node.propose(b"nobody leads")


def test_an_append_never_touches_what_is_committed() -> None:
    """A leader whose entry contradicts a committed one is met with a stop, not with a lost entry."""
    storage = stored(1, 2)
    storage.append([Entry(1, 11, b"a"), Entry(1, 12, b"b")])
    storage.set_hard_state(HardState(1, 0, 12))
    node = RaftNode(options(), storage)
    node.step(Message(MessageKind.APPEND, 1, 2, 2, log_term=1, index=11, entries=[Entry(2, 12, b"c")]))
    # Behind the commit index it is only told how far that is.
    (answer,) = node.ready().messages
    assert (answer.index, answer.reject) == (12, False)
    node.advance()
    with pytest.raises(InvariantBroken, match="tocommit"):
        node.step(Message(MessageKind.HEARTBEAT, 1, 2, 2, commit=20))


def test_a_follower_commits_only_what_agrees_with_its_leader() -> None:
    """A commit index beyond the entries of an append does not commit an older leader's tail behind them."""
    storage = stored(1, 2)
    storage.append([Entry(1, 11), Entry(1, 12, b"of a leader that lost"), Entry(1, 13)])
    storage.set_hard_state(HardState(1, 0, 10))
    node = RaftNode(options(applied=10), storage)
    node.step(Message(MessageKind.APPEND, 1, 2, 3, log_term=1, index=10, entries=[Entry(1, 11)], commit=13))
    assert node.status().hard_state.commit == 11


def test_nobody_stands_over_a_change_that_is_not_applied() -> None:
    """A node that has a committed change to apply does not know whom to ask, so it does not stand for election."""
    storage = stored(1, 2)
    kind, data = encode_change(MembershipChange((NodeChange(ChangeKind.ADD_VOTER, 3),)))
    storage.append([Entry(1, 11, data, kind)])
    storage.set_hard_state(HardState(1, 0, 11))
    node = RaftNode(options(applied=10), storage)
    node.campaign()
    assert (node.term, node.leader, node.status().soft_state.role) == (1, 0, Role.FOLLOWER)


def test_ready_is_taken_one_at_a_time() -> None:
    """A second Ready before advance, and advance with asynchronous storage, are mistakes of the caller."""
    node = RaftNode(options(), stored(1))
    node.campaign()
    node.ready()
    with pytest.raises(InvariantBroken):
        node.ready()
    node = RaftNode(options(asynchronous_storage=True), stored(1))
    with pytest.raises(InvariantBroken):
        node.advance()


def test_everything_that_waits_is_bounded() -> None:
    """Windows close by number and by bytes, and reads beyond their bound are dropped."""
    window = Window(3, 100)
    window.add(5, 60)
    assert not window.is_full()
    window.add(6, 60)
    assert window.is_full()
    with pytest.raises(InvariantBroken):
        window.add(7, 1)
    window.free_up_to(5)
    assert len(window) == 1
    assert not window.is_full()
    reads = ReadQueue()
    assert all(reads.add(Message(MessageKind.READ_INDEX), 1) for _ in range(WAITING_READS_MAX))
    assert not reads.add(Message(MessageKind.READ_INDEX), 1)


def test_pages_of_entries_have_at_least_one() -> None:
    """A bound on bytes cuts a page short, and never to nothing."""
    entries = [Entry(1, index, b"x" * 10) for index in range(1, 6)]
    cost = 10 + ENTRY_OVERHEAD_BYTES
    assert limit_size(entries, 0) == entries[:1]
    assert limit_size(entries, 2 * cost) == entries[:2]
    assert limit_size(entries, 2 * cost - 1) == entries[:1]
    assert limit_size(entries, NO_LIMIT) == entries


def test_memory_storage_keeps_its_edges() -> None:
    """The twin in memory overwrites, compacts and refuses as a durable log has to."""
    storage = stored(1)
    storage.append([Entry(1, 11), Entry(1, 12), Entry(1, 13)])
    storage.append([Entry(2, 12)])
    assert (storage.last_index(), storage.term(12), storage.term(13)) == (12, 2, None)
    storage.append([Entry(1, 9), Entry(1, 10)])
    assert storage.last_index() == 12
    storage.make_snapshot(12, Membership(frozenset({1})), b"state")
    storage.compact(11)
    assert (storage.first_index(), storage.term(11), storage.term(10)) == (12, 1, None)
    with pytest.raises(Compacted):
        storage.entries(11, 13, NO_LIMIT)
    with pytest.raises(Compacted):
        storage.compact(11)
    with pytest.raises(Compacted):
        storage.install_snapshot(Snapshot(12, 2))
    with pytest.raises(InvariantBroken):
        storage.append([Entry(3, 20)])
    with pytest.raises(InvariantBroken):
        storage.compact(40)
