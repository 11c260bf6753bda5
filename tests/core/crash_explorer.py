"""Builds the disks that crashes of a history could leave, recovers each, and holds what is found against the model.

A `Node` is a recorded disk with the states that may be found on it. A cut makes another node of it: the image of a
crash, recovered once, and its recovery is recorded too, so a cut of that node is a crash inside recovery. A life is
more work on a recovered node. A path of cuts and lives names an image, and builds it again:
`python -m tests.core.crash_explorer replay PROFILE 'PATH'`.

Of every image: it opens; the state is that of exactly one transaction between the last acknowledged and the last tried;
a second recovery finds the same; and in every eighth all invariants of FORMAT.md hold.
"""

import json
import random
import sys
import time
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import product
from typing import NamedTuple

from pynori_core.journal import limit_journals
from pynori_core.sim_disk import MODES, SimDisk

from tests.core.crash_history import DocumentWorld, State, TreeWorld, World
from tests.indexes.crash_world import IndexWorld

PROFILES: dict[str, type[World]] = {"trees": TreeWorld, "documents": DocumentWorld, "indexes": IndexWorld}
SECTORS = (4096, 512)
ALL, SOME = -1, -2  # changes of names
SUBSET_UNITS_MAX = 10
LISTED_UNITS_MAX = 6  # single sectors that are left out one by one, at one point
RECOVERY_DEPTH = 3
LIVES = 3
DEEP_SHARE = 8
RECOVERY_SHARE = 8
LIFE_STEPS_MAX = 5
LIFE_CUTS = 10
JOURNAL_BYTES_SMALL = 262144
JOURNAL_BYTES_MAX = 67108864
HUNT_IMAGES = 400  # of one history
NONE, EVERYTHING, PREFIX, RANDOM, GARBAGE, HALF, LAST_WRITE, FIRST_LOST, OMIT, OMIT_PAIR, SUBSET, REVERSED = range(12)


class Cut(NamedTuple):
    """A crash after `point` calls, see SimDisk.crash."""

    point: int
    mode: int
    choice: int = 0
    names: int = ALL
    sector: int = 4096
    seed: int = 1

    def __str__(self) -> str:
        return ",".join(str(part) for part in self)


class Finding(Exception):
    """An image that breaks a promise."""


