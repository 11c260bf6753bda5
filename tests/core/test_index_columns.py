"""Columns in memory: ranges and orders answered from them equal those read from the tree, and those of plain Python."""

import random
from pathlib import Path

from pynori_core.index_store import IndexSnapshot, IndexStore
from pynori_core.matches import Matches

ENTRIES = 20_000  # with 128 looks at a time a column is read at the second
ASKED = 10  # times the same question, before and after the column is in memory

Values = dict[int, tuple[float | None, str | None]]  # by entry: number, text; None: missing


def fill(store: IndexStore, rng: random.Random, values: Values, entries: range) -> None:
    with store.write() as writer:
        number, text = writer.field("Number"), writer.field("Text")
        for entry in entries:
            made = (
                None if rng.random() < 0.1 else rng.choice((rng.random() * 1_000, rng.randrange(50))),
                None if rng.random() < 0.1 else f"text {rng.randrange(3_000)}",
            )
            values[entry] = made
            fields = {number: made[0], text: made[1]}
            writer.put(f"documents/{entry}", [{field: value for field, value in fields.items() if value is not None}])


def ordered(values: Values, within: list[int], field: int, descending: bool) -> list[int]:
    """Missing values before all others, equal ones by entry."""

    def key(entry: int) -> tuple[bool, float | str]:
        value = values[entry][field]
        return (value is not None, value if value is not None else "")

    return sorted(within, key=key, reverse=descending) if not descending else [
        entry for _, entry in sorted(enumerate(within), key=lambda each: (_Reversed(key(each[1])), each[0]))
    ]  # fmt: skip


class _Reversed:
    def __init__(self, key: tuple[bool, float | str]) -> None:
        self.key = key

    def __lt__(self, other: "_Reversed") -> bool:
        return other.key < self.key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Reversed) and other.key == self.key


def compare(snapshot: IndexSnapshot, rng: random.Random, values: Values) -> None:
    """The same question again and again, so that it is asked with and without columns."""
    fields = [snapshot.field(name) for name in ("Number", "Text")]
    assert fields[0] is not None and fields[1] is not None
    within = Matches.of(sorted(rng.sample(sorted(values), 160)))
    low, high = sorted((rng.random() * 1_000, rng.random() * 1_000))
    first, last = sorted((f"text {rng.randrange(3_000)}", f"text {rng.randrange(3_000)}"))
    numbers = [each for each in within if values[each][0] is not None and low <= (values[each][0] or 0) <= high]
    texts = [each for each in within if values[each][1] is not None and first <= (values[each][1] or "") <= last]
    for _ in range(ASKED):
        assert list(snapshot.range(fields[0].number, low, high, within=within)) == numbers
        assert list(snapshot.range(fields[1].number, first, last, within=within)) == texts
        for field, column in ((fields[0].number, 0), (fields[1].number, 1)):
            for descending in (False, True):
                expected = ordered(values, list(within), column, descending)[5:25]
                assert list(snapshot.ordered(field, descending=descending, within=within, skip=5, limit=20)) == expected


def test_columns_in_memory_say_what_trees_say(tmp_path: Path) -> None:
    """Random values, questions repeated until their column is read, commits between, an older snapshot, a restart."""
    rng = random.Random(5)
    values: Values = {}
    with IndexStore.create(tmp_path / "index") as store:
        fill(store, rng, values, range(1, ENTRIES + 1))
        with store.read() as old:
            before = dict(values)
            compare(old, rng, before)
            fill(store, rng, values, range(1, 3_000))  # documents that were there get other values
            with store.read() as new:
                compare(new, rng, values)
                compare(old, rng, before)
                compare(new, rng, values)
        fill(store, rng, values, range(ENTRIES + 1, ENTRIES + 500))
        with store.read() as longer:
            compare(longer, rng, values)
    with IndexStore.open(tmp_path / "index") as store, store.read() as again:
        compare(again, rng, values)
