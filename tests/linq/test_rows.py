"""A map-reduce index in LINQ over rows: reduced in any parts, the answer is that of one loop over all documents."""

from __future__ import annotations

import random
from collections import defaultdict
from typing import Any

import pytest
from pynori_core.blittable import Document
from pynori_core.errors import ExpressionError

from pynori.errors import CompilationError
from pynori.linq.lower import parse_map, parse_reduce
from pynori.linq.rows import MapReduce, check_shape

MAP = parse_map("""docs.Sales.SelectMany(s => s.lines, (s, l) => new {
    l.product, s.city, n = 0, count = l.count, price = l.price, last = s.at })""")
REDUCE = parse_reduce("""from r in results group r by new { r.product, r.city } into g select new {
    g.Key.product, g.Key.city, n = g.Count(), count = g.Sum(x => x.count),
    price = g.Sum(x => (decimal)x.price), last = g.Max(x => x.last) }""")


def sale(rand: random.Random) -> dict[str, Any]:
    lines = [
        {"product": rand.choice(("tea", "salt")), "count": rand.randrange(9), "price": rand.randrange(999) / 100}
        for _ in range(rand.randrange(4))
    ]
    return {"city": rand.choice(("Kiel", None, 7, 7.0)), "at": f"2020-01-{rand.randrange(10, 29)}", "lines": lines}


@pytest.mark.parametrize("seed", range(4))
def test_reducing_in_parts(seed: int) -> None:
    """Rows of a group, cut into parts that are reduced alone and then together, give the sums of all documents."""
    rand = random.Random(seed)
    index = MapReduce(REDUCE)
    groups: dict[bytes, list[bytes]] = defaultdict(list)
    wanted: dict[tuple[Any, Any], list[Any]] = {}
    for number in range(60):
        document = sale(rand)
        for key, row in index.rows(MAP, Document.from_python(document), f"sales/{number}", 0, None):
            groups[key].append(row)
        for line in document["lines"]:
            sums = wanted.setdefault((line["product"], document["city"]), [0, 0, 0, ""])
            sums[0] += 1
            sums[1] += line["count"]
            sums[2] += round(line["price"] * 100)
            sums[3] = max(sums[3], document["at"])
    assert len(groups) == len(wanted)
    for key, rows in groups.items():
        while len(rows) > 1:
            part = [rows.pop(rand.randrange(len(rows))) for _ in range(rand.randrange(1, min(len(rows), 5) + 1))]
            (made,) = index.reduce([(key, part)])
            assert isinstance(made, bytes)
            rows.append(made)
        (made,) = index.reduce([(key, rows)])
        assert isinstance(made, bytes)
        entry = index.entry(made)
        n, count, cents, last = wanted[entry["product"], entry["city"]]
        assert entry == {"product": entry["product"], "city": entry["city"], "n": n, "count": count,
                         "price": entry["price"], "last": last}  # fmt: skip
        assert float(entry["price"]) == cents / 100


def test_groups_that_cannot_be_reduced() -> None:
    """A failing group, or one that loses its key, is told as an exception and does not stop the others."""
    map_ = parse_map("from s in docs.Sales select new { s.city, s.n }")
    index = MapReduce(parse_reduce(
        "results.GroupBy(r => r.city).Select(g => new { city = g.Key, n = 10 / g.Sum(x => x.n) })"))  # fmt: skip
    rows = [index.rows(map_, Document.from_python({"city": "a", "n": n}), "sales/1", 0, None)[0] for n in (2, -2, 3)]
    good, bad = index.reduce([(b"a", [rows[0][1]]), (b"a", [row for _, row in rows[:2]])])
    assert isinstance(good, bytes) and index.entry(good) == {"city": "a", "n": 5}
    assert isinstance(bad, ExpressionError) and "divide by zero" in str(bad)
    other = Document.from_python({"city": "b", "n": 1})
    mixed = index.reduce([(b"a", [rows[0][1], index.rows(map_, other, "sales/2", 0, None)[0][1]])])[0]
    assert isinstance(mixed, ExpressionError) and "2 entries" in str(mixed)


def test_shapes() -> None:
    """Maps of one index, and its reduce, have the same fields."""
    first = parse_map("from a in docs.A select new { a.x, a.y }")
    second = parse_map("from b in docs.B select new { b.y, b.x }")
    check_shape([first, second], None)
    with pytest.raises(CompilationError, match="number 3 differ in z"):
        check_shape([first, second, parse_map("from b in docs.B select new { b.y, b.x, b.z }")], None)
    with pytest.raises(CompilationError, match="differ in n, y"):
        check_shape([first], parse_reduce("results.GroupBy(r => r.x).Select(g => new { x = g.Key, n = 1 })"))
