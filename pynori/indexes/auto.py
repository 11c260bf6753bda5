"""The index that a query makes for itself: which fields of which collection, what it is called, what it covers.

A definition is made from what a query needs. `covers` says whether an index serves a need, `merged` makes the one index
that serves two, `to_build` the one for a new need that serves all earlier ones of the same kind as well, so that a
collection ends with one auto index and one for each grouping.

An index keeps a field under its path; the way its texts are kept is part of the name where it is not the usual one:
`Name`, `exact(Name)`, `search(Name)`. A grouping keeps its keys under their paths, sums under the path summed, and the
count under `Count`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any

from pynori.indexes.definition import AUTO_PREFIX

ALL_DOCUMENTS = "@all_docs"
COUNT_FIELD = "Count"
NAME_CHARACTERS_MAX = 256
AGGREGATIONS = ("None", "Sum", "Count", "Min", "Max", "Average")


@dataclass(frozen=True, slots=True)
class AutoField:
    """One field. name: its path in documents, or the text of a spatial call, or the name of an aggregation's result.

    plain: whole texts in lower case, and numbers: what everything but exact() and search() reads.
    aggregation: what a grouping does with the values of `path` in it.
    """

    name: str
    plain: bool = True
    search: bool = False
    exact: bool = False
    highlighting: bool = False
    suggestions: bool = False
    spatial: tuple[str, ...] = ()
    aggregation: str = "None"
    path: str = ""

    def merged(self, other: AutoField) -> AutoField:
        """A field that serves both."""
        return replace(
            self,
            plain=self.plain or other.plain,
            search=self.search or other.search,
            exact=self.exact or other.exact,
            highlighting=self.highlighting or other.highlighting,
            suggestions=self.suggestions or other.suggestions,
        )

    def covers(self, other: AutoField) -> bool:
        return not (
            (other.plain and not self.plain)
            or (other.search and not self.search)
            or (other.exact and not self.exact)
            or (other.highlighting and not self.highlighting)
            or (other.suggestions and not self.suggestions)
        )

    @property
    def part_of_name(self) -> str:
        """What the index's name says of it."""
        if self.spatial:
            return _upper_first(self.name.replace(",", "|").replace(" ", ""))
        kinds = (
            ("Search", self.search),
            ("Highlighting", self.highlighting),
            ("Exact", self.exact),
            ("Suggestions", self.suggestions),
        )
        parts = [f"{kind}({self.name})" for kind, asked in kinds if asked]
        # Two definitions of one name would be taken for one index.
        if not parts or (self.plain and (self.search or self.exact or self.highlighting)):
            parts.insert(0, self.name)
        return "And".join(parts)

    def to_json(self) -> dict[str, Any]:
        words = [
            word
            for word, asked in (("Search", self.search), ("Highlighting", self.highlighting), ("Exact", self.exact))
            if asked
        ]
        return {
            "Name": self.name,
            "Storage": "No",
            # Clients know one word here; all of them are in the list beside it.
            "Indexing": words[0] if words else "Default",
            "Indexings": (["Default"] if self.plain else []) + words,
            "Aggregation": self.aggregation,
            "Path": self.path,
            "Spatial": {"Paths": list(self.spatial)} if self.spatial else None,
            "GroupByArrayBehavior": "NotApplicable",
            "Suggestions": self.suggestions,
            "IsNameQuoted": False,
        }

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> AutoField:
        words = given["Indexings"]
        return cls(
            given["Name"],
            "Default" in words,
            "Search" in words,
            "Exact" in words,
            "Highlighting" in words,
            bool(given["Suggestions"]),
            tuple((given["Spatial"] or {}).get("Paths", ())),
            given["Aggregation"],
            given["Path"],
        )


@dataclass(frozen=True, slots=True)
class AutoGroup:
    """One key of a grouping. as_whole: an array is one key, instead of each of its items."""

    path: str
    as_whole: bool = False

    @property
    def part_of_name(self) -> str:
        return f"Array({self.path})" if self.as_whole else self.path

    def to_json(self) -> dict[str, Any]:
        behaviour = "ByContent" if self.as_whole else "ByIndividualValues" if "[]" in self.path else "NotApplicable"
        return {
            "Name": self.path,
            "Storage": "Yes",
            "Indexing": "Default",
            "Aggregation": "None",
            "Spatial": None,
            "GroupByArrayBehavior": behaviour,
            "Suggestions": False,
            "IsNameQuoted": False,
        }

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> AutoGroup:
        return cls(given["Name"], given["GroupByArrayBehavior"] == "ByContent")


