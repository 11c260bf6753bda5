"""Texts that mean moments, compared as such in indexes in C#."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import product
from typing import Any

from tests.queries.conftest import Desk

Run = Any
START = datetime(2024, 2, 29, 23, 59, 58)


def written(halves: int) -> list[str]:
    """All spellings of a moment some half seconds after START."""
    moment = START + timedelta(seconds=halves / 2)
    second = moment.strftime("%Y-%m-%dT%H:%M:%S")
    long = f"{second}.{moment.microsecond * 10:07}"
    return [long, long + "Z", *([second, second + "Z"] if halves % 2 == 0 else [])]


def test_all_spellings_of_a_moment_are_one(desk: Run) -> None:
    """Whatever way a moment is written in documents and in queries, each comparison is that of the moments."""

    async def test(desk: Desk) -> None:
        moments = {}
        for halves in range(7):
            for number, text in enumerate(written(halves)):
                await desk.put(f"events/{halves}-{number}", "Events", At=text)
                moments[f"events/{halves}-{number}"] = halves
        await desk.put("events/none", "Events", At=None)
        await desk.put("events/text", "Events", At="2024")
        await desk.define("Events", "from e in docs.Events select new { e.At }")
        tests = {
            "=": lambda a, b: a == b, "!=": lambda a, b: a != b, "<": lambda a, b: a < b, "<=": lambda a, b: a <= b,
            ">": lambda a, b: a > b, ">=": lambda a, b: a >= b,
        }  # fmt: skip
        for halves, (operator, holds) in product((0, 1, 2, 5), tests.items()):
            for text in written(halves):
                where = f"from index 'Events' where At {operator} $at"
                found = await desk.ids(where, p={"at": text}, WaitForNonStaleResults=True)
                wanted = {id for id, other in moments.items() if holds(other, halves)}
                assert set(found) - {"events/none", "events/text"} == wanted, (operator, text)
        for low, high in (("2024-02-29T23:59:58Z", "2024-02-29T23:59:59.0000000"), (written(1)[0], written(3)[1])):
            found = await desk.ids("from index 'Events' where At between $a and $b", p={"a": low, "b": high})
            first = 0 if low.endswith("58Z") else 1
            assert set(found) == {id for id, halves in moments.items() if first <= halves <= first + 2}
        found = await desk.ids("from index 'Events' where At in ($a, 'x')", p={"a": "2024-02-29T23:59:58"})
        assert set(found) == {id for id, halves in moments.items() if halves == 0}

    desk(test)


def test_elsewhere_texts_are_texts(desk: Run) -> None:
    """An automatic index, one in JavaScript and a field that keeps texts exactly compare what is written."""

    async def test(desk: Desk) -> None:
        await desk.put("events/1", "Events", At="2024-02-29T23:59:58Z")
        await desk.define("Script", "map('Events', e => ({ At: e.At }))")
        await desk.define("Exact", "from e in docs.Events select new { e.At }", Fields={"At": {"Indexing": "Exact"}})
        for source in ("Events", "index 'Script'", "index 'Exact'"):
            for text, count in (("2024-02-29T23:59:58Z", 1), ("2024-02-29T23:59:58", 0)):
                found = await desk.ids(f"from {source} where At = $at", p={"at": text}, WaitForNonStaleResults=True)
                assert len(found) == count, (source, text)

    desk(test)
