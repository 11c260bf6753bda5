"""The definition of a static index: what a client sends, checked once, and the same JSON back, always complete.

A definition says *what* (maps, reduce, fields, sources, configuration, output: a change of these builds the index anew)
and *how* (lock mode, priority, state, which change in place). The language and the source of the maps follow from their
texts. Whether the maps compile is not decided here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pynori import limits
from pynori.errors import CompilationError, InvalidArgument
from pynori.indexes.fields import ALL_FIELDS, FieldOptions, choice
from pynori.indexes.settings import (
    ANALYZER,
    EMPTY_ENTRIES,
    MISSING_AS_NULL,
    SEARCH_ANALYZER,
    check_configuration,
)
from pynori.text.analyzers import is_called

LOCK_MODES = ("Unlock", "LockedIgnore", "LockedError")
PRIORITIES = ("Low", "Normal", "High")
STATES = ("Normal", "Disabled", "Idle", "Error")
DEPLOYMENT_MODES = ("Parallel", "Rolling")
REPLACEMENT_PREFIX = "ReplacementOf/"
AUTO_PREFIX = "Auto/"

_COMMENT = re.compile(r"\s+|//[^\n]*|/\*.*?\*/", re.DOTALL)
_SCRIPT_MAP = re.compile(r"(?:(counters|timeSeries)\s*\.\s*)?map\s*\(")
_LINQ_START = re.compile(r"(?:from\s+[\w@]+\s+in\s+)?(docs|timeSeries|counters)\b", re.IGNORECASE)
_SOURCES = {"docs": "Documents", "timeseries": "TimeSeries", "counters": "Counters"}


@dataclass(frozen=True, slots=True)
class IndexDefinition:
    """A static index. Made by `from_json`, which checks it."""

    name: str
    maps: tuple[str, ...]
    reduce: str | None = None
    fields: Mapping[str, FieldOptions] = field(default_factory=dict)
    configuration: Mapping[str, str] = field(default_factory=dict)
    additional_sources: Mapping[str, str] = field(default_factory=dict)
    additional_assemblies: tuple[Mapping[str, Any], ...] = ()
    lock_mode: str = "Unlock"
    priority: str = "Normal"
    state: str = "Normal"
    output_collection: str | None = None
    output_pattern: str | None = None
    output_pattern_collection: str | None = None
    reduce_output_index: int | None = None
    deployment_mode: str = "Parallel"
    analyzers: Mapping[str, str] = field(default_factory=dict)  # the code of registered ones that fields ask for

    @classmethod
    def from_json(cls, given: Mapping[str, Any], name: str | None = None) -> IndexDefinition:
        """Raises: InvalidArgument for what is no definition, CompilationError for what a client should see as such."""
        found = name if name is not None else check_index_name(given.get("Name"))
        try:
            return cls(
                found,
                _maps(given.get("Maps")),
                _text(given, "Reduce"),
                _fields(given.get("Fields")),
                _texts(given, "Configuration"),
                _texts(given, "AdditionalSources"),
                _assemblies(given.get("AdditionalAssemblies")),
                choice(given.get("LockMode"), LOCK_MODES, "Unlock", "LockMode"),
                choice(given.get("Priority"), PRIORITIES, "Normal", "Priority"),
                choice(given.get("State"), STATES, "Normal", "State"),
                _text(given, "OutputReduceToCollection"),
                _text(given, "PatternForOutputReduceToCollectionReferences"),
                _text(given, "PatternReferencesCollectionName"),
                _whole_number(given, "ReduceOutputIndex"),
                choice(given.get("DeploymentMode"), DEPLOYMENT_MODES, "Parallel", "DeploymentMode"),
                _texts(given, "Analyzers"),
            ).checked()
        except ValueError as error:
            raise InvalidArgument(f"Index '{found}': {error}") from None

    def checked(self) -> IndexDefinition:
        """This definition, when its parts fit together."""
        check_configuration(self.name, self.configuration)
        scripts = {is_script(text) for text in self.maps}
        if len(scripts) > 1:
            raise CompilationError(
                f"Index '{self.name}' has maps in JavaScript and in C#; they must be of one language", "Maps"
            )
        if len({source_of(text) for text in self.maps}) > 1:
            raise CompilationError(f"Index '{self.name}' cannot contain maps with different source types.", "Maps")
        if self.output_collection is not None and self.reduce is None:
            raise CompilationError(
                f"Index '{self.name}' has no reduce, so there is nothing to write to the collection "
                f"'{self.output_collection}'",
                "OutputReduceToCollection",
            )
        if self.output_pattern is not None and self.output_collection is None:
            raise CompilationError(
                f"Index '{self.name}' has a pattern for references, but no OutputReduceToCollection",
                "PatternForOutputReduceToCollectionReferences",
            )
        return self

    def to_json(self) -> dict[str, Any]:
        """Complete, in the form that clients send and read."""
        return {
            "Name": self.name,
            "Maps": list(self.maps),
            "Reduce": self.reduce,
            "Fields": {name: options.to_json() for name, options in self.fields.items()},
            "Configuration": dict(self.configuration),
            "AdditionalSources": dict(self.additional_sources),
            "AdditionalAssemblies": [dict(each) for each in self.additional_assemblies],
            "LockMode": self.lock_mode,
            "Priority": self.priority,
            "State": self.state,
            "OutputReduceToCollection": self.output_collection,
            "PatternForOutputReduceToCollectionReferences": self.output_pattern,
            "PatternReferencesCollectionName": self.output_pattern_collection,
            "ReduceOutputIndex": self.reduce_output_index,
            "DeploymentMode": self.deployment_mode,
            "Type": self.type,
            "IndexType": self.type,
            "SourceType": self.source_type,
            "IndexSourceType": self.source_type,
        }

    @property
    def type(self) -> str:
        """Map, MapReduce, JavaScriptMap or JavaScriptMapReduce."""
        language = "JavaScript" if is_script(self.maps[0]) else ""
        return language + ("Map" if self.reduce is None else "MapReduce")

    @property
    def is_map_reduce(self) -> bool:
        return self.reduce is not None

    @property
    def source_type(self) -> str:
        """Documents, TimeSeries or Counters."""
        return source_of(self.maps[0])

    def options_of(self, name: str) -> FieldOptions:
        """The options that hold for a field of the index, whatever the case of its name."""
        own = next((each for key, each in self.fields.items() if key.lower() == name.lower()), FieldOptions())
        general = self.fields.get(ALL_FIELDS)
        found = own if general is None else own.over(general)
        asked = self._default_analyzer(found)
        if asked != found.analyzer:
            found = replace(found, analyzer=asked)
        known = None if asked is None else next((each for each in self.analyzers if is_called(each, asked)), None)
        return found if known is None else replace(found, analyzer=known, analyzer_code=self.analyzers[known])

    def with_analyzers(self, registered: Mapping[str, str]) -> IndexDefinition:
        """With those of the registered analyzers that its fields ask for, by name their code."""
        asked = [each.analyzer for each in self.fields.values() if each.analyzer is not None]
        asked += [name for name in map(self._setting, (ANALYZER, SEARCH_ANALYZER)) if name]
        used = {name: code for name, code in registered.items() if any(is_called(name, each) for each in asked)}
        return self if used == self.analyzers else replace(self, analyzers=used)

    @property
    def missing_is_null(self) -> bool:
        """Whether a field that a map gives no value is kept as null."""
        return self._setting(MISSING_AS_NULL).lower() == "true"

    @property
    def keeps_empty(self) -> bool:
        """Whether an entry without any field is kept, so that its document is found by a query for everything."""
        return self._setting(EMPTY_ENTRIES).lower() == "true"

    def _setting(self, name: str) -> str:
        found = (value for key, value in self.configuration.items() if key.lower() == name)
        return next(found, "").strip()

    def _default_analyzer(self, options: FieldOptions) -> str | None:
        """What the configuration names for fields that name none themselves; whole texts in lower case need none."""
        if options.analyzer is not None or not options.is_indexed or options.is_exact:
            return options.analyzer
        name = self._setting(SEARCH_ANALYZER if options.is_text else ANALYZER)
        return None if not name or is_called("LowerCaseKeywordAnalyzer", name) else name

    @property
    def named_fields(self) -> frozenset[str]:
        """The fields that have options of their own."""
        return frozenset(name for name in self.fields if name != ALL_FIELDS)

    def same_content(self, other: IndexDefinition) -> bool:
        """Whether an index of this one serves the other: all but lock mode, priority, state and deployment.

        An analyzer that is not registered any more changes nothing for what was built with it.
        """
        if any(self.analyzers.get(name) != code for name, code in other.analyzers.items()):
            return False
        return _content(self) == _content(other)

    def differs_from(self, other: IndexDefinition) -> bool:
        """Whether putting this one over the other would change anything. The state is not part of it."""
        return not self.same_content(other) or (self.lock_mode, self.priority) != (other.lock_mode, other.priority)

    def renamed(self, name: str) -> IndexDefinition:
        return replace(self, name=name)


def check_index_name(name: object) -> str:
    """The name itself when an index may be called so. Raises: InvalidArgument."""
    if not isinstance(name, str) or not name.strip():
        raise InvalidArgument("the index's name must not be empty")
    if len(name.encode("utf-8", "replace")) > limits.INDEX_NAME_SIZE_BYTES_MAX:
        raise InvalidArgument(
            f"the index's name '{name[:40]}...' is longer than INDEX_NAME_SIZE_BYTES_MAX = "
            f"{limits.INDEX_NAME_SIZE_BYTES_MAX} bytes"
        )
    if name.lower().startswith(REPLACEMENT_PREFIX.lower()):
        raise InvalidArgument(f"the name '{name}' is not permitted: '{REPLACEMENT_PREFIX}' is for indexes being built")
    if name.lower().startswith(AUTO_PREFIX.lower()):
        raise InvalidArgument(f"the name '{name}' is not permitted: '{AUTO_PREFIX}' is for indexes that queries make")
    return name


def is_script(text: str) -> bool:
    """Whether a map is JavaScript; everything else is taken for C#."""
    stripped = _without_comments(text)
    if _SCRIPT_MAP.match(stripped):
        return True
    return _LINQ_START.match(stripped) is None and _SCRIPT_MAP.search(text) is not None


