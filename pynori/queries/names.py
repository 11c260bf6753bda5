"""Which field of an index a path of a query means.

An auto index names its fields by the path itself, with the way its texts are kept around it: `Name`, `exact(Name)`,
`search(Name)`. A defined index names them as its maps do; a path finds a field of its own text, or of its parts joined by
`_` as the clients' index builders join them. A field that no entry has yet has no number and matches nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from pynori.errors import InvalidQuery
from pynori.rql.ast import Path

if TYPE_CHECKING:
    from pynori_core.index_store import IndexField, IndexSnapshot


class IndexNames:
    """The fields of one snapshot of an index.

    declared: the fields that the definition names; None: it may have any (dynamic fields). Names match in any case.
    """

    def __init__(
        self, snapshot: IndexSnapshot, alias: str | None, *, auto: bool, declared: Collection[str] | None = None
    ) -> None:
        self._alias = alias
        self._auto = auto
        self._fields = {field.name: field for field in snapshot.fields()}
        self._lowered = {field.name.lower(): field for field in self._fields.values()}
        self._declared = None if declared is None else {each.lower() for each in declared}

    def find(self, path: Path, *, exact: bool = False, search: bool = False) -> IndexField | None:
        """The field, or None when no entry has it. Raises InvalidQuery when the index cannot have it."""
        text = path.without(self._alias).text
        if self._auto and (exact or search):
            kept = self._fields.get(f"{'exact' if exact else 'search'}({text})")
            if kept is not None:
                return kept
        spellings = (text, text.replace("[]", "").replace(".", "_"))
        for spelling in spellings:
            found = self._fields.get(spelling) or self._lowered.get(spelling.lower())
            if found is not None:
                return found
        if self._declared is not None and not any(each.lower() in self._declared for each in spellings):
            raise InvalidQuery(f"The field '{text}' is not indexed, cannot query/sort on fields that are not indexed")
        return None
