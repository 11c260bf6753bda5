"""Facets and suggestions over an index in memory: milliseconds for each question, the best of some rounds.

`--entries` is the size of the index (100,000 in about two seconds). Goals: counting fifty
terms costs less than a millisecond for 100,000 entries; suggestions look at a million terms within two seconds.
"""

import argparse
import random
import string
import time
from collections.abc import Callable
from datetime import UTC, datetime

from pynori_core.index_store import IndexSnapshot, IndexStore
from pynori_core.matches import Matches

from pynori.queries.facets import Facets, facets_of
from pynori.queries.suggestions import answer, suggests_of
from pynori.queries.values import Values
from pynori.rql.ast import Comparison, Expression
from pynori.rql.parser import parse

VALUES = Values({}, datetime(2026, 1, 1, tzinfo=UTC))
FACETS = (
    "facet(product)",
    "facet(product, sum(total), avg(total))",
    "facet(total < 100, total < 500, total < 900, sum(total))",
    'facet(name, \'{"PageSize": 10, "TermSortMode": "CountDesc"}\')',
)
SUGGESTIONS = ("suggest(name, 'johnsen')", "suggest(name, 'johnsen', '{\"Distance\": \"JaroWinkler\"}')")


def filled(entries: int) -> IndexStore:
    """Entries with one of fifty products, a number and a name that is nearly always new."""
    rand = random.Random(1)
    store = IndexStore.create(None)
    with store.write() as writer:
        product, total, name = (writer.field(each) for each in ("product", "total", "name"))
        for number in range(entries):
            letters = "".join(rand.choices(string.ascii_lowercase, k=rand.randrange(4, 12)))
            entry = {product: f"products/{rand.randrange(50)}", total: rand.random() * 1_000, name: letters}
            writer.put(f"orders/{number}", [entry])
    return store


def below(snapshot: IndexSnapshot, condition: Expression, within: Matches) -> Matches:
    """The only kind of condition that the questions have."""
    assert isinstance(condition, Comparison)
    field = snapshot.field("total")
    assert field is not None
    return snapshot.range(field.number, None, VALUES.scalar(condition.right), include_high=False, within=within)


def best_ms(call: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best * 1_000


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--entries", type=int, default=100_000)
    with filled(arguments.parse_args().entries) as store, store.read() as snapshot:
        everything = snapshot.all()
        for text in FACETS:
            asked = facets_of(parse(f"from index 'i' select {text}"), VALUES, lambda id: None)
            facets = Facets(
                snapshot, lambda path: snapshot.field(path.text), lambda node, within: below(snapshot, node, within)
            )
            print(f"{best_ms(lambda facets=facets, asked=asked: facets.answer(asked[0], everything)):9.2f} ms  {text}")
        for text in SUGGESTIONS:
            suggest = suggests_of(parse(f"from index 'i' select {text}"), VALUES)[0]
            spent = best_ms(lambda suggest=suggest: answer(suggest, snapshot, lambda path: snapshot.field(path.text)))
            print(f"{spent:9.2f} ms  {text}")


if __name__ == "__main__":
    main()
