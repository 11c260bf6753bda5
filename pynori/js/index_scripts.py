"""Maps and reduces of JavaScript indexes, as functions over batches of JSON.

`JavaScriptMap` holds the maps of one index, `JavaScriptReduce` its reduce. Both run wherever their Runner runs: an
index worker gives `Scripts.workers`, so that the maps do not hold the server's GIL. A document whose map fails has its
error in its place; the others have their entries.

An entry is what a map gives for a document. Its JSON goes into the reduce as it is; for an index without a reduce,
`entry_fields` says what is to be indexed under which name and how.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from pynori.errors import JavaScriptError
from pynori.js.bridge import Input, Load, Outcome, call_all, encode, load_nothing
from pynori.js.engine import Program, Runner

ALL_COLLECTIONS = "@all_docs"
DYNAMIC_FIELDS = "_"


@dataclass(frozen=True, slots=True)
class MapDescription:
    """What one map's text says it maps."""

    source: str  # "Documents", "Counters" or "TimeSeries"
    collections: tuple[str, ...] | None  # None: every one
    name: str | None  # of the counter or time series; None: every one, and always None for documents


@dataclass(frozen=True, slots=True)
class MappedDocument:
    """What the maps gave for one document: the JSON of each entry, and the documents it refers to."""

    entries: list[bytes]
    references: list[tuple[str, str | None]]  # (id as the script gave it, collection it named)


@dataclass(frozen=True, slots=True)
class EntryField:
    """One field of an entry. What the entry does not say is None, and the index's definition decides."""

    name: str
    value: Any  # as msgspec reads JSON; of a spatial one None
    indexing: str | None = None
    is_stored: bool | None = None
    term_vector: str | None = None
    boost: float | None = None
    spatial: str | tuple[float, float] | None = None  # well-known text, or latitude and longitude
    is_spatial: bool = False  # made by createSpatialField, even when it holds no place


class JavaScriptMap:
    """The maps of one index, compiled. Raises JavaScriptError when one does not compile."""

    def __init__(
        self, runner: Runner, maps: Sequence[str], additional_sources: Sequence[str] = (), realm: str = ""
    ) -> None:
        self._runner = runner
        self._program = Program("map", tuple(maps), tuple(additional_sources), realm)
        self.descriptions = [
            MapDescription(
                one["source"], None if one["collections"] is None else tuple(one["collections"]), one["name"]
            )
            for one in runner.define(self._program)
        ]
        if len({one.source for one in self.descriptions}) > 1:
            raise JavaScriptError("the maps of one index must be of one kind: documents, counters or time series")

    @property
    def source(self) -> str:
        """What is mapped: "Documents", "Counters" or "TimeSeries"."""
        return self.descriptions[0].source

    @property
    def collections(self) -> list[str] | None:
        """The collections that are mapped, each once, as first spelt; None: every document."""
        found: dict[str, str] = {}
        for one in self.descriptions:
            if one.collections is None or any(name.lower() == ALL_COLLECTIONS for name in one.collections):
                return None
            for name in one.collections:
                found.setdefault(name.lower(), name)
        return list(found.values())

    def map_batch(
        self, documents: Sequence[bytes], load: Load = load_nothing, *, collection: str | None = None,
        name: str | None = None,
    ) -> list[MappedDocument | JavaScriptError]:  # fmt: skip
        """Run each document through the maps of its collection; in order, each with what they gave or why not.

        documents: JSON with the metadata; of counters {"Name", "Value", "DocumentId"}, of time series {"DocumentId",
        "Name", "Start", "End", "Count", "Entries": [{"Timestamp", "Value", "Values", "Tag"}]}.
        load: what the maps' load gives, from the snapshot that is being indexed.
        collection, name: of counters and time series, which do not say it themselves.
        """
        about = {"id": b"null", "collection": encode(collection), "name": encode(name)}
        inputs = [Input({"self": document, **about}) for document in documents]
        return [
            outcome
            if isinstance(outcome, JavaScriptError)
            else MappedDocument([bytes(entry) for entry in outcome.entries], outcome.references)
            for outcome in call_all(self._runner, self._program, inputs, load)
        ]


