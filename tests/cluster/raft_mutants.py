"""Bugs planted in the raft core, one at a time, that the simulation or a story must find.

    python -m tests.cluster.raft_mutants [NAME...]     plant each in a process of its own and print who found it

A mutant is an edit of the source that is made while the module is imported; the files stay as they are.
"""

import subprocess
import sys
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent.parent
CORE = ROOT / "pynori" / "cluster" / "raft"
SEEDS_MAX = 600
SECONDS_MAX = 240


class Mutant(NamedTuple):
    """A planted bug: in which module, what it replaces, and by what."""

    module: str
    old: str
    new: str


MUTANTS = {
    "votes twice in a term": Mutant(
        "election", "(raft.vote == NO_NODE and raft.leader == NO_NODE)", "raft.leader == NO_NODE"
    ),
    "votes for a shorter log": Mutant(
        "log", "return (term, index) >= (own_term, own_index)", "return term >= own_term"
    ),
    "vote leaves before it is durable": Mutant(
        "state", "or kind is _VOTE_RESPONSE or", "or (kind is _VOTE_RESPONSE and message.target == self.node_id) or"
    ),
    "append is acknowledged before it is durable": Mutant(
        "state", "if kind is _APPEND_RESPONSE or kind is",
        "if (kind is _APPEND_RESPONSE and message.target == self.node_id) or kind is",
    ),
    "commits entries of older terms": Mutant(
        "log", "index > self.committed and self.matches(index, term)", "index > self.committed"
    ),
    "minority commits": Mutant("quorum", "return indexes[(count - 1) // 2]", "return indexes[count // 2]"),
    "outgoing half is not asked": Mutant(
        "quorum", "return min(index, majority_committed(outgoing, acknowledged)) if outgoing else index", "return index"
    ),
    "outgoing half does not vote": Mutant(
        "quorum", "results = {majority_vote(voters, votes), majority_vote(outgoing, votes)}",
        "results = {majority_vote(voters, votes)}",
    ),
    "conflicting tail is kept": Mutant(
        "unstable", "self.entries = [*self.entries[: first - self.offset], *entries]",
        "self.entries[first - self.offset : first - self.offset + len(entries)] = entries",
    ),
    "append is taken without a look at what stands before it": Mutant(
        "log", "if not self.matches(index, term):\n            return None",
        "if index > self.last_index():\n            return None",
    ),
    "follower commits what it does not have from this leader": Mutant(
        "log", "self.commit_to(min(committed, last))", "self.commit_to(min(committed, self.last_index()))"
    ),
    "heartbeat commits beyond the match": Mutant(
        "replication", "commit = min(progress.match, raft.log.committed)", "commit = raft.log.committed"
    ),
    "several changes at a time": Mutant(
        "leader", "if raft.pending_change_index > applied:", "if raft.pending_change_index > applied + 10**9:"
    ),
    "new leader forgets that a change may be pending": Mutant(
        "leader", "raft.pending_change_index = raft.log.last_index()", "raft.pending_change_index = 0"
    ),
    "stands for election over an unapplied change": Mutant(
        "election", "elif raft.log.has_unapplied_change():", "elif False:"
    ),
    "read is answered without asking anybody": Mutant(
        "leader", "if raft.options.lease_reads and _has_lease(raft):", "if True:"
    ),
    "read does not wait for a commit of the term": Mutant(
        "leader", "elif raft.log.term(raft.log.committed) == raft.term:", "elif True:"
    ),
    "lease lasts over a transfer": Mutant("leader", "raft.is_lease_void = True", "pass"),
    "lease is forgotten by a restart": Mutant("node", "raft.may_have_promised = True", "pass"),
    "lease counts from the answer": Mutant("leader", "max(progress.lease_tick, tick)", "raft.ticks"),
    "removed leader takes itself for the one voter": Mutant(
        "tracker", "self.membership.voters == {node_id}", "len(self.membership.voters) == 1"
    ),
    "refused vote says nothing of the commit": Mutant(
        "election", "if term and raft.log.matches(index, term):", "if False:"
    ),
    "late storage answer counts at any term": Mutant(
        "core", "            # The same places may",
        "            raft.log.unstable.end_write(message.index, message.log_term)\n            # The same places may",
    ),
    "snapshot keeps the old membership": Mutant(
        "follower", "switch_membership(raft, snapshot.membership)", "switch_membership(raft, raft.tracker.membership)"
    ),
    "change is applied over a newer snapshot": Mutant(
        "reconfigure", "if index <= raft.membership_index:", "if False:"
    ),
    "full window never opens": Mutant(
        "leader", "progress.window.free_up_to(message.index)", "progress.window.free_up_to(0)"
    ),
    "refused follower is never probed again": Mutant(
        "progress", "self.next = max(min(refused, hint + 1), self.match + 1)", "self.next = refused + 1"
    ),
    "reported snapshot failure is ignored": Mutant(
        "leader", "if progress.state != ProgressState.SNAPSHOT:\n        return", "return"
    ),
}  # fmt: skip


