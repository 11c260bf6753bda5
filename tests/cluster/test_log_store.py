"""The logs of many groups in one environment: what is written is there again, each write whole, over any crash."""

from pathlib import Path
from random import Random

import pytest
from pynori_core.env import Env
from pynori_core.sim_disk import SimDisk

from pynori.cluster.log_store import GroupWrite, LogStore, decode_snapshot, encode_snapshot
from pynori.cluster.raft import (
    NO_LIMIT,
    Compacted,
    Entry,
    EntryKind,
    HardState,
    InvariantBroken,
    Membership,
    MemoryStorage,
    Options,
    RaftNode,
    Snapshot,
)

GROUPS = 3
MEMBERS = Membership(frozenset({1, 2, 3}), learners=frozenset({4}))
NONE, EVERYTHING, PREFIX, RANDOM, GARBAGE, HALF = range(6)


def content(store: LogStore) -> tuple[object, ...]:
    """Return everything that all groups hold."""
    return tuple(content_of(store.group(group_id)) for group_id in range(GROUPS))


def content_of(log: object) -> tuple[object, ...]:
    """Return everything that a log holds, of the store or of its twin in memory."""
    first, last = log.first_index(), log.last_index()  # type: ignore[attr-defined]
    entries = log.entries(first, last + 1, NO_LIMIT) if first <= last else []  # type: ignore[attr-defined]
    state, _ = log.initial_state()  # type: ignore[attr-defined]
    return state, first, log.term(first - 1), entries, log.snapshot()  # type: ignore[attr-defined]


def draw_write(random: Random, store: LogStore, group_id: int) -> GroupWrite:
    """Draw what a driver may write next: entries behind or over the end, a snapshot, a compaction, a vote."""
    log = store.group(group_id)
    old, _ = log.initial_state()
    state = HardState(old.term + random.randint(0, 1), random.randint(0, 3), log.last_index())
    reach = log.snapshot().index  # type: ignore[union-attr]
    if random.random() < 0.15:
        index = log.last_index() + random.randint(1, 5)
        return GroupWrite(group_id, state, (), Snapshot(index, state.term, MEMBERS, random.randbytes(5000)))
    start = random.randint(max(log.first_index(), log.last_index() - 2), log.last_index() + 1)
    entries = [
        Entry(max(1, state.term), start + i, random.randbytes(random.choice((0, 10, 3000, 9000))), EntryKind.NORMAL)
        for i in range(random.randint(0, 4))
    ]
    compact = random.randint(log.first_index(), reach) if reach >= log.first_index() and random.random() < 0.5 else 0
    compact = compact if not entries or compact < start else 0
    return GroupWrite(group_id, state if random.random() < 0.8 else None, entries, None, compact)


def follow(twin: MemoryStorage, write: GroupWrite) -> None:
    """Do the same at the twin in memory."""
    if write.snapshot is not None:
        twin.install_snapshot(write.snapshot)
    if write.hard_state is not None:
        twin.set_hard_state(write.hard_state)
    twin.append(list(write.entries))
    if write.compact_index > twin.first_index() - 1:
        twin.compact(write.compact_index)


def test_the_store_does_what_its_twin_in_memory_does(tmp_path: Path) -> None:
    """Random writes of several groups leave what they leave in memory, also after opening again."""
    for seed in range(6):
        random = Random(seed)
        directory = tmp_path / str(seed)
        store = LogStore.open(directory)
        twins = [MemoryStorage() for _ in range(GROUPS)]
        for step in range(40):
            chosen = [group_id for group_id in range(GROUPS) if random.random() < 0.6]
            writes = [draw_write(random, store, group_id) for group_id in chosen]
            store.write(writes)
            for write in writes:
                follow(twins[write.group_id], write)
            assert content(store) == tuple(map(content_of, twins)), f"seed {seed} step {step}"
            if random.random() < 0.1:
                store.close()
                store = LogStore.open(directory)
                assert content(store) == tuple(map(content_of, twins)), f"seed {seed} step {step}, opened again"
        store.close()


