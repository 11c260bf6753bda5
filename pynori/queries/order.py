"""The `order by` of a query over a set of matching entries: which entries stand on the asked page, in which order.

Fields are ordered by the index itself, whose terms lie in the order of their values. What no term can tell (scores,
distances, chance, digits within texts) becomes a column of numbers beside the entries, and the columns are sorted
together. Without `order by`, entries come by score where the query has one, else in the order in which they were made.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from pynori_core.checksum import xxh3_64_of
from pynori_core.matches import Matches, Ordered

from pynori.errors import InvalidQuery, LimitExceeded, SorterDoesNotExist
from pynori.limits import QUERY_SORT_VALUES_MAX, QUERY_SORTED_STEP
from pynori.queries.match import Names
from pynori.queries.requirements import AGGREGATIONS
from pynori.queries.values import Scalar, Values
from pynori.rql.ast import Call, Order, OrderKind, Path

if TYPE_CHECKING:
    from pynori_core.index_store import IndexSnapshot

Column = np.ndarray[Any, np.dtype[np.float64]]
Ids = Matches | Ordered


class Scores(Protocol):
    """How well each entry fulfils the query; None when nothing in the query tells."""

    def scores(self, ids: Ids) -> Column | None: ...


class Distances(Protocol):
    """How far each entry is from the point of a call of spatial.distance."""

    def distances(self, call: Call, ids: Ids) -> Column: ...


# By the name of a registered sorter and a list of values: their positions in its order.
Sort = Callable[[str, list[Any]], Sequence[int]]


def no_sorters(name: str, values: list[Any]) -> Sequence[int]:
    """Of a place where none are registered."""
    raise SorterDoesNotExist(f"There is no sorter with '{name}' name")


class Orderer:
    """Orders the matches of one query."""

    def __init__(
        self,
        snapshot: IndexSnapshot,
        names: Names,
        values: Values,
        scores: Scores,
        distances: Distances,
        random_seed: Callable[[], str],
        sort: Sort,
    ) -> None:
        self._snapshot = snapshot
        self._names = names
        self._values = values
        self._scores = scores
        self._distances = distances
        self._random_seed = random_seed
        self._sort = sort

    def page(self, matches: Matches | None, orders: Sequence[Order], skip: int, take: int) -> Ids:
        """The entries from `skip` on, at most `take`, in order. None: of all entries."""
        keys = keys_of(orders, self._names) if orders else None
        if keys:
            return self._snapshot.sort(matches, keys, skip=skip, limit=take)
        if matches is None:
            matches = self._snapshot.all()
        if not orders:
            scores = self._scores.scores(matches)
            if scores is None:
                return matches[skip : skip + take]
            return self._by_columns(matches, [-scores], skip, take)
        if keys is not None:
            return matches[skip : skip + take]
        return self._by_columns(matches, [self._column(each, matches) for each in orders], skip, take)

    # ---- columns

    def _by_columns(self, matches: Matches, columns: Sequence[Column], skip: int, take: int) -> Ids:
        """The first column decides, the others where it is equal; entries that are equal in all stay as they are."""
        ids = np.frombuffer(memoryview(matches), dtype=np.uint64)
        if len(columns) == 1 and skip + take < len(ids) // 8:
            # Only the entries that can reach the page: those not above the value that stands at its end.
            end = np.partition(columns[0], skip + take - 1)[skip + take - 1] if skip + take else -np.inf
            candidates = np.flatnonzero(columns[0] <= end)
            positions = candidates[np.argsort(columns[0][candidates], kind="stable")]
        else:
            positions = np.lexsort(tuple(reversed(columns))) if len(ids) else np.arange(0)
        return Ordered.of(ids[positions[skip : skip + take]])

    def _column(self, order: Order, matches: Matches) -> Column:
        """One number for each entry, ascending in the order asked for."""
        expression = order.expression
        if isinstance(expression, Call):
            if expression.name == "random":
                return self._random(expression, matches)
            if expression.name == "score":
                scores = self._scores.scores(matches)
                found = np.zeros(len(matches)) if scores is None else scores
                # The best comes first unless the opposite is said.
                return found if order.descending else -found
            if expression.name == "spatial.distance":
                distances = self._distances.distances(expression, matches)
                # Entries without a place come last either way.
                return np.where(np.isinf(distances), np.inf, -distances if order.descending else distances)
            if expression.name == "id":
                return self._ranked(order, matches, lambda ids: [[id.lower()] for id in self._snapshot.documents(ids)])
            if expression.name == "custom":
                return self._custom(expression, order, matches)
        field = self._names.find_of(expression)
        if field is None:
            return np.zeros(len(matches))
        number = field.number
        return self._ranked(order, matches, lambda ids: self._snapshot.values(ids, number))

    def _custom(self, call: Call, order: Order, matches: Matches) -> Column:
        """`custom(field, 'sorter')`: by a registered sorter over the field's values, missing ones as null."""
        if len(call.arguments) != 2:
            raise InvalidQuery("custom() takes a field and the name of a sorter")
        name = self._values.text(call.arguments[1], "the name of the sorter")
        field = self._names.find_of(call.arguments[0])

        def in_order(known: Iterable[Any]) -> list[Any]:
            values = list(known)
            plain = [None if each == () else each[0] if isinstance(each, tuple) else each for each in values]
            return [values[position] for position in self._sort(name, plain)]

        def read(ids: Ids) -> list[list[Any]]:
            return [[] for _ in ids] if field is None else self._snapshot.values(ids, field.number)

        return self._ranked(order, matches, read, in_order)

    def _random(self, call: Call, matches: Matches) -> Column:
        seed = self._values.text(call.arguments[0], "the seed of random()") if call.arguments else self._random_seed()
        generator = np.random.Generator(np.random.PCG64(xxh3_64_of(seed.encode())))
        return generator.random(len(matches))

    def _ranked(
        self, order: Order, matches: Matches, read: Callable[[Ids], list[list[Any]]],
        in_order: Callable[[Iterable[Any]], list[Any]] | None = None,
    ) -> Column:  # fmt: skip
        """The rank of each entry's value among all that there are; several values: the one that comes first.

        in_order: puts the values into an order that is not the natural one.
        """
        known: dict[Scalar | tuple[()], int] = {}
        codes = np.empty(len(matches), dtype=np.int64)
        for start in range(0, len(matches), QUERY_SORTED_STEP):
            part = matches[start : start + QUERY_SORTED_STEP]
            for index, found in enumerate(read(part), start):
                value = _typed((found[-1] if order.descending else found[0]) if found else ())
                codes[index] = known.setdefault(value, len(known))
            if len(known) > QUERY_SORT_VALUES_MAX:
                raise LimitExceeded(f"more values to order by than QUERY_SORT_VALUES_MAX ({QUERY_SORT_VALUES_MAX})")
        ranks = np.empty(len(known), dtype=np.float64)
        for rank, value in enumerate(sorted(known, key=_key_of(order)) if in_order is None else in_order(known)):
            ranks[known[value]] = rank
        if order.descending:
            ranks = -ranks
        return _with_nulls(order, known, ranks)[codes]


