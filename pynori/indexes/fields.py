"""How one field of an index is kept: stored or not, how its texts become terms, what else it is prepared for.

Options come as JSON, with names in any case and nulls for what is not said. `__all_fields` holds what fields without
options of their own have; a field's own options win over it one by one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from pynori.errors import CompilationError

ALL_FIELDS = "__all_fields"
DOCUMENT_ID_FIELD = "id()"
# What clients and definitions call the field of document ids.
DOCUMENT_ID_NAMES = frozenset(("id()", "__document_id", "@id"))

STORAGES = ("Yes", "No")
INDEXINGS = ("No", "Search", "Exact", "Highlighting", "Default")
TERM_VECTORS = ("No", "Yes", "WithPositions", "WithOffsets", "WithPositionsAndOffsets")
SPATIAL_TYPES = ("Geography", "Cartesian")
SPATIAL_STRATEGIES = ("GeohashPrefixTree", "QuadPrefixTree", "BoundingBox")
SPATIAL_UNITS = ("Kilometers", "Miles")


@dataclass(frozen=True, slots=True)
class SpatialOptions:
    """How places are kept."""

    type: str = "Geography"
    strategy: str = "GeohashPrefixTree"
    max_tree_level: int = 9
    min_x: float = -180.0
    max_x: float = 180.0
    min_y: float = -90.0
    max_y: float = 90.0
    units: str = "Kilometers"

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> SpatialOptions:
        values = {key.lower(): value for key, value in given.items() if value is not None}
        cartesian = choice(values.get("type"), SPATIAL_TYPES, "Geography", "the spatial type") == "Cartesian"
        strategy = choice(values.get("strategy"), SPATIAL_STRATEGIES, "GeohashPrefixTree", "the spatial strategy")
        default_level = 23 if strategy == "QuadPrefixTree" else 9
        return cls(
            "Cartesian" if cartesian else "Geography",
            strategy,
            int(_number(values, "maxtreelevel", 0)) or default_level,
            _number(values, "minx", -180.0),
            _number(values, "maxx", 180.0),
            _number(values, "miny", -90.0),
            _number(values, "maxy", 90.0),
            choice(values.get("units"), SPATIAL_UNITS, "Kilometers", "the spatial units"),
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "Type": self.type,
            "Strategy": self.strategy,
            "MaxTreeLevel": self.max_tree_level,
            "MinX": self.min_x,
            "MaxX": self.max_x,
            "MinY": self.min_y,
            "MaxY": self.max_y,
            "Units": self.units,
        }


@dataclass(frozen=True, slots=True)
class FieldOptions:
    """Options of one field; None: not said, so the default or what `__all_fields` says."""

    storage: str | None = None
    indexing: str | None = None
    term_vector: str | None = None
    spatial: SpatialOptions | None = None
    analyzer: str | None = None
    suggestions: bool | None = None
    analyzer_code: str | None = None  # of a registered analyzer; no part of the field's own options

    @classmethod
    def from_json(cls, name: str, given: object) -> FieldOptions:
        """Raises: CompilationError naming the field."""
        if given is None:
            return cls()
        if not isinstance(given, Mapping):
            raise CompilationError(f"The options of field '{name}' must be an object", "Fields", name)
        values = {str(key).lower(): value for key, value in given.items()}
        spatial = values.get("spatial")
        analyzer = values.get("analyzer")
        suggestions = values.get("suggestions")
        about = f"of field '{name}'"
        try:
            return cls(
                _optional_choice(values.get("storage"), STORAGES, f"the storage {about}"),
                _optional_choice(values.get("indexing"), INDEXINGS, f"the indexing {about}"),
                _optional_choice(values.get("termvector"), TERM_VECTORS, f"the term vector {about}"),
                SpatialOptions.from_json(spatial) if isinstance(spatial, Mapping) else None,
                analyzer if isinstance(analyzer, str) and analyzer else None,
                bool(suggestions) if suggestions is not None else None,
            )
        except (ValueError, TypeError) as error:
            raise CompilationError(str(error), "Fields", name) from None

    def to_json(self) -> dict[str, Any]:
        return {
            "Storage": self.storage,
            "Indexing": self.indexing,
            "TermVector": self.term_vector,
            "Spatial": None if self.spatial is None else self.spatial.to_json(),
            "Analyzer": self.analyzer,
            "Suggestions": self.suggestions,
        }

    def over(self, general: FieldOptions) -> FieldOptions:
        """These options, and those of `general` where these say nothing."""
        missing = {
            each.name: getattr(general, each.name) for each in fields(self) if getattr(self, each.name) is None
        }
        return replace(self, **missing)

    @property
    def is_stored(self) -> bool:
        return self.storage == "Yes"

    @property
    def is_indexed(self) -> bool:
        return self.indexing != "No"

    @property
    def is_exact(self) -> bool:
        """Texts are terms as they are spelt."""
        return self.indexing == "Exact"

    @property
    def is_text(self) -> bool:
        """Texts are cut into words, so that they can be searched and ranked."""
        if self.indexing in ("Search", "Highlighting"):
            return True
        return self.analyzer is not None and self.indexing in (None, "Default")


def choice(value: object, allowed: tuple[str, ...], default: str, what: str) -> str:
    """One of the allowed words, whatever its case; None gives the default. Raises: ValueError."""
    found = _optional_choice(value, allowed, what)
    return default if found is None else found


def _optional_choice(value: object, allowed: tuple[str, ...], what: str) -> str | None:
    if value is None:
        return None
    for word in allowed:
        if isinstance(value, str) and value.lower() == word.lower():
            return word
    raise ValueError(f"{what} must be one of {', '.join(allowed)}, but is {str(value)[:40]!r}")


def _number(values: Mapping[str, Any], key: str, default: float) -> float:
    value = values.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{key} of a spatial field must be a number")
    return float(value)