class Planter(SourceFileLoader):
    """Loads one module of the core with its bug."""

    def __init__(self, name: str, path: str, mutant: Mutant) -> None:
        super().__init__(name, path)
        self._mutant = mutant

    def get_code(self, fullname: str) -> object:
        """Compile the edited source."""
        source = (CORE / f"{self._mutant.module}.py").read_text()
        assert source.count(self._mutant.old) == 1, f"{self._mutant} does not fit the source"
        return compile(source.replace(self._mutant.old, self._mutant.new), self.path, "exec")


class PlanterFinder:
    """Finds the module that has the bug before anybody else does."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> ModuleSpec | None:
        """Return the edited module."""
        if name != f"pynori.cluster.raft.{self._mutant.module}":
            return None
        path = str(CORE / f"{self._mutant.module}.py")
        return spec_from_file_location(name, path, loader=Planter(name, path, self._mutant))


def hunt(name: str) -> str:
    """Plant a bug in this process and return who found it, and how soon."""
    sys.meta_path.insert(0, PlanterFinder(MUTANTS[name]))
    from tests.cluster.simulation.world import run

    for seed in range(SEEDS_MAX):
        try:
            failure = run(seed).failure
        except Exception as error:
            failure = f"{type(error).__name__}: {error}"
        if failure:
            return f"simulation, seed {seed} | {failure[:90]}"
    return "nobody |"


def stories(name: str) -> str:
    """Play the stories with a bug in this process; return how many fail."""
    sys.meta_path.insert(0, PlanterFinder(MUTANTS[name]))
    from tests.cluster.datadriven import check_file
    from tests.cluster.raft_stage import Stage
    from tests.cluster.test_raft_scenarios import OWN, SHARED, handle_quorum

    failed = 0
    quorums = sorted((SHARED / "quorum").glob("*.txt"))
    for path in [*sorted((SHARED / "interaction").glob("*.txt")), *sorted(OWN.glob("raft_*.txt")), *quorums]:
        try:
            check_file(path, handle_quorum if path in quorums else Stage().handle)
        except Exception:
            failed += 1
    return str(failed)


def ask(what: str, name: str) -> str:
    """Run a hunt in a process of its own."""
    command = [sys.executable, "-m", "tests.cluster.raft_mutants", what, name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_MAX, cwd=ROOT, check=False)
    except subprocess.TimeoutExpired:
        return f"simulation, no end within {SECONDS_MAX} s |"
    return done.stdout.strip() or done.stderr.strip().split("\n")[-1]


def main() -> int:
    """Plant all, or those that are named; return whether any was found by nobody."""
    if sys.argv[1:2] in (["--hunt"], ["--stories"]):
        print((hunt if sys.argv[1] == "--hunt" else stories)(sys.argv[2]))
        return 0
    survivors = 0
    print("| planted bug | stories that fail | found by | how |\n| --- | --- | --- | --- |")
    for name in sys.argv[1:] or MUTANTS:
        failed, found = ask("--stories", name), ask("--hunt", name)
        survivors += failed == "0" and found.startswith("nobody")
        print(f"| {name} | {failed} | {found} |", flush=True)
    return int(survivors > 0)


if __name__ == "__main__":
    sys.exit(main())
