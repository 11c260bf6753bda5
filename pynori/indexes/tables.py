"""The definitions in a database's record: checked when a record comes from outside, read when it is followed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pynori.errors import InvalidArgument
from pynori.indexes.auto import AutoIndexDefinition
from pynori.indexes.definition import IndexDefinition

Definition = IndexDefinition | AutoIndexDefinition


def checked_tables(record: Mapping[str, Any]) -> dict[str, Any]:
    """`Indexes`, `AutoIndexes` and `IndexesHistory` of a record that a client gives, complete and in one form.

    Automatic indexes are left out: queries make them anew. Raises: InvalidArgument, CompilationError.
    """
    given = record.get("Indexes") or {}
    if not isinstance(given, Mapping) or not all(isinstance(each, Mapping) for each in given.values()):
        raise InvalidArgument("'Indexes' of a database's record must be an object of definitions")
    indexes = {str(name): IndexDefinition.from_json({**each, "Name": name}).to_json() for name, each in given.items()}
    return {"Indexes": indexes, "AutoIndexes": {}, "IndexesHistory": {}}


def definitions_of(
    static: Mapping[str, Any], automatic: Mapping[str, Any], analyzers: Mapping[str, str]
) -> dict[str, Definition]:
    """The definitions of a record by lower-case name. analyzers: the code of registered ones by name."""
    found: dict[str, Definition] = {
        name.lower(): IndexDefinition.from_json(each, name).with_analyzers(analyzers) for name, each in static.items()
    }
    found.update((name.lower(), AutoIndexDefinition.from_json(each)) for name, each in automatic.items())
    return found
