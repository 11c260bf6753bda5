"""The feeder of a definition, by its kind; and what of a definition decides about the content of its index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pynori.errors import CompilationError
from pynori.indexes.auto import AutoIndexDefinition
from pynori.indexes.auto_feeder import AutoMapFeeder
from pynori.indexes.definition import IndexDefinition
from pynori.indexes.feeding import Feeder

if TYPE_CHECKING:
    from pynori.documents.database import Database

# Of a definition, what changes in place.
IN_PLACE = ("LockMode", "Priority", "State", "DeploymentMode")


def make_feeder(definition: IndexDefinition | AutoIndexDefinition, database: Database) -> Feeder:
    """Raises: CompilationError when the definition cannot be used."""
    if isinstance(definition, AutoIndexDefinition):
        if not definition.is_map_reduce:
            return AutoMapFeeder(definition)
        raise CompilationError("not supported: auto map reduce")
    raise CompilationError("not supported: static")


def content_of(definition: IndexDefinition | AutoIndexDefinition) -> dict[str, Any]:
    """The definition without what changes in place: equal for two definitions that share an environment."""
    return {name: value for name, value in definition.to_json().items() if name not in IN_PLACE}
