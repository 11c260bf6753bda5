"""Bugs planted in SWIM, one at a time, that the checks of the simulation must find.

    python -m tests.cluster.swim_mutants [NAME...]     plant each in a process of its own and print who found it

A mutant is an edit of the source that is made while the module is imported; the files stay as they are.
"""

import subprocess
import sys
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
MODULE = "pynori.cluster.swim"
PATH = ROOT / "pynori" / "cluster" / "swim.py"
SEEDS_MAX = 12
SECONDS_MAX = 240

# What is replaced, and by what.
MUTANTS = {
    "no refutation": ("self.incarnation = news.incarnation + 1", "pass"),
    "own word is not spread": ("        if not self._rumours.holds(word):", "        if False:"),
    "life without a later incarnation": ("elif news.incarnation > member.incarnation:", "else:"),
    "no incarnation check of suspicions": (
        "if incarnation < member.incarnation or (member.state is FAILED and incarnation == member.incarnation):",
        "if member.state is FAILED and incarnation == member.incarnation:",
    ),
    "no suspicion: failed at once": (
        "            self._become(member, SUSPECT, incarnation, now_ms)",
        "            self._become(member, FAILED, incarnation, now_ms)",
    ),
    "suspicions never end": ("if now_ms >= self._suspicion_end_ms(member):", "if False:"),
    "suspicion is not told": ("        self._spread(News(member.id, SUSPECT, incarnation, accuser))", "        pass"),
    "news never expires": ("            self._left[each] -= 1\n", "            pass\n"),
    "old news stays beside new": ("self.forget(news.subject, unless=news)", "pass"),
    "nobody is asked for help": ("[: self._options.helpers]", "[:0]"),
    "answers to others do not count": ("subject = message.subject or message.source", "subject = message.source"),
    "helpers do not pass answers on": (
        "self._send(Kind.ACK, relay.asker, relay.asker_number, relay.subject)", "pass",
    ),
    "helpers never say no": ("self._send(Kind.NACK, relay.asker, relay.asker_number, relay.subject)", "pass"),
    "relays without bound": ("or len(self._relays) >= self._options.relays_max", ""),
    "the failed are not probed": ("        self._order = self._shuffled(self.members)\n", (
        "        living = [each.id for each in self.members.values() if each.state is not FAILED]\n"
        "        self._order = self._shuffled(living or self.members)\n"
    )),
    "the suspected are not told": ("        if member.state is not ALIVE:\n            news.append", (
        "        if False:\n            news.append"
    )),
    "the suspected are not looked at": ("if accuser != self.node_id:", "if False:"),
    "own health is not felt": ("self.score = min(max(self.score + change, 0), self._options.score_max)", "pass"),
    "a pause is not noticed": ("if late_ms <= self._options.period_ms / 2:", "if True:"),
    "another one's failure is taken over": ("member.state is SUSPECT and self._is_shared(member)", "True"),
    "the same accuser counts again": ("elif accuser in member.accusers or", "elif"),
    "time to refute does not shrink": ("math.log(len(member.accusers)) /", "0.0 /"),
    "time to refute does not grow with the nodes": ("max(1.0, math.log10(len(self.members) + 1))", "1.0"),
    "who leaves is remembered": ("            self._rumours.forget(gone)\n", ""),
    "strangers are heard": ("        if source is None:\n            return\n", (
        "        if source is None:\n"
        "            source = self.members[message.source] = Member(message.source, now_ms)\n"
    )),
    "a table is not answered": ("        elif message.kind is Kind.TABLE:\n", "        elif False:\n"),
    "always the same order": ("        for position in range(len(found) - 1, 0, -1):", "        for position in ():"),
}


class Planter(SourceFileLoader):
    """Loads the module with a bug."""

    def __init__(self, name: str, path: str, edit: tuple[str, str]) -> None:
        super().__init__(name, path)
        self._edit = edit

    def get_code(self, fullname: str) -> object:
        """Compile the edited source."""
        source = PATH.read_text()
        assert source.count(self._edit[0]) == 1, f"{self._edit[0]!r} is not once in the source"
        return compile(source.replace(*self._edit), self.path, "exec")


class PlanterFinder:
    """Finds the module that has the bug before anybody else does."""

    def __init__(self, edit: tuple[str, str]) -> None:
        self._edit = edit

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> ModuleSpec | None:
        """Return the edited module."""
        if name != MODULE:
            return None
        return spec_from_file_location(name, str(PATH), loader=Planter(name, str(PATH), self._edit))


def hunt(name: str) -> str:
    """Plant a bug in this process and return who found it, and with which seed."""
    sys.meta_path.insert(0, PlanterFinder(MUTANTS[name]))
    from tests.cluster.swim_checks import CHECKS

    for seed in range(SEEDS_MAX):
        for check, run in CHECKS.items():
            try:
                run(seed)
            except AssertionError as error:
                return f"{check}, seed {seed} | {str(error)[:90] or 'an assertion'}"
            except Exception as error:
                return f"{check}, seed {seed} | {type(error).__name__}: {error}"
    return "nobody |"


def ask(name: str) -> str:
    """Run a hunt in a process of its own."""
    command = [sys.executable, "-m", "tests.cluster.swim_mutants", "--hunt", name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_MAX, cwd=ROOT, check=False)
    except subprocess.TimeoutExpired:
        return f"no end within {SECONDS_MAX} s |"
    return done.stdout.strip() or done.stderr.strip().split("\n")[-1]


def main() -> int:
    """Plant all, or those that are named; return whether any was found by nobody."""
    if sys.argv[1:2] == ["--hunt"]:
        print(hunt(sys.argv[2]))
        return 0
    survivors = 0
    print("| planted bug | found by | how |\n| --- | --- | --- |")
    for name in sys.argv[1:] or MUTANTS:
        found = ask(name)
        survivors += found.startswith("nobody")
        print(f"| {name} | {found} |", flush=True)
    return int(survivors > 0)


if __name__ == "__main__":
    sys.exit(main())
