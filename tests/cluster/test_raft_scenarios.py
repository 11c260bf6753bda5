"""The raft core plays etcd's published scenarios, and our own, to the letter."""

from pathlib import Path

import pytest

from pynori.cluster.raft.describe import describe_membership
from pynori.cluster.raft.membership import enter_joint, leave_joint, simple
from pynori.cluster.raft.quorum import (
    UNBOUNDED_INDEX,
    describe_progress,
    joint_committed,
    joint_vote,
    majority_committed,
    majority_vote,
)
from pynori.cluster.raft.tracker import Tracker
from pynori.cluster.raft.types import ChangeRefused
from tests.cluster.datadriven import Directive, check_file, read_directives
from tests.cluster.raft_stage import Stage, parse_steps

ROOT = Path(__file__).resolve().parent.parent.parent
# Published test data of others lies beside the project, or one level higher; a clean clone elsewhere has none.
SHARED = next(
    (path for path in (up / "shared" / "data" / "raft" for up in ROOT.parents[:2]) if path.is_dir()),
    ROOT.parent / "shared" / "data" / "raft",
)
OWN = Path(__file__).resolve().parent / "testdata"


def shared_files(folder: str) -> list[object]:
    """Return the files of a folder as parameters, or one that skips and says why."""
    files = sorted((SHARED / folder).glob("*.txt"))
    reason = f"no published scenarios: {SHARED / folder} is not there"
    return [pytest.param(path, id=path.stem) for path in files] or [
        pytest.param(None, marks=pytest.mark.skip(reason=reason))
    ]


@pytest.mark.parametrize("path", shared_files("interaction"))
def test_published_stories(path: Path) -> None:
    """Every command of etcd's stories prints what etcd prints: states, messages, entries and log lines."""
    assert check_file(path, Stage().handle)


@pytest.mark.parametrize("path", sorted(OWN.glob("raft_*.txt")), ids=lambda path: path.stem)
def test_own_stories(path: Path) -> None:
    """Our own stories, in the same form, go as they were told."""
    assert check_file(path, Stage().handle)


@pytest.mark.parametrize("path", shared_files("confchange"))
def test_published_membership_changes(path: Path) -> None:
    """Changes of the membership lead where etcd's lead, or are refused with the same words."""
    tracker = Tracker(10, 0)
    last_index = -1

    def handle(directive: Directive) -> str:
        nonlocal last_index
        last_index += 1
        try:
            if directive.command == "simple":
                changed = simple(tracker.membership, parse_steps(directive.input))
            elif directive.command == "enter-joint":
                is_auto = directive.value("autoleave") == "true"
                changed = enter_joint(tracker.membership, parse_steps(directive.input), is_auto)
            else:
                changed = leave_joint(tracker.membership)
        except ChangeRefused as error:
            return str(error)
        tracker.switch(changed, last_index)
        lines = [f"{node_id}: {progress}\n" for node_id, progress in tracker.in_order]
        return f"{describe_membership(changed)}\n" + "".join(lines)

    assert check_file(path, handle)


def naive_committed(voters: set[int], acknowledged: dict[int, int]) -> int:
    """Return the largest index that more than half have, by trying all."""
    if not voters:
        return UNBOUNDED_INDEX
    needed = len(voters) // 2 + 1
    indexes = [0, *acknowledged.values()]
    return max(i for i in indexes if i == 0 or sum(acknowledged.get(v, 0) >= i for v in voters) >= needed)


def handle_quorum(directive: Directive) -> str:
    """committed cfg=(1,2) [cfgj=(3)|zero] idx=(_,5), or vote ... votes=(y,n,_)"""
    voters = [int(word) for word in directive.keys.get("cfg", []) if word]
    is_joint = "cfgj" in directive.keys
    outgoing = [int(word) for word in directive.keys.get("cfgj", []) if word not in ("", "zero")]
    key = "idx" if directive.command == "committed" else "votes"
    given = [word for word in directive.keys.get(key, []) if word]
    order = list(dict.fromkeys(voters + outgoing))
    if len(order) != len(given):
        shown = [{"y": 2, "n": 1, "_": 0}.get(word) or int(word.replace("_", "0")) for word in given]
        ids = " ".join(f"{node_id}:{{}}" for node_id in sorted(order))
        return f"error: mismatched input (explicit or _) for voters map[{ids}]: [{' '.join(map(str, shown))}]"
    if directive.command == "vote":
        votes = {node_id: word == "y" for node_id, word in zip(order, given, strict=True) if word != "_"}
        result = joint_vote(voters, outgoing, votes) if is_joint else majority_vote(voters, votes)
        assert joint_vote(outgoing, voters, votes) == result
        return f"{result}"
    acknowledged = {node_id: int(word) for node_id, word in zip(order, given, strict=True) if word != "_"}

    def index_of(node_id: int) -> int:
        return acknowledged.get(node_id, 0)

    index = joint_committed(voters, outgoing, index_of) if is_joint else majority_committed(voters, index_of)
    naive = [naive_committed(set(half), {v: acknowledged.get(v, 0) for v in half}) for half in (voters, outgoing)]
    assert index == min(naive) == joint_committed(outgoing or voters, voters, index_of)
    text = "∞" if index == UNBOUNDED_INDEX else str(index)
    return describe_progress(set(voters) | set(outgoing), acknowledged) + text


@pytest.mark.parametrize("path", shared_files("quorum"))
def test_published_quorums(path: Path) -> None:
    """Commit indexes and votes of majorities, single and joint, come out as etcd's, and as a naive count of them."""
    assert check_file(path, handle_quorum)


def test_every_published_file_is_played() -> None:
    """All 41 files with their 743 commands are read, so that no file is silently left out."""
    if not SHARED.is_dir():
        pytest.skip(f"no published scenarios: {SHARED} is not there")
    folders = {name: sorted((SHARED / name).glob("*.txt")) for name in ("interaction", "confchange", "quorum")}
    assert {name: len(files) for name, files in folders.items()} == {"interaction": 28, "confchange": 9, "quorum": 4}
    assert sum(len(list(read_directives(path))) for files in folders.values() for path in files) == 743
