"""What the supervisor decides: a table of situations, and properties that hold for any reports."""

from __future__ import annotations

import random
from typing import Any

import pytest

from pynori.cluster import database_topology as dt
from pynori.cluster import vectors
from pynori.cluster.reports import FAILED, FULL, OPEN, OPENING, InstanceReport, NodeHealth, NodeReport, Sender
from pynori.cluster.supervisor import Change, Periods, decide
from pynori.cluster.swim_types import Sight, State
from pynori.errors import InvalidArgument

PERIODS = Periods(5_000, 60_000, 900_000)
NOW = 2_000_000.0


def group(members: str, promotables: str = "", rehabs: str = "", factor: int = 0, **fields: Any) -> dt.Topology:
    topology = dt.new(list(members), ("g", "t"), bool(fields.pop("dynamic", False)))
    count = factor or len(members + promotables + rehabs)
    return {
        **topology, "Promotables": list(promotables), "Rehabs": list(rehabs), "ReplicationFactor": count, **fields,
    }  # fmt: skip


def node(
    silent_s: float = 0.1, state: str = OPEN, vector: str = "", before: str | None = None, stale: int = 0,
    since_s: float = 1_000, stamp: int = 0, sight: Sight | None = None,
) -> NodeHealth:  # fmt: skip
    """What the leader knows of a node with one instance, of the database `db`."""
    health = NodeHealth(NOW - silent_s * 1_000)
    reason = "why" if state in (FAILED, FULL) else ""
    for number, text in enumerate((before or vector, before or vector, vector)):
        report = InstanceReport("g", state, reason, text, 0, stamp, stale)
        at_ms = NOW - (silent_s if number else since_s) * 1_000
        health.take(NodeReport("", not number, 0, 0, {"db": report}, []), at_ms)
    health.sight = sight
    return health


def alive(answered_s: float = 0.5, fresh: bool = True, state: State = State.ALIVE, by: str = "B") -> Sight:
    """What others say of a node: that it has answered so long ago."""
    reached, missed = ((*by,), ()) if state is State.ALIVE else ((), (*by,))
    return Sight(state, 0.0, 0, NOW - answered_s * 1_000, fresh, reached, missed, None)


def decided(topology: dt.Topology, nodes: dict[str, NodeHealth]) -> Change | None:
    changes = decide({"db": topology}, nodes, NOW, PERIODS)
    return changes[0] if changes else None


def shape(topology: dt.Topology) -> str:
    return "/".join("".join(topology[field]) for field in ("Members", "Promotables", "Rehabs"))


GONE, LATE = node(silent_s=61), node(silent_s=6)
A3, B3, AB = "A:3-a", "B:3-b", "A:3-a, B:3-b"

