"""The `where` of a query over one snapshot of an index: from the tree of conditions to the set of matching entries.

Sets are native and sorted by entry id. Of conditions joined by `and` the rarest goes first, and each later one looks
only within what is left; so the cost follows the smallest set, not the largest. Conditions in words (`search` and its
kin) and in places (`spatial`) have modules of their own; this one knows fields, terms and ids.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

from pynori_core.matches import Matches

from pynori.errors import InvalidQuery
from pynori.queries.instants import Moment
from pynori.queries.values import Scalar, Values
from pynori.rql.ast import (
    And,
    Between,
    Call,
    Comparison,
    Expression,
    In,
    Literal,
    Not,
    Or,
    Path,
)

if TYPE_CHECKING:
    from pynori_core.index_store import IndexField, IndexSnapshot

NOTHING = Matches.of(())
# Guesses of how many entries a condition leaves, as a share of all, where counting would cost as much as matching.
SHARE_OF_OTHERS = 0.5
ESTIMATE_LIMIT = 4_096  # entries that are counted to compare two conditions; beyond that both are "many"


class Names(Protocol):
    """Finds the field of an index that a query's path means."""

    def find(self, path: Path, *, exact: bool = False, search: bool = False) -> IndexField | None:
        """As find_of."""
        ...

    def moment_in(self, field: IndexField, value: object) -> Moment | None:
        """The moment that a value means in a field, where it is compared as one."""
        ...

    def find_of(self, expression: Expression, *, exact: bool = False, search: bool = False) -> IndexField | None:
        """None: no entry has it. Raises InvalidQuery when the index cannot have it, or when it is no field."""
        ...


class Words(Protocol):
    """Conditions in words, and how well entries fulfil them."""

    def match(self, call: Call, within: Matches | None, exact: bool) -> Matches: ...

    def equal_text(self, field: IndexField, text: str, within: Matches | None) -> Matches: ...

    def prefix_text(self, field: IndexField, text: str, within: Matches | None) -> Matches: ...

    def equal_value(self, field: IndexField, found: Matches) -> Matches:
        """Note that these entries have a value in a field that is not cut into words; they are what is returned."""
        ...

    def weigh(self, match: Callable[[], Matches], factor: float) -> Matches: ...

    def refused(self) -> AbstractContextManager[None]: ...


class Places(Protocol):
    """Conditions about shapes on the map."""

    def match(self, call: Call, within: Matches | None) -> Matches: ...


class Patterns(Protocol):
    """Terms that fit a regular expression."""

    def matching(self, field: IndexField, pattern: str, within: Matches | None) -> Matches: ...


RANGES = frozenset((">", ">=", "<", "<="))  # operators

WORD_CONDITIONS = frozenset(("search", "lucene", "fuzzy", "proximity", "moreLikeThis", "vector.search"))

PLACE_CONDITIONS = frozenset(("spatial.within", "spatial.contains", "spatial.disjoint", "spatial.intersects"))


