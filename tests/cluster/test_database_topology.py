"""Topologies of database groups: who is what, who feeds whom, what each change leaves, and where new groups go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pynori.cluster import database_topology as dt
from pynori.errors import InvalidArgument

IDS = ("group", "transactions")


def of(members: str, promotables: str = "", rehabs: str = "", **fields: Any) -> dt.Topology:
    topology = dt.new(list(members), IDS, False)
    count = len(members + promotables + rehabs)
    return {
        **topology, "Promotables": list(promotables), "Rehabs": list(rehabs), "ReplicationFactor": count, **fields,
    }  # fmt: skip


def shape(topology: dt.Topology) -> tuple[str, str, str]:
    return "".join(topology["Members"]), "".join(topology["Promotables"]), "".join(topology["Rehabs"])


def test_members_feed_each_other_and_one_of_them_each_of_the_rest() -> None:
    """A Member sends to all others; each newcomer and each fallen one gets from exactly one; those send to nobody."""
    topology = of("ABC", "D", "E")
    assert [each for each in dt.destinations(topology, "A") if each in "ABC"] == ["B", "C"]
    for fed in "DE":
        feeders = [tag for tag in "ABC" if fed in dt.destinations(topology, tag)]
        assert feeders == [dt.mentor(topology, fed)]
        assert dt.destinations(topology, fed) == []
    assert dt.mentor(topology, "A") is None and dt.mentor(topology, "X") is None
    assert dt.mentor(of("", "D", "E"), "D") is None


def test_a_mentor_that_was_asked_for() -> None:
    """The mentor is the one that was asked for as long as it is a Member, and one by the tags otherwise."""
    topology = dt.add(of("ABC"), "D", "B")
    assert dt.mentor(topology, "D") == "B" and "D" in dt.destinations(topology, "B")
    fallen = dt.demote(topology, "B", "gone")
    assert dt.mentor(fallen, "D") in ("A", "C")
    with pytest.raises(InvalidArgument, match="no member"):
        dt.add(of("AB"), "D", "X")


def test_changes() -> None:
    """Adding, promoting, demoting and removing move a tag from role to role and take what was noted of it along."""
    topology = dt.add(of("AB"), "C")
    assert shape(topology) == ("AB", "C", "") and topology["ReplicationFactor"] == 3
    assert topology["PromotablesStatus"] == {"C": dt.WAITING} and dt.role(topology, "C") == "Promotable"
    topology = dt.promote(topology, "C")
    assert shape(topology) == ("ABC", "", "") and topology["PromotablesStatus"] == {}
    topology = dt.demote(topology, "A", "not seen")
    assert shape(topology) == ("BC", "", "A") and topology["DemotionReasons"] == {"A": "not seen"}
    assert shape(dt.promote(topology, "A")) == ("BCA", "", "")
    assert shape(dt.remove(topology, "A")) == ("BC", "", "") and dt.remove(topology, "A")["ReplicationFactor"] == 2
    assert dt.remove(topology, "A", shrinks=False)["ReplicationFactor"] == 3
    last = of("A", "B", "C")
    assert shape(dt.remove(last, "A")) == ("C", "B", ""), "who was a Member before has more than a newcomer"
    assert shape(dt.remove(of("A", "B"), "A")) == ("B", "", "")
    assert dt.instances(dt.remove(of("A"), "A")) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda: dt.add(of("AB"), "A"),
        lambda: dt.demote(of("A", "B"), "A", ""),
        lambda: dt.demote(of("AB", "C"), "C", ""),
        lambda: dt.promote(of("AB"), "X"),
        lambda: dt.remove(of("AB"), "X"),
        lambda: dt.reorder(of("AB"), ["A"]),
        lambda: dt.reorder(of("AB"), ["A", "B", "B"]),
        lambda: dt.given(of("AB"), {"Members": ["A", "A"]}, "ABC"),
        lambda: dt.given(of("AB"), {"Members": []}, "ABC"),
        lambda: dt.given(of("AB"), {"Members": ["X"]}, "ABC"),
        lambda: dt.given(of("AB"), {"Members": "AB"}, "ABC"),
    ],
)
def test_what_cannot_be(change: Any) -> None:
    """No node twice, no demotion of the last Member, no strangers, no group without a Member."""
    with pytest.raises(InvalidArgument):
        change()


def test_a_fixed_order_is_restored() -> None:
    """Without a fixed order who comes back is the last; with one it takes its place again."""
    topology = dt.reorder(of("ABC"), ["C", "A", "B"], is_fixed=True)
    assert shape(dt.promote(dt.demote(topology, "C", ""), "C"))[0] == "CAB"
    free = dt.reorder(topology, ["C", "A", "B"])
    assert shape(dt.promote(dt.demote(free, "C", ""), "C"))[0] == "ABC"


def test_given_by_hand() -> None:
    """What a person sets takes the place of what was there; what was noted of nodes that are gone goes."""
    before = of("AB", "", "C", DemotionReasons={"C": "gone"})
    after = dt.given(before, {"Members": ["C", "A"], "Rehabs": [], "DynamicNodesDistribution": True}, "ABC")
    assert shape(after) == ("CA", "", "") and after["DemotionReasons"] == {"C": "gone"}
    assert after["DynamicNodesDistribution"] is True and after["ReplicationFactor"] == 2


def test_placement_spreads() -> None:
    """40 groups of three on five nodes: instances differ by at most two, and so do the groups that prefer a node."""
    groups: list[dt.Topology] = []
    for number in range(40):
        asked = "ABCDE"[number % 5]
        candidates = [asked, *(tag for tag in "ABCDE" if tag != asked)]
        members = dt.place(3, [], candidates, [], groups)
        assert len(set(members)) == 3
        groups.append(dt.new(members, IDS, False))
    counts = [sum(tag in group["Members"] for group in groups) for tag in "ABCDE"]
    firsts = [sum(tag == group["Members"][0] for group in groups) for tag in "ABCDE"]
    assert max(counts) - min(counts) <= 2 and max(firsts) - min(firsts) <= 2


def test_placement_of_named_nodes() -> None:
    """Named nodes are fixed, in their order; more than there are, unknown or repeated ones are refused."""
    assert dt.place(1, ["C", "A"], "ABC", [], []) == ["C", "A"]
    assert dt.place(3, ["C"], "ABCD", "A", [of("B")])[:1] == ["C"]
    assert set(dt.place(3, ["C"], "ABCD", "A", [of("B")])) == {"B", "C", "D"}, "who is away comes last"
    with pytest.raises(InvalidArgument, match="Replication factor 4 is larger than the cluster's 3 nodes"):
        dt.place(4, [], "ABC", [], [])
    with pytest.raises(InvalidArgument, match="Node 'X' is not in the cluster"):
        dt.place(1, ["X"], "ABC", [], [])
    with pytest.raises(InvalidArgument, match="more than once"):
        dt.place(1, ["A", "A"], "ABC", [], [])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["add", "remove", "promote", "demote"]), st.sampled_from("ABCDE"))))
def test_any_changes_leave_a_group_that_can_serve(steps: list[tuple[str, str]]) -> None:
    """After any changes each node has at most one role, somebody is a Member, and each other one has one mentor."""
    topology = of("AB")
    changes: dict[str, Callable[[dt.Topology, str], dt.Topology]] = {
        "add": dt.add,
        "remove": dt.remove,
        "promote": dt.promote,
        "demote": lambda known, tag: dt.demote(known, tag, "why"),
    }
    for name, tag in steps:
        try:
            topology = changes[name](topology, tag)
        except InvalidArgument:
            continue
        tags = dt.instances(topology)
        assert len(tags) == len(set(tags)) and (topology["Members"] or not tags)
        for field in ("PredefinedMentors", "DemotionReasons", "PromotablesStatus"):
            assert set(topology[field]) <= set(tags) - set(topology["Members"])
        for fed in (*topology["Promotables"], *topology["Rehabs"]):
            assert [each for each in tags if fed in dt.destinations(topology, each)] == [dt.mentor(topology, fed)]