# name, topology, nodes, expected kinds and tags, expected members/promotables/rehabs
TABLE: list[tuple[str, dt.Topology, dict[str, NodeHealth], str, str]] = [
    ("all is well", group("ABC"), {"A": node(), "B": node(), "C": node()}, "", "ABC//"),
    ("one is late, and not the first", group("ABC"), {"A": node(), "B": LATE, "C": node()}, "", "ABC//"),
    ("the first is late", group("ABC"), {"A": LATE, "B": node(), "C": node()}, "Rotate A", "BCA//"),
    ("the first is a little late", group("AB"), {"A": node(silent_s=4), "B": node()}, "", "AB//"),
    ("the first is gone", group("ABC"), {"A": GONE, "B": node(), "C": node()}, "Demote A", "BC//A"),
    ("another one is gone", group("ABC"), {"A": node(), "B": GONE, "C": node()}, "Demote B", "AC//B"),
    ("two are gone", group("ABC"), {"A": GONE, "B": node(), "C": GONE}, "Demote A, Demote C", "B//AC"),
    ("all are gone", group("AB"), {"A": GONE, "B": GONE}, "", "AB//"),
    ("one is gone, the other one late", group("AB"), {"A": GONE, "B": LATE}, "", "AB//"),
    ("the last one is gone", group("A"), {"A": GONE}, "", "A//"),
    ("a node left the cluster", group("AB"), {"B": node()}, "Demote A", "B//A"),
    ("one cannot be opened", group("AB"), {"A": node(state=FAILED), "B": node()}, "Demote A", "B//A"),
    ("one cannot be opened since now", group("AB"), {"A": node(state=FAILED, since_s=2), "B": node()}, "", "AB//"),
    ("one is being opened", group("AB"), {"A": node(state=OPENING), "B": node()}, "", "AB//"),
    ("a disk is full", group("AB"), {"A": node(), "B": node(state=FULL)}, "Demote B", "A//B"),
    ("all disks are full", group("AB"), {"A": node(state=FULL), "B": node(state=FULL)}, "", "AB//"),
    ("a newcomer has all", group("A", "B"), {"A": node(vector=A3), "B": node(vector=A3)}, "Promote B", "AB//"),
    ("a newcomer lacks something", group("A", "B"), {"A": node(vector=A3), "B": node()}, "Status B", "A/B/"),
    (
        "a mentor is written to all the time",
        group("A", "B"), {"A": node(vector="A:9-a", before=A3), "B": node(vector="A:4-a")}, "Promote B", "AB//",
    ),
    (
        "a newcomer has had it only since its last frame",
        group("A", "B"), {"A": node(vector=A3), "B": node(vector=A3, before="A:2-a")}, "Status B", "A/B/",
    ),
    (
        "a newcomer has the data, and indexes to read them",
        group("A", "B"), {"A": node(vector=A3), "B": node(vector=A3, stale=1)}, "Status B", "A/B/",
    ),
    (
        "a newcomer whose status is known",
        group("A", "B", PromotablesStatus={"B": "IndexNotUpToDate"}),
        {"A": node(vector=A3), "B": node(vector=A3, stale=1)}, "", "A/B/",
    ),
    ("a mentor is late", group("A", "B"), {"A": node(silent_s=3), "B": node()}, "Status B", "A/B/"),
    ("a rehab is back, not caught up", group("A", "", "B"), {"A": node(vector=A3), "B": node()}, "Status B", "A//B"),
    ("a rehab has caught up", group("AC", "", "B"), {"A": node(), "B": node(), "C": node()}, "Promote B", "ACB//"),
    ("a rehab cannot be opened", group("A", "", "B"), {"A": node(), "B": node(state=FAILED)}, "Status B", "A//B"),
    ("members are gone, a rehab is not", group("A", "", "B"), {"A": GONE, "B": node()}, "Promote B, Demote A", "B//A"),
    ("a member is only late", group("A", "", "B", PromotablesStatus={"B": "WaitingForMentor"}),
     {"A": LATE, "B": node()}, "", "A//B"),
    ("a newcomer is no rehab", group("A", "B", PromotablesStatus={"B": "WaitingForMentor"}),
     {"A": GONE, "B": node()}, "", "A/B/"),
    (
        "of two rehabs the one that has more",
        group("A", "", "BC", PromotablesStatus={"B": "WaitingForMentor", "C": "WaitingForMentor"}),
        {"A": GONE, "B": node(vector=AB), "C": node(vector=A3)}, "Promote B, Demote A", "B//CA",
    ),
    (
        "a fixed order is restored",
        group("BA", PriorityOrder=["A", "B"]), {"A": node(), "B": node()}, "Reorder A", "AB//",
    ),
    (
        "a fixed order waits for all",
        group("BA", PriorityOrder=["A", "B"]), {"A": node(silent_s=4), "B": node()}, "", "BA//",
    ),
]  # fmt: skip