def source_of(text: str) -> str:
    """What a map reads: Documents, TimeSeries or Counters."""
    stripped = _without_comments(text)
    found = _SCRIPT_MAP.match(stripped)
    if found is not None:
        return _SOURCES[(found.group(1) or "docs").lower()]
    found = _LINQ_START.match(stripped)
    return "Documents" if found is None else _SOURCES[found.group(1).lower()]


def _without_comments(text: str) -> str:
    """The text from its first word on."""
    position = 0
    while found := _COMMENT.match(text, position):
        position = found.end()
    return text[position:]


def _content(definition: IndexDefinition) -> tuple[Any, ...]:
    """What decides about the index's entries, in a form that compares equal when these do."""
    return (
        frozenset(_lines(text) for text in definition.maps),
        None if definition.reduce is None else _lines(definition.reduce),
        {name.lower(): options for name, options in definition.fields.items() if options != FieldOptions()},
        dict(definition.configuration),
        dict(definition.additional_sources),
        [dict(each) for each in definition.additional_assemblies],
        definition.output_collection,
        definition.output_pattern,
        definition.output_pattern_collection,
    )


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").strip()


def _maps(given: object) -> tuple[str, ...]:
    maps = [given] if isinstance(given, str) else given
    if not isinstance(maps, Sequence) or not maps:
        raise CompilationError("An index needs at least one map", "Maps")
    for text in maps:
        if not isinstance(text, str) or not text.strip():
            raise CompilationError("A map must be a text that is not empty", "Maps", str(text)[:200])
    if len(maps) > limits.INDEX_MAPS_MAX:
        raise InvalidArgument(f"INDEX_MAPS_MAX: an index has at most {limits.INDEX_MAPS_MAX} maps")
    return tuple(maps)