@dataclass(frozen=True, slots=True)
class AutoIndexDefinition:
    """What an auto index holds. collection: as documents spell it, or `@all_docs`."""

    collection: str
    fields: Mapping[str, AutoField] = field(default_factory=dict)
    group_by: tuple[AutoGroup, ...] = ()
    lock_mode: str = "Unlock"
    priority: str = "Normal"
    state: str = "Normal"

    @classmethod
    def of(
        cls, collection: str | None, fields: Iterable[AutoField], group_by: Iterable[AutoGroup] = ()
    ) -> AutoIndexDefinition:
        """From what a query needs; a collection of None is all documents. Fields of one name are merged."""
        found: dict[str, AutoField] = {}
        for each in fields:
            known = found.get(each.name)
            found[each.name] = each if known is None else known.merged(each)
        return cls(collection or ALL_DOCUMENTS, found, tuple(group_by))

    @property
    def name(self) -> str:
        """`Auto/Users/ByAgeAndName`, `Auto/Users/ByCountReducedByCity`."""
        collection = "AllDocs" if self.collection.lower() == ALL_DOCUMENTS else self.collection
        parts = sorted((each.part_of_name for each in self.fields.values()), key=_order)
        if parts:
            name = f"{AUTO_PREFIX}{collection}/By{'And'.join(parts)}"
        else:
            name = f"{AUTO_PREFIX}{collection}" + ("" if self.group_by else "/ById()")
        if self.group_by:
            name += "ReducedBy" + "And".join(sorted((each.part_of_name for each in self.group_by), key=_order))
        if len(name) <= NAME_CHARACTERS_MAX:
            return name
        return f"{name[:NAME_CHARACTERS_MAX]}...{blake2b(name.encode(), digest_size=8).hexdigest()}"

    @property
    def type(self) -> str:
        return "AutoMapReduce" if self.group_by else "AutoMap"

    @property
    def is_map_reduce(self) -> bool:
        return bool(self.group_by)

    @property
    def source_type(self) -> str:
        return "Documents"

    def same_kind(self, other: AutoIndexDefinition) -> bool:
        """Whether one index could serve both."""
        return self.collection.lower() == other.collection.lower() and set(self.group_by) == set(other.group_by)

    def covers(self, other: AutoIndexDefinition) -> bool:
        """Whether an index of this definition answers what the other one does."""
        if not self.same_kind(other):
            return False
        return all(name in self.fields and self.fields[name].covers(each) for name, each in other.fields.items())

    def merged(self, other: AutoIndexDefinition) -> AutoIndexDefinition:
        """One definition of the same kind that covers both."""
        fields = dict(self.fields)
        for name, each in other.fields.items():
            fields[name] = fields[name].merged(each) if name in fields else each
        return replace(self, fields=fields)

    def same_content(self, other: AutoIndexDefinition) -> bool:
        """Whether the index of the one serves the other, and the other way round."""
        return self.same_kind(other) and dict(self.fields) == dict(other.fields)

    def to_json(self) -> dict[str, Any]:
        """As it stands in the database's record."""
        return {
            "Name": self.name,
            "Type": self.type,
            "Collection": self.collection,
            "MapFields": {name: each.to_json() for name, each in self.fields.items()},
            "GroupByFields": {each.path: each.to_json() for each in self.group_by},
            "LockMode": self.lock_mode,
            "Priority": self.priority,
            "State": self.state,
        }

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> AutoIndexDefinition:
        return cls(
            given["Collection"],
            {name: AutoField.from_json(each) for name, each in given["MapFields"].items()},
            tuple(AutoGroup.from_json(each) for each in given["GroupByFields"].values()),
            given["LockMode"],
            given["Priority"],
            given["State"],
        )

    def shown(self) -> dict[str, Any]:
        """In the form of a static definition, for those who list indexes."""
        parts = [f"<Name:{name}>" for name in self.fields]
        keys = [f"<Name:{each.path}>" for each in self.group_by]
        return {
            "Name": self.name,
            "Maps": [f"{self.collection}:[{';'.join(parts or keys)}]"],
            "Reduce": f"{self.collection}:[{';'.join(parts)}];GroupBy:[{';'.join(keys)}]" if keys else None,
            "Fields": {name: _shown_field(each) for name, each in self.fields.items()},
            "Configuration": {},
            "AdditionalSources": {},
            "AdditionalAssemblies": [],
            "LockMode": self.lock_mode,
            "Priority": self.priority,
            "State": self.state,
            "OutputReduceToCollection": None,
            "PatternForOutputReduceToCollectionReferences": None,
            "PatternReferencesCollectionName": None,
            "ReduceOutputIndex": None,
            "DeploymentMode": "Parallel",
            "Type": self.type,
            "IndexType": self.type,
            "SourceType": self.source_type,
            "IndexSourceType": self.source_type,
        }


def to_build(need: AutoIndexDefinition, existing: Iterable[AutoIndexDefinition]) -> AutoIndexDefinition:
    """The definition to build for a need that no existing one covers: it covers all existing ones of its kind too."""
    built = need
    for each in existing:
        if each.same_kind(need):
            built = built.merged(each)
    return built


def _shown_field(each: AutoField) -> dict[str, Any]:
    shown = each.to_json()
    return {
        "Storage": None,
        "Indexing": shown["Indexing"] if shown["Indexing"] != "Default" else None,
        "TermVector": None,
        "Spatial": None,
        "Analyzer": None,
        "Suggestions": each.suggestions or None,
    }


def _order(part: str) -> tuple[str, str]:
    return part.lower(), part


def _upper_first(text: str) -> str:
    return text[:1].upper() + text[1:]