class JavaScriptReduce:
    """The reduce of one index, compiled. Raises JavaScriptError when it does not compile."""

    def __init__(
        self, runner: Runner, reduce: str, additional_sources: Sequence[str] = (), realm: str = ""
    ) -> None:
        self._runner = runner
        self._program = Program("reduce", (reduce,), tuple(additional_sources), realm)
        runner.define(self._program)

    def keys(self, entries: Sequence[bytes]) -> list[str | JavaScriptError]:
        """Of each entry the key it is grouped by, as JSON: equal keys are equal texts."""
        if not entries:
            return []
        (outcome,) = self._call([group_input(entries, keys=True)])
        if isinstance(outcome, Outcome):
            return list(outcome.keys)
        if len(entries) == 1:
            return [outcome]
        # One of them fails: ask for each by itself.
        return [
            one if isinstance(one, JavaScriptError) else one.keys[0]
            for one in self._call([group_input([entry], keys=True) for entry in entries])
        ]

    def reduce_batch(self, groups: Sequence[Sequence[bytes]]) -> list[bytes | JavaScriptError | None]:
        """Of each group of entries with one key the result's JSON; None when the aggregation gave no object.

        A result may stand among the entries of a later call, with others of the same key.
        """
        results: list[bytes | JavaScriptError | None] = []
        for outcome in self._call([group_input(group, keys=False) for group in groups]):
            if isinstance(outcome, JavaScriptError):
                results.append(outcome)
            else:
                value = bytes(outcome.value)
                results.append(value if value.startswith(b"{") else None)
        return results

    def _call(self, inputs: Sequence[Input]) -> list[Outcome | JavaScriptError]:
        return call_all(self._runner, self._program, inputs, load_nothing)


def group_input(entries: Sequence[bytes], keys: bool) -> Input:
    return Input({"values": b"[%b]" % b",".join(entries), "keys": b"true" if keys else b"false"})


# ---- entries


def entry_fields(entry: bytes) -> list[EntryField]:
    """What an entry's JSON says is to be indexed, dynamic fields under their own names."""
    fields: list[EntryField] = []
    given = msgspec.json.decode(entry)
    if "$boost" in given and isinstance(given.get("$value"), dict):
        # The whole entry is boosted: so is each field that says nothing of its own.
        whole = given["$boost"]
        given = {
            name: value if isinstance(value, dict) else {"$value": value, "$boost": whole}
            for name, value in given["$value"].items()
        }
    for name, value in given.items():
        if name == DYNAMIC_FIELDS:
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, dict) and isinstance(one.get("$name"), str):
                    fields.append(entry_field(one["$name"], one))
        else:
            fields.append(entry_field(name, value))
    return fields


def entry_field(name: str, value: Any) -> EntryField:
    """A field from its value, which may be an object that says more."""
    if not isinstance(value, dict):
        return EntryField(name, value)
    if "$spatial" in value:
        return EntryField(name, None, spatial=place(value["$spatial"]), is_spatial=True)
    if "$value" not in value:
        return EntryField(name, value)
    own_name = value.get("$name")
    inner = entry_field(own_name if isinstance(own_name, str) else name, value["$value"])
    options = value.get("$options")
    options = {str(key).lower(): one for key, one in options.items()} if isinstance(options, dict) else {}
    boost = value.get("$boost")
    return EntryField(
        inner.name,
        inner.value,
        text_option(options, "indexing"),
        storage_option(options.get("storage")),
        text_option(options, "termvector"),
        float(boost) if isinstance(boost, int | float) and not isinstance(boost, bool) else None,
        inner.spatial,
        inner.is_spatial,
    )


def place(value: Any) -> str | tuple[float, float] | None:
    """What createSpatialField was given; None when that is no place."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and len(value) == 2 and all(is_number(one) for one in value):
        return (float(value[0]), float(value[1]))
    return None


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def text_option(options: Mapping[str, Any], name: str) -> str | None:
    value = options.get(name)
    return value if isinstance(value, str) else None


def storage_option(value: Any) -> bool | None:
    """Storage is said as true and false, or as Yes and No."""
    if isinstance(value, str):
        return {"yes": True, "no": False, "true": True, "false": False}.get(value.lower())
    return value if isinstance(value, bool) else None