def _fields(given: object) -> dict[str, FieldOptions]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ValueError("'Fields' must be an object")
    if len(given) > limits.INDEX_FIELDS_MAX:
        raise InvalidArgument(f"INDEX_FIELDS_MAX: an index has at most {limits.INDEX_FIELDS_MAX} fields")
    return {str(name): FieldOptions.from_json(str(name), options) for name, options in given.items()}


def _text(given: Mapping[str, Any], key: str) -> str | None:
    value = given.get(key)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise ValueError(f"'{key}' must be a text")
    return value


def _texts(given: Mapping[str, Any], key: str) -> dict[str, str]:
    value = given.get(key)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ValueError(f"'{key}' must be an object of texts")
    # Settings may come as numbers and booleans; they are kept as the texts that they stand for.
    return {str(name): _setting(each) for name, each in value.items() if each is not None}


def _setting(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _whole_number(given: Mapping[str, Any], key: str) -> int | None:
    value = given.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"'{key}' must be a whole number")
    return value


def _assemblies(given: object) -> tuple[Mapping[str, Any], ...]:
    if given is None:
        return ()
    if not isinstance(given, Sequence) or not all(isinstance(each, Mapping) for each in given):
        raise ValueError("'AdditionalAssemblies' must be a list of objects")
    return tuple(dict(each) for each in given)