LONG_GONE = {"A": node(silent_s=61, sight=alive()), "B": node()}
UNHEARD: list[tuple[str, dt.Topology, dict[str, NodeHealth], str, str]] = [
    ("the first is late, and others reach it", group("AB"),
     {"A": node(silent_s=6, sight=alive()), "B": node()}, "", "AB//"),
    ("one is gone for the leader alone", group("AB"), LONG_GONE, "", "AB//"),
    ("its life is no news", group("AB"), {"A": node(silent_s=61, sight=alive(60.5)), "B": node()}, "Demote A", "B//A"),
    ("its life was long ago", group("AB"), {"A": node(silent_s=61, sight=alive(20, False)), "B": node()},
     "Demote A", "B//A"),
    ("somebody suspects it", group("AB"),
     {"A": node(silent_s=61, sight=alive(state=State.SUSPECT)), "B": node()}, "Demote A", "B//A"),
    ("others have lost it too", group("AB"),
     {"A": node(silent_s=61, sight=alive(30, False, State.FAILED)), "B": node()}, "Demote A", "B//A"),
    ("others have lost it too, and it is not yet time", group("AB"),
     {"A": node(silent_s=4.9, sight=alive(30, False, State.FAILED)), "B": node()}, "", "AB//"),
    ("it had told that its disk is full", group("AB"),
     {"A": node(silent_s=61, state=FULL, sight=alive()), "B": node()}, "Demote A", "B//A"),
    ("a new leader has never heard of it", group("AB"),
     {"A": NodeHealth(NOW - 61_000, sight=alive()), "B": node()}, "", "AB//"),
    ("not for ever", group("AB"), {"A": node(silent_s=901, sight=alive()), "B": node()}, "Demote A", "B//A"),
    ("a member that only others reach keeps a rehab waiting",
     group("A", "", "B", PromotablesStatus={"B": "WaitingForMentor"}), LONG_GONE, "", "A//B"),
    ("no copy elsewhere before its time", group("AB", dynamic=True), {**LONG_GONE, "C": node()}, "", "AB//"),
    ("after its time a copy elsewhere", group("AB", dynamic=True),
     {"A": node(silent_s=901, sight=alive()), "B": node(), "C": node()}, "Demote A, Add C", "B/C/A"),
]  # fmt: skip

COLUMNS = ("topology", "nodes", "kinds", "after")