class Matcher:
    """Matches the conditions of one query on one snapshot."""

    def __init__(
        self, snapshot: IndexSnapshot, names: Names, values: Values, words: Words, places: Places, patterns: Patterns
    ) -> None:
        self._snapshot = snapshot
        self._names = names
        self._values = values
        self._words = words
        self._places = places
        self._patterns = patterns

    def where(self, node: Expression | None) -> Matches:
        """All entries that fulfil the condition."""
        if node is None:
            return self._snapshot.all()
        return self.match(node, None, False)

    def match(self, node: Expression, within: Matches | None, exact: bool) -> Matches:
        """Entries of `within` (None: of all) that fulfil the condition. exact: letters' case matters."""
        if isinstance(node, Comparison):
            return self._comparison(node, within, exact)
        if isinstance(node, And):
            return self._and(node, within, exact)
        if isinstance(node, Or):
            return Matches.union_all([self.match(each, within, exact) for each in node.operands])
        if isinstance(node, Not):
            with self._words.refused():
                return self._everything(within).minus(self.match(node.operand, within, exact))
        if isinstance(node, Between):
            return self._between(node, within, exact)
        if isinstance(node, In):
            return self._in(node, within, exact)
        if isinstance(node, Call):
            return self._call(node, within, exact)
        if isinstance(node, Literal) and isinstance(node.value, bool):
            return self._everything(within) if node.value else NOTHING
        raise InvalidQuery(f"a condition was expected at position {getattr(node, 'position', 0)}")

    def _everything(self, within: Matches | None) -> Matches:
        return self._snapshot.all() if within is None else within

    # ---- and: the rarest first

    def _and(self, node: And, within: Matches | None, exact: bool) -> Matches:
        asked = [each for each in node.operands if not isinstance(each, Not)]
        refused = [each for each in node.operands if isinstance(each, Not)]
        found = within
        for each in self._rarest_first(asked, exact):
            found = self.match(each, found, exact)
            if not len(found):
                return found
        remaining = self._everything(found)
        for negation in refused:
            with self._words.refused():
                remaining = remaining.minus(self.match(negation.operand, remaining, exact))
        return remaining

    def _rarest_first(self, nodes: Sequence[Expression], exact: bool) -> Sequence[Expression]:
        if len(nodes) < 2:
            return nodes
        # Equalities tell their number at once; no range needs to be counted beyond the least of those.
        limit = ESTIMATE_LIMIT
        costs = []
        for node in sorted(nodes, key=_is_range):
            cost = self.estimate(node, exact, limit)
            limit = max(1, min(limit, int(cost)))
            costs.append((cost, node))
        return [node for _, node in sorted(costs, key=lambda each: each[0])]

    def estimate(self, node: Expression, exact: bool, limit: int = ESTIMATE_LIMIT) -> float:
        """About how many entries fulfil a condition. Ranges are counted up to `limit`; what is more is a guess."""
        snapshot = self._snapshot
        if isinstance(node, Literal):
            return snapshot.entry_count
        if isinstance(node, Comparison | Between) or (isinstance(node, In) and not node.every):
            return self._estimate_terms(node, exact, limit)
        if isinstance(node, And):
            return min(self.estimate(each, exact) for each in node.operands)
        if isinstance(node, Or):
            return sum(self.estimate(each, exact) for each in node.operands)
        if isinstance(node, Call) and node.name == "exact" and node.arguments:
            return self.estimate(node.arguments[0], True)
        return max(ESTIMATE_LIMIT + 1, snapshot.entry_count * SHARE_OF_OTHERS)

    def _estimate_terms(self, node: Comparison | Between | In, exact: bool, limit: int) -> float:
        snapshot = self._snapshot
        left = node.left if isinstance(node, Comparison) else node.value
        if _is_id(left):
            return 1
        field = self._field(left, exact)
        if field is None:
            return 0
        if isinstance(node, In):
            values = self._values.scalars(node.options)
            return sum(snapshot.count_of(field.number, value) for value in values) if len(values) < 16 else len(values)
        if isinstance(node, Between):
            low, high = self._values.scalar(node.low), self._values.scalar(node.high)
            if low is None or high is None or kind_of(low) != kind_of(high):
                return 0
        else:
            value = self._values.scalar(node.right)
            if node.operator == "=":
                return snapshot.count_of(field.number, value)
            if node.operator == "!=" or value is None:
                return snapshot.entry_count
            low, high = (value, None) if node.operator in (">", ">=") else (None, value)
        found = snapshot.count_estimate(field.number, low, high, limit=limit)
        # At the limit counting has stopped: how many there really are is not known.
        return found if found < limit else max(found, snapshot.entry_count * SHARE_OF_OTHERS)

    # ---- fields and values

    def _field(self, expression: Expression, exact: bool) -> IndexField | None:
        return self._names.find_of(expression, exact=exact)

    def _comparison(self, node: Comparison, within: Matches | None, exact: bool) -> Matches:
        value = self._values.scalar(node.right)
        if _is_id(node.left):
            return self._id_comparison(node.operator, value, within)
        field = self._field(node.left, exact)
        if field is None:
            return NOTHING
        if node.operator == "=":
            return self._equal(field, value, within)
        if node.operator == "!=":
            with self._words.refused():
                refused = self._equal(field, value, within)
            return self._snapshot.exists(field.number, within=within).minus(refused)
        if value is None:
            return NOTHING
        moment = self._names.moment_in(field, value)
        if moment is not None:
            compare = moment.after if node.operator in (">", ">=") else moment.before
            return compare(self._snapshot, field.number, "=" in node.operator, within)
        if node.operator in (">", ">="):
            return self._snapshot.range(
                field.number, value, None, include_low=node.operator == ">=", within=within
            )  # fmt: skip
        return self._snapshot.range(field.number, None, value, include_high=node.operator == "<=", within=within)

    def _equal(self, field: IndexField, value: Scalar, within: Matches | None) -> Matches:
        if field.text and isinstance(value, str):
            return self._words.equal_text(field, value, within)
        moment = self._names.moment_in(field, value)
        if moment is not None:
            return self._words.equal_value(field, moment.equal(self._snapshot, field.number, within))
        return self._words.equal_value(field, self._snapshot.equal(field.number, value, within=within))

    def _between(self, node: Between, within: Matches | None, exact: bool) -> Matches:
        field = self._field(node.value, exact)
        low, high = self._values.scalar(node.low), self._values.scalar(node.high)
        if field is None or low is None or high is None or kind_of(low) != kind_of(high):
            return NOTHING
        first, last = self._names.moment_in(field, low), self._names.moment_in(field, high)
        if first is not None and last is not None:
            later = first.after(self._snapshot, field.number, True, within)
            return last.before(self._snapshot, field.number, True, later)
        return self._snapshot.range(field.number, low, high, within=within)

    def _in(self, node: In, within: Matches | None, exact: bool) -> Matches:
        values = self._values.scalars(node.options)
        if _is_id(node.value):
            found = self._snapshot.documents_in([each for each in values if isinstance(each, str)])
            return found if within is None else found.intersect(within)
        field = self._field(node.value, exact)
        if field is None or not values:
            return NOTHING
        if node.every:
            found = self._everything(within)
            for value in values:
                found = self._equal(field, value, found)
            return found
        if field.text or any(self._names.moment_in(field, value) for value in values):
            return Matches.union_all([self._equal(field, value, within) for value in values])
        return self._words.equal_value(field, self._snapshot.in_(field.number, values, within=within))

    def _id_comparison(self, operator: str, value: Scalar, within: Matches | None) -> Matches:
        if operator not in ("=", "!="):
            raise InvalidQuery("id() is compared by = and !=, by in, or by startsWith()")
        found = self._snapshot.documents_in([value] if isinstance(value, str) else [])
        if operator == "!=":
            return self._everything(within).minus(found)
        return found if within is None else found.intersect(within)

    # ---- functions

    def _call(self, call: Call, within: Matches | None, exact: bool) -> Matches:
        name, arguments = call.name, call.arguments
        if not arguments:
            raise InvalidQuery(f"{name}() needs arguments")
        if name == "exact":
            return self.match(arguments[0], within, True)
        if name == "boost":
            if len(arguments) != 2:
                raise InvalidQuery("boost() takes a condition and a number")
            factor = self._values.number(arguments[1], "the factor of boost()")
            return self._words.weigh(lambda: self.match(arguments[0], within, exact), factor)
        if name == "intersect":
            return self._intersect(arguments, within, exact)
        if name in WORD_CONDITIONS:
            return self._words.match(call, within, exact)
        if name in PLACE_CONDITIONS:
            return self._places.match(call, within)
        test = _FIELD_TESTS.get(name)
        if test is None:
            raise InvalidQuery(f"{name}() is not a condition")
        return test(self, call, within, exact)

    def _exists(self, call: Call, within: Matches | None, exact: bool) -> Matches:
        if _is_id(call.arguments[0]):
            return self._everything(within)
        field = self._field(call.arguments[0], exact)
        return NOTHING if field is None else self._snapshot.exists(field.number, within=within)

    def _starts_with(self, call: Call, within: Matches | None, exact: bool) -> Matches:
        text = self._text(call)
        if _is_id(call.arguments[0]):
            found = self._snapshot.documents_with_prefix(text)
            return found if within is None else found.intersect(within)
        field = self._field(call.arguments[0], exact)
        if field is None:
            return NOTHING
        if field.text:
            return self._words.prefix_text(field, text, within)
        return self._snapshot.prefix(field.number, text, within=within)

    def _ends_with(self, call: Call, within: Matches | None, exact: bool) -> Matches:
        field = self._field(call.arguments[0], exact)
        if field is None:
            return NOTHING
        text = self._text(call)
        return self._snapshot.suffix(field.number, text.lower() if field.text else text, within=within)

    def _regex(self, call: Call, within: Matches | None, exact: bool) -> Matches:
        field = self._field(call.arguments[0], exact)
        return NOTHING if field is None else self._patterns.matching(field, self._text(call), within)

    def _text(self, call: Call) -> str:
        if len(call.arguments) != 2:
            raise InvalidQuery(f"{call.name}() takes a field and a text")
        return self._values.text(call.arguments[1], f"the text of {call.name}()")

    def _intersect(self, conditions: Sequence[Expression], within: Matches | None, exact: bool) -> Matches:
        """Entries of the documents for which each condition is fulfilled by some entry of theirs."""
        snapshot = self._snapshot
        if snapshot.entry_count == snapshot.document_count:
            return self._and(And(tuple(conditions)), within, exact)
        documents: set[str] | None = None
        found = [self.match(each, within, exact) for each in conditions]
        for each in found:
            ids = set(snapshot.documents(each))
            documents = ids if documents is None else documents & ids
        return snapshot.documents_in(sorted(documents or ())).intersect(Matches.union_all(found))


_FIELD_TESTS: dict[str, Callable[[Matcher, Call, Matches | None, bool], Matches]] = {
    "exists": Matcher._exists,
    "startsWith": Matcher._starts_with,
    "endsWith": Matcher._ends_with,
    "regex": Matcher._regex,
}


def _is_range(node: Expression) -> bool:
    return isinstance(node, Between) or (isinstance(node, Comparison) and node.operator in RANGES)


def _is_id(expression: Expression) -> bool:
    return isinstance(expression, Call) and expression.name == "id"


def kind_of(value: Scalar) -> int:
    """Values of different kinds are never between each other."""
    if value is None:
        return 0
    if isinstance(value, bool):
        return 1
    return 2 if isinstance(value, int | float) else 3
