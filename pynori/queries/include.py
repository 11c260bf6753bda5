"""Documents that travel along with results: their ids are gathered from each result, the documents written at the end.

A document that is a result itself is not included again; one that is not there is left out; of one in conflict that is
said, and a client that loads it asks for it and learns more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pynori_core.errors import ConflictError

from pynori.errors import LimitExceeded
from pynori.limits import QUERY_INCLUDED_DOCUMENTS_MAX
from pynori.queries.paths import RawObject, texts_at
from pynori.queries.rows import Row
from pynori.queries.text import quoted
from pynori.queries.values import Values
from pynori.rql.ast import Call, Path, Query

if TYPE_CHECKING:
    from pynori_core.document_snapshot import DocumentSnapshot


class Includes:
    """What the results of one query include."""

    def __init__(self, query: Query, values: Values, by_scripts: Mapping[tuple[str, str], None]) -> None:
        """by_scripts: what scripts of the query have named so far; grows while results are made."""
        self._by_scripts = by_scripts
        self.paths = tuple(each for each in query.includes if isinstance(each, Path))
        self._values = values
        self._value_paths = tuple(
            tuple(values.text(each.arguments[0], "the path of cmpxchg()").split("."))
            for each in query.includes
            if isinstance(each, Call) and each.name == "cmpxchg" and each.arguments
        )
        self._value_keys: dict[str, None] = {}
        self._source_alias = query.source.alias
        self._ids: dict[str, str] = {}  # as written, by lower case, in the order in which they were met
        self._results: set[str] = set()

    @property
    def wanted(self) -> bool:
        """Whether results name anything to include."""
        return bool(self.paths or self._value_paths)

    def add(self, row: Row) -> None:
        """Take in the ids that one result names."""
        for parts in self._value_paths:
            self._value_keys.update(dict.fromkeys(self._at(row, parts)))
        if not self.paths and not self._by_scripts:
            return
        self._results.add(row.id.lower())
        for path in self.paths:
            for id in self._ids_of(row, path):
                self._ids.setdefault(id.lower(), id)
        self._check()

    def _ids_of(self, row: Row, path: Path) -> Iterator[str]:
        return self._at(row, path.parts)

    def _at(self, row: Row, parts: tuple[str, ...]) -> Iterator[str]:
        if len(parts) > 1 and parts[0] == self._source_alias:
            parts = parts[1:]
        if len(parts) > 1 and parts[0] in row.loaded:
            loaded = row.loaded[parts[0]]
            for each in loaded if isinstance(loaded, list) else [] if loaded is None else [loaded]:
                yield from texts_at(each, parts[1:])
        else:
            yield from ids_at(row.fields, parts)

    def compare_exchange_values(self) -> dict[str, Any] | None:
        """What the cluster keeps under the keys that the results name; None when the query asks for none."""
        keys = [*self._value_keys, *(key for kind, key in self._by_scripts if kind == "cmpxchg")]
        if not self._value_paths and not keys:
            return None
        missing = {"Index": -1, "Value": None}
        return {key: self._values.compare_exchange(key) or {"Key": key, **missing} for key in keys}

    def _take_from_scripts(self) -> None:
        for kind, id in self._by_scripts:
            if kind == "document":
                self._ids.setdefault(id.lower(), id)
        self._check()

    def _check(self) -> None:
        if len(self._ids) > QUERY_INCLUDED_DOCUMENTS_MAX:
            name = f"QUERY_INCLUDED_DOCUMENTS_MAX ({QUERY_INCLUDED_DOCUMENTS_MAX})"
            raise LimitExceeded(f"the query includes more documents than {name}")

    def write(self, snapshot: DocumentSnapshot) -> Iterator[bytes]:
        """The properties of `Includes`, without its braces."""
        self._take_from_scripts()
        separator = b""
        for lowered, id in self._ids.items():
            if lowered in self._results:
                continue
            try:
                found = snapshot.get(id, conflict_raises=True)
            except ConflictError:
                included = b'{"@metadata":{"@id":%b,"@conflict":true}}' % quoted(id)
            else:
                if found is None:
                    continue
                included = found.json
            yield separator + quoted(id) + b":" + included
            separator = b","


def ids_at(fields: RawObject, parts: tuple[str, ...]) -> Iterator[str]:
    """Ids that a path names. A last part `field(prefix/)` is for ids whose prefix is not written in the document."""
    last = parts[-1]
    if last.endswith(")") and "(" in last:
        name, _, prefix = last[:-1].partition("(")
        for text in texts_at(fields, (*parts[:-1], name)):
            yield prefix + text
    else:
        yield from texts_at(fields, parts)
