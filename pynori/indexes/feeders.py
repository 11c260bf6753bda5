"""The feeder of a definition, by its kind; and what of a definition decides about the content of its index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pynori.indexes.auto import AutoIndexDefinition
from pynori.indexes.auto_feeder import AutoMapFeeder
from pynori.indexes.definition import IndexDefinition
from pynori.indexes.entries import analyzer_of
from pynori.indexes.feeding import Feeder
from pynori.indexes.maps import make_maps
from pynori.indexes.output import OutputWriter
from pynori.indexes.reduce_feeder import AutoReduceFeeder, StaticReduceFeeder
from pynori.indexes.reducers import make_reducer
from pynori.indexes.reference_pattern import ReferencePattern
from pynori.indexes.runner import IndexRunner
from pynori.indexes.static_feeder import StaticMapFeeder

if TYPE_CHECKING:
    from pynori.documents.database import Database

# Of a definition, what changes in place.
IN_PLACE = ("LockMode", "Priority", "State", "DeploymentMode")


def make_feeder(definition: IndexDefinition | AutoIndexDefinition, database: Database) -> Feeder:
    """Raises: CompilationError when the definition cannot be used."""
    if isinstance(definition, AutoIndexDefinition):
        return AutoReduceFeeder(definition) if definition.is_map_reduce else AutoMapFeeder(definition)
    for name in definition.fields:
        # An analyzer that is not there is told when the definition comes, not when the first document does.
        analyzer_of(name, definition.options_of(name))
    analyzer_of("*", definition.options_of("*"))  # of fields without options of their own
    runner = IndexRunner(database.scripts)
    maps = make_maps(definition, runner)
    if not definition.is_map_reduce:
        return StaticMapFeeder(definition, maps)
    output = None
    if definition.output_collection is not None:
        pattern = None if definition.output_pattern is None else ReferencePattern(definition.output_pattern)
        output = OutputWriter(
            database, definition.output_collection, pattern, definition.output_pattern_collection
        )  # fmt: skip
    return StaticReduceFeeder(definition, maps, make_reducer(definition, maps, runner), output)


def content_of(definition: IndexDefinition | AutoIndexDefinition) -> dict[str, Any]:
    """The definition without what changes in place: equal for two definitions that share an environment."""
    content = {name: value for name, value in definition.to_json().items() if name not in IN_PLACE}
    if isinstance(definition, IndexDefinition) and definition.analyzers:
        content["Analyzers"] = dict(definition.analyzers)
    return content