@pytest.mark.parametrize("seed", range(3))
def test_a_crash_at_any_call_leaves_whole_writes(seed: int) -> None:
    """After a power cut at any disk call every acknowledged write is there, and of the one under way all or nothing."""
    random = Random(seed)
    disk = SimDisk(seed + 1)
    store = LogStore(Env.create(disk))
    states = [content(store)]
    # calls[n]: how many disk calls were made when write n was acknowledged.
    calls = [disk.calls]
    for _ in range(12):
        store.write([draw_write(random, store, group_id) for group_id in range(GROUPS) if random.random() < 0.7])
        states.append(content(store))
        calls.append(disk.calls)
    end = disk.calls
    points = sorted({*calls, *(random.randint(calls[0], end) for _ in range(40))})
    for point in points:
        acknowledged = max(n for n, count in enumerate(calls) if count <= point)
        tried = min(acknowledged + 1, len(states) - 1)
        for mode in (NONE, EVERYTHING, PREFIX, RANDOM, GARBAGE, HALF):
            image = disk.crash(point, mode, random.getrandbits(16), seed=random.getrandbits(31))
            again = LogStore(Env.open(image))
            found = content(again)
            again.close()
            assert found in states[acknowledged : tried + 1], f"seed {seed} point {point} mode {mode}"
    store.close()


def test_a_node_works_on_it_and_starts_again(tmp_path: Path) -> None:
    """A raft node stores through it, is closed, and goes on where it was."""
    directory = tmp_path / "log"
    store = LogStore.open(directory)
    store.write([GroupWrite(7, None, (), Snapshot(10, 1, Membership(frozenset({1})), b"first"))])
    for life in range(3):
        log = store.group(7)
        node = RaftNode(Options(1, lambda ticks: 0, applied=10), log)
        node.campaign()
        applied = []
        for command in (b"", b"a%d" % life, b"b%d" % life):
            if command:
                node.propose(command)
            while node.has_ready():
                ready = node.ready()
                store.write([GroupWrite(7, ready.hard_state, ready.entries, ready.snapshot)])
                applied += [entry.data for entry in ready.committed_entries if entry.data]
                node.advance()
        assert node.is_leader
        assert applied == [b"%s%d" % (word, n) for n in range(life + 1) for word in (b"a", b"b")]
        assert node.term == life + 1
        store.close()
        store = LogStore.open(directory)
    assert store.group(7).term(12) == 1
    store.close()


def test_what_cannot_be_is_refused() -> None:
    """Gaps, compaction beyond the snapshot, old snapshots and double writes leave the store as it was."""
    store = LogStore.open(None)
    store.write([GroupWrite(1, HardState(1, 1, 0), [Entry(1, 1, b"a"), Entry(1, 2, b"b")])])
    before = content_of(store.group(1))
    for wrong, error in (
        (GroupWrite(1, None, [Entry(1, 9)]), InvariantBroken),
        (GroupWrite(1, None, (), None, 1), InvariantBroken),
        (GroupWrite(1, HardState(5), (), Snapshot(0, 1)), Compacted),
    ):
        with pytest.raises(error):
            store.write([wrong])
        assert content_of(store.group(1)) == before
    with pytest.raises(ValueError, match="twice"):
        store.write([GroupWrite(1), GroupWrite(1)])
    with pytest.raises(Compacted):
        store.group(1).entries(0, 2, NO_LIMIT)
    assert store.group(1).entries(1, 3, 1) == [Entry(1, 1, b"a")]
    store.close()


def test_snapshots_survive_their_bytes() -> None:
    """A snapshot with every kind of member comes back from its row; a short row is refused."""
    members = Membership(frozenset({1, 2}), frozenset({2, 9}), frozenset({5}), frozenset({9}), True)
    snapshot = Snapshot(7, 3, members, b"data")
    row = encode_snapshot(snapshot)
    assert decode_snapshot(row) == snapshot
    with pytest.raises(InvariantBroken):
        decode_snapshot(row[:30])