@pytest.mark.parametrize(COLUMNS, [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_situations(topology: dt.Topology, nodes: dict[str, NodeHealth], kinds: str, after: str) -> None:
    """In each situation what is decided, about whom, and what becomes of the group."""
    change = decided(topology, nodes)
    if not kinds:
        assert change is None
        return
    assert change is not None and all(each.reason for each in change.decisions)
    # What is shown of those that are no Members comes along with other decisions.
    made = [f"{each.kind} {each.tag}" for each in change.decisions if each.kind != "Status" or "Status" in kinds]
    assert ", ".join(made) == kinds
    assert shape(change.topology) == after and change.expected_index == topology["Stamp"]["Index"]


AWAY = node(silent_s=901)
RETIRED_B = group("AC", "", "B", factor=2, dynamic=True, PromotablesStatus={"B": dt.RETIRED})
DYNAMIC: list[tuple[str, dt.Topology, dict[str, NodeHealth], str, str]] = [
    ("not long enough", group("A", "", "B", dynamic=True, PromotablesStatus={"B": "NotResponding"}),
     {"A": node(), "B": GONE, "C": node()}, "", "A//B"),
    ("another one takes the place", group("A", "", "B", dynamic=True, PromotablesStatus={"B": "NotResponding"}),
     {"A": node(), "B": AWAY, "C": node(), "D": LATE}, "Add C", "A/C/B"),
    ("not where groups stay", group("A", "", "B", PromotablesStatus={"B": "NotResponding"}),
     {"A": node(), "B": AWAY, "C": node()}, "", "A//B"),
    ("one at a time",
     group("A", "C", "B", factor=2, dynamic=True, PromotablesStatus=dict.fromkeys("BC", "NotResponding")),
     {"A": node(), "B": AWAY, "C": LATE, "D": node()}, "", "A/C/B"),
    ("the first one back ends the other's start", group("A", "C", "B", factor=2, dynamic=True),
     {"A": node(vector=A3), "B": node(vector=A3), "C": node()}, "Promote B, Delete C", "AB//"),
    ("one too many is retired", group("ACB", factor=2, dynamic=True),
     {"A": node(), "B": node(), "C": node()}, "Retire B", "AC//B"),
    ("who is away is not deleted", group("AC", "", "B", factor=2, dynamic=True,
     PromotablesStatus={"B": "NotResponding"}), {"A": node(), "B": AWAY, "C": node()}, "", "AC//B"),
    ("a retired one has not handed over", RETIRED_B,
     {"A": node(vector=AB), "B": node(vector=B3), "C": node(vector=A3)}, "", "AC//B"),
    ("a retired one has handed over", RETIRED_B,
     {"A": node(vector=AB), "B": node(vector=B3), "C": node(vector=AB)}, "Delete B", "AC//"),
    ("somebody does not know of it yet",
     {**RETIRED_B, "Stamp": {"Index": 9, "Term": 1, "LeadersTicks": -2}},
     {"A": node(vector=AB, stamp=9), "B": node(vector=B3, stamp=8), "C": node(vector=AB, stamp=9)}, "", "AC//B"),
    ("a retired one is needed again", group("A", "", "CB", factor=2, dynamic=True,
     PromotablesStatus={"B": dt.RETIRED, "C": "NotResponding"}), {"A": node(), "B": node(), "C": AWAY},
     "Recall B", "A//CB"),
]  # fmt: skip


@pytest.mark.parametrize(COLUMNS, [row[1:] for row in UNHEARD], ids=[row[0] for row in UNHEARD])
def test_nodes_that_others_reach(topology: dt.Topology, nodes: dict[str, NodeHealth], kinds: str, after: str) -> None:
    """Who is silent for the leader alone is left as it is, for a time, and unless something else speaks against it."""
    test_situations(topology, nodes, kinds, after)


@pytest.mark.parametrize(
    ("sight", "words"),
    [
        (None, "61.0 s"),
        (alive(30, False, State.FAILED, "BC"), "61.0 s; B and C cannot reach it either"),
        (alive(30, False, State.FAILED, "BCD"), "61.0 s; B, C and D cannot reach it either"),
        (alive(30, False, State.FAILED, ""), "61.0 s"),
        (alive(60.5, True), "61.0 s; B reaches it"),
    ],
)
def test_reasons_name_the_evidence(sight: Sight | None, words: str) -> None:
    """How long a node was silent, and what others know of it, is told with the decision."""
    change = decided(group("BA"), {"A": node(silent_s=61, sight=sight), "B": node()})
    assert change is not None and change.decisions[0].reason == f"its node was not heard of for {words}"


@pytest.mark.parametrize(COLUMNS, [row[1:] for row in DYNAMIC], ids=[row[0] for row in DYNAMIC])
def test_groups_that_move(topology: dt.Topology, nodes: dict[str, NodeHealth], kinds: str, after: str) -> None:
    """A node that stays away is replaced; one too many goes when it has handed over what it alone had."""
    test_situations(topology, nodes, kinds, after)


def test_what_may_go_with_a_deleted_instance() -> None:
    """With the deletion goes what all Members have: the node keeps files that hold more than that."""
    topology = RETIRED_B
    nodes = {"A": node(vector="A:9-a, B:3-b"), "B": node(vector=B3), "C": node(vector="A:7-a, B:4-b")}
    change = decided(topology, nodes)
    assert change is not None and vectors.read(change.deleted["B"]) == {"a": 7, "b": 3}


@pytest.mark.parametrize("seed", range(40))
def test_any_reports(seed: int) -> None:
    """Whatever is told, a group keeps a Member, the same reports soon lead to no more decisions, and none is undone."""
    chance = random.Random(seed)
    topology = group("ABC", dynamic=chance.random() < 0.5)
    texts = ["", A3, B3, AB, "A:9-a, C:2-c", "nonsense"]
    for _ in range(60):
        nodes = {
            tag: node(
                chance.choice([0.1, 0.1, 0.1, 3, 6, 61, 901]), chance.choice([OPEN, OPEN, OPEN, FAILED, FULL, OPENING]),
                chance.choice(texts), chance.choice(texts), chance.choice([0, 0, 1]), chance.choice([1, 10, 1_000]),
                sight=chance.choice([None, alive(), alive(50, False), alive(50, False, State.FAILED)]),
            )
            for tag in "ABCDE"
        }  # fmt: skip
        done: dict[str, set[str]] = {}
        for _ in range(12):
            change = decided(topology, nodes)
            if change is None:
                break
            topology = change.topology
            assert topology["Members"], "a group without a Member"
            assert len(set(dt.instances(topology))) == len(dt.instances(topology))
            for each in change.decisions:
                done.setdefault(each.tag, set()).add(each.kind)
        else:
            raise AssertionError(f"it does not come to rest: {topology}")
        for kinds in done.values():
            assert not {"Promote", "Demote"} <= kinds and not {"Retire", "Recall"} <= kinds
            assert not {"Add", "Delete"} <= kinds


def test_frames_tell_what_has_changed() -> None:
    """The first frame tells all, later ones what is new and what is gone, a bounded number, nobody is left out."""
    sender = Sender()
    instances = {f"db{number}": InstanceReport("g", OPEN, "", f"A:{number}-a") for number in range(10)}
    first = sender.frame("A", (1, 2), instances, 4)
    assert first.is_first and len(first.instances) == 4
    rest = [sender.frame("A", (1, 2), instances, 4) for _ in range(3)]
    assert [len(each.instances) for each in rest] == [4, 2, 0] and not any(each.is_first for each in rest)
    changed = {**instances, "db3": InstanceReport("g", FAILED, "why")}
    del changed["db4"]
    last = sender.frame("A", (1, 2), changed, 4)
    assert list(last.instances) == ["db3"] and last.gone == ["db4"]
    health = NodeHealth(0.0)
    for number, frame in enumerate([first, *rest, last]):
        health.take(frame, number)
    assert len(health.instances) == 9 and health.instances["db3"].since_ms == 4 and health.seen_ms == 4
    db3, db5 = health.instances["db3"], health.instances["db5"]
    assert [health.told(db3, back) for back in (0, 1, 4, 5)] == ["", "A:3-a", "A:3-a", None]
    assert [health.told(db5, back) for back in (0, 3, 4)] == ["A:5-a", "A:5-a", None]
    busy = {f"db{number}": InstanceReport("g", OPEN, "", "A:99-a") for number in range(10)}
    told = [name for _ in range(3) for name in sender.frame("A", (1, 2), busy, 4).instances]
    assert sorted(told) == sorted(busy), "those that were told of longest ago come first"


def test_vectors() -> None:
    """Vectors are compared by ids, an entry that is missing counts nothing, and nonsense is refused."""
    assert vectors.covers(vectors.read(AB), vectors.read(A3)) and not vectors.covers(vectors.read(A3), vectors.read(AB))
    assert vectors.covers(vectors.read("X:3-a"), vectors.read(A3)) and vectors.covers({}, vectors.read(""))
    assert vectors.common([]) == {} and vectors.common([{"a": 2, "b": 1}, {"a": 1}]) == {"a": 1}
    assert vectors.read(vectors.write({"a": 2, "b": 1})) == {"a": 2, "b": 1}
    for text in ("A", "A:x-b", "A:1", ":1-b", "A:1-b,,"):
        with pytest.raises(InvalidArgument):
            vectors.read(text)
