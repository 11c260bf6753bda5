"""The RQL parser on queries as clients send them: microseconds for each, parsed anew and out of the cache.

Prints one line a query; `--seconds` bounds the whole run. Goal: a typical query under 60 µs parsed anew.
"""

import argparse
import time
from collections.abc import Callable

from pynori.rql.format import format_query
from pynori.rql.parser import parse, parse_text

QUERIES = {
    "collection": "from Users",
    "equality": "from 'Users' where name = $p0",
    "builder": "from 'Orders' where company = $p0 and (freight >= $p1 or exists(shippedAt)) order by orderedAt desc, "
    "freight as double limit $p2, $p3",
    "full text": "from index 'Articles/Search' where search(title, $p0) and boost(search(body, $p1, and), 2) "
    "order by score() include highlight(title,128,2,$p2)",
    "grouping": "from Orders group by lines[].product, company select key() as product, sum(total) as total, "
    "count() as count order by total as double desc limit 10",
    "facets": "from index 'Cameras/ByCost' where cost > $p0 select facet(manufacturer), "
    "facet(cost < $p1, cost >= $p1 and cost < $p2, cost >= $p2, sum(cost), avg(megapixels)) as byCost",
    "projection": "declare function full(u) { return `${u.firstName} ${u.lastName}`; } from Users as u "
    "where u.age between $p0 and $p1 load u.company as c select { name: full(u), company: c.name, age: u.age / 2 }",
    "spatial": "from Places where spatial.within(spatial.point(lat, lng), spatial.circle($p0, $p1, $p2, 'Kilometers')) "
    "order by spatial.distance(spatial.point(lat, lng), spatial.point($p1, $p2)) limit 10",
    "time series": "from Users as u where age < $p0 select timeseries(from u.HeartRate between $p1 and $p2 "
    "where Tag = 'watches/fitbit' group by '1 month' select min(), max(), avg()) as rates",
    "1000 in": "from Users where id() in (" + ", ".join(f"'users/{n}'" for n in range(1000)) + ")",
}


def microseconds(call: Callable[[str], object], text: str, seconds: float) -> float:
    """The best mean of several short rounds."""
    best, end, rounds = float("inf"), time.perf_counter() + seconds, 20
    while time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(rounds):
            call(text)
        best = min(best, (time.perf_counter() - start) / rounds)
    return best * 1e6


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=float, default=6.0)
    seconds = arguments.parse_args().seconds / (3 * len(QUERIES))
    print(f"{'query':12} {'characters':>10} {'parse µs':>9} {'cached µs':>9} {'format µs':>9}")
    for name, text in QUERIES.items():
        tree = parse_text(text)
        parsed, cached = microseconds(parse_text, text, seconds), microseconds(parse, text, seconds)
        formatted = microseconds(lambda _, tree=tree: format_query(tree), text, seconds)
        print(f"{name:12} {len(text):10} {parsed:9.1f} {cached:9.2f} {formatted:9.1f}")


if __name__ == "__main__":
    main()