@dataclass(slots=True)
class Totals:
    """What an exploration covered."""

    histories: int = 0
    images: int = 0
    recoveries: int = 0
    inside_recovery: int = 0
    lives: int = 0
    checked: int = 0
    modes: dict[str, int] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)

    def add(self, other: "Totals") -> None:
        for name in ("histories", "images", "recoveries", "inside_recovery", "lives", "checked"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for mode, count in other.modes.items():
            self.modes[mode] = self.modes.get(mode, 0) + count
        self.findings += other.findings


class Node:
    """A recorded disk, what may be found on it, and how it was made."""

    __slots__ = ("disk", "last", "path", "profile", "recovered_calls", "states")

    def __init__(self, profile: str, disk: SimDisk, states: dict[int, State], last: int, path: str) -> None:
        self.profile = profile
        self.disk = disk
        self.states = states
        self.last = last
        self.path = path
        self.recovered_calls = disk.calls

    def crash(self, cut: Cut, totals: Totals) -> "Node":
        """The image of that crash, recovered and found right."""
        _, acknowledged, tried, _, _ = self.disk.at(cut.point)
        image = self.disk.crash(
            cut.point, cut.mode, cut.choice, names=cut.names, sector_bytes=cut.sector, seed=cut.seed
        )
        path = f"{self.path} {cut}"
        totals.images += 1
        totals.modes[MODES[cut.mode]] = totals.modes.get(MODES[cut.mode], 0) + 1
        try:
            number = self.recover(image, acknowledged, tried, zlib.crc32(path.encode()), totals)
        except Exception as error:
            raise Finding(f"{self.profile} {path}: {type(error).__name__}: {str(error)[:600]}") from error
        image.base(number)
        return Node(self.profile, image, {number: self.states[number]}, number, path)

    def recover(self, image: SimDisk, acknowledged: int, tried: int, salt: int, totals: Totals) -> int:
        read = PROFILES[self.profile].read
        deep = salt % DEEP_SHARE == 0
        totals.recoveries += 2
        number, state = read(image, deep)
        totals.checked += deep
        if not acknowledged <= number <= tried:
            raise AssertionError(f"transaction {number} is found, {acknowledged} was acknowledged, {tried} tried")
        if state != self.states[number]:
            raise AssertionError(f"transaction {number}: {difference(state, self.states[number])}")
        calls = image.calls
        again = read(image, False)
        if again != (number, state):
            raise AssertionError(f"a second recovery finds transaction {again[0]} after {number}")
        if image.calls != calls:
            raise AssertionError("a second recovery writes again: " + image.describe(calls))
        return number

    def live(self, seed: str, totals: Totals) -> None:
        """More work: on the recovered disk, or on the image as the crash left it, by the opening that recovers it."""
        totals.lives += 1
        if random.Random(f"fresh {seed}").random() < 0.5:
            self.disk = self.disk.crash(0, NONE)
            self.disk.base(self.last)
        self.path += f" life:{seed}"
        try:
            world = PROFILES[self.profile](self.disk, self.states, self.last)
            world.run(seed, random.Random(seed).randrange(1, LIFE_STEPS_MAX + 1))
            world.close()
        except Exception as error:
            raise Finding(f"{self.profile} {self.path}: {type(error).__name__}: {str(error)[:600]}") from error


def difference(found: State, expected: State) -> str:
    """The first few keys that differ, in words."""
    lines = []
    for key in sorted({*found, *expected}, key=str):
        if found.get(key) != expected.get(key):
            lines.append(f"{key}: {str(found.get(key))[:60]} in place of {str(expected.get(key))[:60]}")
    return "; ".join(lines[:4])


def root(profile: str, seed: str, kinds: tuple[str, ...] | None = None) -> Node:
    """The history of a seed, or of the given kinds of steps, recorded from the creation of its files on.

    Three of four disks have durable writes, the others writes that the engine must sync. In half of the histories, and
    in the lives after them, journals stay small, so that they are recycled.
    """
    dice = random.Random(f"root {seed}")
    durable = kinds is not None or dice.random() < 0.75
    limit_journals(JOURNAL_BYTES_SMALL if kinds is not None or dice.random() < 0.5 else JOURNAL_BYTES_MAX)
    disk = SimDisk(zlib.crc32(seed.encode()), durable)
    try:
        world = PROFILES[profile](disk)
        if kinds is None:
            world.run(seed, dice.randrange(3, 14))
        else:
            world.step(world.first_kind, dice)
            for kind in kinds:
                world.step(kind, dice)
        if dice.random() < 0.5 or kinds is not None:
            world.close()
        else:
            world.disk.mark_try(world.last)
            world.close()
    except Exception as error:
        raise Finding(f"{profile} {seed}: the history itself: {type(error).__name__}: {str(error)[:600]}") from error
    return Node(profile, disk, world.states, world.last, seed if kinds is None else "=" + "+".join(kinds))


# Which cuts.


def points(node: Node) -> Iterator[tuple[int, int, int]]:
    """(point, waiting units, waiting names) of every place where a crash leaves something new."""
    for point in range(1, node.disk.calls + 1):
        exists, acknowledged, _, units, names = node.disk.at(point)
        created = node.profile == "trees" or acknowledged > 0
        if exists and created and (point == node.disk.calls or node.disk.kind(point) != "try"):
            yield point, units, names


def plain_cuts(node: Node) -> Iterator[Cut]:
    """Every point: nothing and everything of what waits, and every prefix of the names."""
    for point, units, names in points(node):
        for some in (ALL, *range(names)):
            yield Cut(point, NONE, 0, some)
            if units:
                yield Cut(point, EVERYTHING, 0, some)


def single_cuts(node: Node) -> Iterator[Cut]:
    """Every subset while there are few units; else each unit missing, each alone and after all before it."""
    for point, units, _ in points(node):
        if 1 < units <= SUBSET_UNITS_MAX:
            for choice in range(1, (1 << units) - 1):
                yield Cut(point, SUBSET, choice)
        for sector in SECTORS:
            units = node.disk.at(point, sector)[3]
            if units <= (SUBSET_UNITS_MAX if sector == 4096 else 1):
                continue
            for choice in range(0, units, max(1, units // LISTED_UNITS_MAX)):
                yield Cut(point, OMIT, choice, sector=sector)
                yield Cut(point, PREFIX, choice, sector=sector)
                yield Cut(point, HALF, choice, sector=sector, seed=choice)
                yield Cut(point, REVERSED, choice, sector=sector)
        if units:
            yield Cut(point, LAST_WRITE)
            yield Cut(point, FIRST_LOST)


def pair_cuts(node: Node) -> Iterator[Cut]:
    """Two sectors missing."""
    for point, units, _ in points(node):
        if units > SUBSET_UNITS_MAX:
            step = max(1, units // 8)
            for first, second in product(range(0, units, step), repeat=2):
                if first < second:
                    yield Cut(point, OMIT_PAIR, first + second * units)


def random_cut(node: Node, dice: random.Random, first: int = 0) -> Cut:
    """Any cut at a point after `first`."""
    point = dice.randrange(first, node.disk.calls + 1)
    sector = dice.choice(SECTORS)
    units = node.disk.at(point, sector)[3]
    mode = dice.choice((RANDOM, RANDOM, GARBAGE, GARBAGE, *range(12)))
    choice = dice.randrange(units) if units else 0
    if mode == OMIT_PAIR:
        choice += dice.randrange(max(units, 1)) * units
    if mode == SUBSET:
        choice = dice.getrandbits(min(units, 63))
    return Cut(point, mode, choice, dice.choice((ALL, SOME, SOME, 0)), sector, dice.getrandbits(31))


def random_cuts(node: Node, dice: random.Random) -> Iterator[Cut]:
    """Without end, in passes over the record from front to back, which is the cheap way through it."""
    places = [point for point, units, names in points(node) if units or names]
    while places:
        batch = []
        for point in places:
            units = node.disk.at(point)[3]
            mode = dice.choice((RANDOM, GARBAGE, HALF, OMIT, PREFIX, REVERSED))
            for sector in SECTORS:
                units = node.disk.at(point, sector)[3]
                choice = dice.randrange(units) if units else 0
                batch.append(Cut(point, mode, choice, dice.choice((ALL, SOME)), sector, dice.getrandbits(31)))
        yield from batch


# Exploring.


def explore_recovery(node: Node, dice: random.Random, totals: Totals) -> None:
    """Crashes inside the recovery that made this node, and inside the recovery after it."""
    for _ in range(RECOVERY_DEPTH):
        if node.disk.calls == 0:
            return
        node = node.crash(random_cut(node, dice), totals)
        totals.inside_recovery += 1


def explore_life(node: Node, dice: random.Random, totals: Totals) -> None:
    """Another life after a crash, crashes in it, and a third life after one of those."""
    for _ in range(LIVES - 1):
        node.live(str(dice.getrandbits(31)), totals)
        cuts = sorted(random_cut(node, dice) for _ in range(LIFE_CUTS))
        following = dice.choice(cuts)
        for cut in cuts:
            made = node.crash(cut, totals)
            if cut == following:
                chosen = made
        node = chosen


def explore(node: Node, images_max: int, totals: Totals, whole: bool = False) -> None:
    """Enumerate, then sample, until `images_max` images were checked; `whole`: only enumerate, without a bound."""
    dice = random.Random(f"explore {node.path}")
    start = totals.images
    totals.histories += 1
    passes = [plain_cuts(node), single_cuts(node), pair_cuts(node)]
    if not whole:
        # A long history does not spend everything on its first calls: a part of each pass, spread evenly.
        passes = [spread(cuts, images_max // 4, dice) for cuts in passes] + [random_cuts(node, dice)]
    for cuts in passes:
        for cut in cuts:
            if not whole and totals.images - start >= images_max:
                return
            made = node.crash(cut, totals)
            if dice.randrange(RECOVERY_SHARE) == 0:
                explore_recovery(made, dice, totals)
            if dice.randrange(PROFILES[node.profile].life_share) == 0:
                explore_life(made, dice, totals)


def spread(cuts: Iterator[Cut], count: int, dice: random.Random) -> Iterator[Cut]:
    """About `count` of them, in order."""
    listed = list(cuts)
    if len(listed) > count:
        listed = sorted(dice.sample(listed, count))
    return iter(listed)


def explore_seed(profile: str, seed: str, images_max: int, totals: Totals) -> None:
    """One history of a seed. A finding is noted, with the path that repeats it, and ends it."""
    try:
        explore(root(profile, seed), images_max, totals)
    except Finding as finding:
        totals.findings.append(str(finding))


def explore_kinds(profile: str, kinds: tuple[str, ...], totals: Totals) -> None:
    """One given sequence, exhaustively."""
    try:
        explore(root(profile, "+".join(kinds), kinds), 0, totals, whole=True)
    except Finding as finding:
        totals.findings.append(str(finding))


def replay(profile: str, path: str) -> None:
    """Build one image again and say what is wrong with it."""
    first, *parts = path.split(" ")
    totals = Totals()
    node = root(profile, first) if first[0] != "=" else root(profile, first[1:], tuple(first[1:].split("+")))
    for part in parts:
        if part.startswith("life:"):
            node.live(part[5:], totals)
        else:
            cut = Cut(*(int(number) for number in part.split(",")))
            if cut.point:
                print(f"crash after {node.disk.describe(cut.point - 1)!r}, {MODES[cut.mode]} of", end=" ")
                print(f"{node.disk.at(cut.point, cut.sector)[3:]} units and names")
            node = node.crash(cut, totals)
    print(f"nothing is wrong with it: transaction {node.last}")


def sequences(profile: str, length: int) -> list[tuple[str, ...]]:
    """All sequences of steps of up to that length."""
    kinds = PROFILES[profile].sequence_kinds
    return [steps for size in range(1, length + 1) for steps in product(kinds, repeat=size)]


def explore_sequences(profile: str, length: int, part: int, parts: int, totals: Totals) -> None:
    """Every `parts`-th sequence, the dear ones dealt out evenly."""
    for steps in sorted(sequences(profile, length), key=lambda steps: (steps.count("roll"), steps))[part::parts]:
        explore_kinds(profile, steps, totals)


def hunt(images_max: int, totals: Totals) -> None:
    """Short histories of all profiles until something is found: how long a planted bug lives."""
    seed = 0
    while totals.images < images_max and not totals.findings:
        seed += 1
        explore_seed("documents" if seed % 4 == 0 else "trees", f"hunt{seed}", HUNT_IMAGES, totals)


def main() -> None:
    """One job, named by the command line; the last line that is printed is its totals as JSON.

    seeds PROFILE FIRST COUNT IMAGES: histories of so many seeds, so many images of each.
    sequences PROFILE LENGTH PART PARTS: all sequences of steps of up to that length, or every so-manieth of them.
    hunt IMAGES: until the first finding. replay PROFILE PATH: the image that a finding names.
    """
    job, *rest = sys.argv[1:]
    if job == "replay":
        replay(rest[0], rest[1].strip())
        return
    totals = Totals()
    start = time.monotonic()
    if job == "hunt":
        hunt(int(rest[0]), totals)
    elif job == "sequences":
        explore_sequences(rest[0], *(int(number) for number in rest[1:4]), totals)
    else:
        first, count, images = (int(number) for number in rest[1:4])
        for seed in range(first, first + count):
            explore_seed(rest[0], str(seed), images, totals)
    print(json.dumps({**asdict(totals), "seconds": round(time.monotonic() - start, 1)}))


if __name__ == "__main__":
    main()