def keys_of(orders: Sequence[Order], names: Names) -> list[tuple[int, bool]] | None:
    """(field, descending) of each key; None when one of them is no field or needs an order of its own."""
    keys = []
    for order in orders:
        if order.kind is OrderKind.ALPHANUMERIC or order.nulls is not None or not is_field(order):
            return None
        field = names.find_of(order.expression)
        if field is not None:
            keys.append((field.number, order.descending))
    return keys


def is_field(order: Order) -> bool:
    """Whether a key of `order by` is a field of the index; aggregations of a grouping are."""
    return isinstance(order.expression, Path) or order.expression.name in ("key", *AGGREGATIONS)


def _typed(value: Any) -> Any:
    # True equals 1 as a key of a dictionary.
    return (value,) if isinstance(value, bool) else value


def _key_of(order: Order) -> Callable[[Any], Any]:
    """The order of values: nothing, null, false, true, numbers, texts."""

    def key(value: Any) -> Any:
        if value == ():
            return (0, 0)
        if value is None:
            return (1, 0)
        if isinstance(value, tuple):
            return (2, value[0])
        if isinstance(value, int | float):
            if order.kind is not OrderKind.STRING:
                return (3, value)
            value = str(value)
        return (4, alphanumeric_key(value) if order.kind is OrderKind.ALPHANUMERIC else value)

    return key


def _with_nulls(order: Order, known: Iterable[Any], ranks: Column) -> Column:
    if order.nulls is None:
        return ranks
    for code, value in enumerate(known):
        if value is None or value == ():
            ranks[code] = -np.inf if order.nulls == "first" else np.inf
    return ranks


_DIGITS = re.compile(r"(\d+)")


def alphanumeric_key(text: str) -> tuple[tuple[int, int, str], ...]:
    """Texts with their runs of digits compared as numbers: `item9` before `item10`."""
    return tuple(
        (0, int(part), part) if part.isdecimal() else (1, 0, part) for part in _DIGITS.split(text) if part
    )  # fmt: skip
