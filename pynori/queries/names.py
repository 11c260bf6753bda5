"""Which field of an index a path of a query means.

An auto index names its fields by the path itself, with the way its texts are kept around it: `Name`, `exact(Name)`,
`search(Name)`. A defined index names them as its maps do; a path finds a field of its own text, or of its parts joined
by `_` as the clients' index builders join them. A field that no entry has yet has no number and matches nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from pynori.errors import InvalidQuery
from pynori.queries.instants import Moment, moment_of
from pynori.queries.requirements import AGGREGATIONS, aggregation_of
from pynori.rql.ast import Call, Expression, Path, Query, as_path

if TYPE_CHECKING:
    from pynori_core.index_store import IndexField, IndexSnapshot


class IndexNames:
    """The fields of one snapshot of an index.

    declared: the fields that the definition names; None: it may have any (dynamic fields). Names match in any case.
    moments: texts that mean moments are compared as such.
    """

    def __init__(
        self, snapshot: IndexSnapshot, query: Query, *, auto: bool, declared: Collection[str] | None = None,
        moments: bool = False,
    ) -> None:  # fmt: skip
        self._query = query
        self._moments = moments
        self._alias = query.source.alias
        self._auto = auto
        self._fields = {field.name: field for field in snapshot.fields()}
        self._lowered: dict[str, IndexField] | None = None  # by their names in lower case, once one is asked for so
        self._declared = declared

    def has(self, name: str) -> bool:
        """Whether there is a field of exactly this name."""
        return name in self._fields

    def moment_in(self, field: IndexField, value: object) -> Moment | None:
        """The moment that a value means in a field, where it is compared as one."""
        return moment_of(value) if self._moments and not (field.exact or field.text) else None

    def find_of(self, expression: Expression, *, exact: bool = False, search: bool = False) -> IndexField | None:
        """The field that an expression means: a path, or of a grouping its key or an aggregation."""
        path = grouped_path(expression, self._query) or as_path(expression)
        if path is None:
            raise InvalidQuery(f"a field was expected at position {getattr(expression, 'position', 0)}")
        return self.find(path, exact=exact, search=search)

    def find(self, path: Path, *, exact: bool = False, search: bool = False) -> IndexField | None:
        """The field, or None when no entry has it. Raises InvalidQuery when the index cannot have it."""
        text = path.without(self._alias).text
        if self._auto and (exact or search):
            kept = self._fields.get(f"{'exact' if exact else 'search'}({text})")
            if kept is not None:
                return kept
        return self._fields.get(text) or self._find_otherwise(text)

    def _find_otherwise(self, text: str) -> IndexField | None:
        """The field of another spelling."""
        if self._lowered is None:
            self._lowered = {field.name.lower(): field for field in self._fields.values()}
        spellings = (text, text.replace("[]", "").replace(".", "_"))
        for spelling in spellings:
            found = self._fields.get(spelling) or self._lowered.get(spelling.lower())
            if found is not None:
                return found
        if self._declared is not None and not {each.lower() for each in spellings} & {
            each.lower() for each in self._declared
        }:
            raise InvalidQuery(f"The field '{text}' is not indexed, cannot query/sort on fields that are not indexed")
        return None


def grouped_path(expression: Expression, query: Query) -> Path | None:
    """The field of a grouping's index that `key()`, `count()`, `sum(x)` or the name of a key mean, if it is one."""
    if isinstance(expression, Call):
        if expression.name in AGGREGATIONS:
            return Path((aggregation_of(expression, query.source.alias).name,))
        if expression.name != "key" or not query.group_by:
            return None
        if len(query.group_by) > 1:
            raise InvalidQuery("key() stands for one key; name one of several by its path")
        return key_path(query, 0)
    for number, key in enumerate(query.group_by):
        if isinstance(expression, Path) and expression.text == key.alias:
            return key_path(query, number)
    return None


def key_path(query: Query, number: int) -> Path:
    """The path of one key of `group by`."""
    expression = query.group_by[number].expression
    path = expression if isinstance(expression, Path) else as_path(expression.arguments[0])
    if path is None:
        raise InvalidQuery("group by takes fields and array(field)")
    return path.without(query.source.alias)
