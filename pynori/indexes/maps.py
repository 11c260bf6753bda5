"""The maps of a static index as one function over batches of documents, whatever their language.

A map gives for each document a list of outputs, or the reason why there are none. An output is the fields of an entry
for an index without a reduce, and bytes in the language's own form for one with.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

from pynori_core.blittable import Document
from pynori_core.errors import EngineError
from pynori_core.expr import Boosted, Point, Shape
from pynori_core.index_program import ExpressionFeed

from pynori.errors import CompilationError, JavaScriptError, PynoriError, from_engine
from pynori.expr.tree import Cast, Coalesce, Conditional, Expression, Literal, Load, Output, walk
from pynori.indexes.definition import IndexDefinition
from pynori.indexes.entries import Field
from pynori.indexes.fields import FieldOptions
from pynori.js.engine import Runner
from pynori.js.index_scripts import EntryField, JavaScriptMap, entry_fields
from pynori.linq.lower import MapDefinition, SourceKind, parse_map

if TYPE_CHECKING:
    from pynori_core.document_snapshot import DocumentSnapshot
    from pynori_core.expr import Program
    from pynori_core.items import StoredDocument


# Name spaces of assemblies whose types a map may name; nothing of them is run.
KNOWN_ASSEMBLIES = ("System", "Microsoft", "netstandard", "mscorlib")


@dataclass(slots=True)
class Mapped:
    """What the maps gave for one document."""

    entries: list[list[Field]] = field(default_factory=list)
    rows: list[bytes] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)


class Maps(Protocol):
    """All maps of one index."""

    collections: tuple[str, ...] | None
    loaded_collections: frozenset[str | None]
    declared_fields: frozenset[str] | None

    def run(
        self, documents: Sequence[StoredDocument], collection: str, snapshot: DocumentSnapshot, *, as_rows: bool
    ) -> list[Mapped | PynoriError]:
        """Of each document its entries, or its rows for a reduce, in order."""
        ...

    def native(self, collection: str) -> Program | None:
        """The one program that alone maps this collection, when it can feed an index without the interpreter."""
        ...

    def row_programs(self, collection: str) -> list[Program] | None:
        """The programs that map this collection, when they can give rows to a reduce without the interpreter."""
        ...


class LinqMaps:
    """Maps in C#."""

    def __init__(self, definition: IndexDefinition) -> None:
        assemblies = [str(each.get("AssemblyName") or "") for each in definition.additional_assemblies]
        for name in assemblies:
            if name and not name.startswith(KNOWN_ASSEMBLIES):
                raise CompilationError(f"Cannot load assembly '{name}'.", "AdditionalAssemblies", name)
        self.maps = [parse_map(text, assemblies=assemblies) for text in definition.maps]
        for each in self.maps:
            if each.kind is not SourceKind.DOCUMENTS:
                raise CompilationError(
                    f"Index '{definition.name}' maps {each.kind.value}, which this server does not have", "Maps"
                )
        self._check_shapes(definition)
        self.collections = _joined([each.collection for each in self.maps])
        self.loaded_collections: frozenset[str | None] = frozenset(
            name for each in self.maps if each.program.loads for name in _loaded_by(each)
        )
        dynamic = any(each.program.has_marks and "_" in each.fields for each in self.maps)
        names = frozenset(name for each in self.maps for name in each.fields)
        self.declared_fields: frozenset[str] | None = None if dynamic else names | definition.named_fields
        self._fill = self.maps[0].fields if definition.missing_is_null else ()
        self._decimals = frozenset(name for each in self.maps for name in _decimal_fields(each))

    def _check_shapes(self, definition: IndexDefinition) -> None:
        first = self.maps[0]
        for text, each in zip(definition.maps, self.maps, strict=True):
            if set(each.fields) != set(first.fields):
                raise CompilationError(
                    f"Map and Reduce functions of the index '{definition.name}' must return the same fields: one gives "
                    f"{', '.join(sorted(first.fields))}, another {', '.join(sorted(each.fields))}",
                    "Maps",
                    text,
                )

    def run(
        self, documents: Sequence[StoredDocument], collection: str, snapshot: DocumentSnapshot, *, as_rows: bool
    ) -> list[Mapped | PynoriError]:
        maps = [each for each in self.maps if _reads(each, collection)]
        outcomes = [_run_programs(maps, document, snapshot, as_rows) for document in documents]
        if self._fill:
            for each in outcomes:
                if isinstance(each, Mapped):
                    for entry in each.entries:
                        had = {name for name, _, _ in entry}
                        entry += [(name, None, None) for name in self._fill if name not in had]
        if self._decimals:
            for each in outcomes:
                if isinstance(each, Mapped):
                    each.entries = [[self._exact(one) for one in entry] for entry in each.entries]
        return outcomes

    def _exact(self, given: Field) -> Field:
        """A field that the map casts to decimal, as one."""
        name, value, own = given
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return (name, Decimal(str(value)), own) if name in self._decimals and is_number else given

    def native(self, collection: str) -> Program | None:
        maps = [each for each in self.maps if _reads(each, collection)]
        if len(maps) != 1 or maps[0].program.has_marks or self._fill:
            return None
        return maps[0].program

    def row_programs(self, collection: str) -> list[Program] | None:
        programs = [each.program for each in self.maps if _reads(each, collection)]
        return None if any(each.has_marks or each.loads for each in programs) else programs


class ScriptMaps:
    """Maps in JavaScript."""

    def __init__(self, definition: IndexDefinition, runner: Runner) -> None:
        sources = tuple(definition.additional_sources.values())
        try:
            self._map = JavaScriptMap(runner, definition.maps, sources)
        except JavaScriptError as error:
            raise CompilationError(str(error), "Maps", definition.maps[0]) from None
        if self._map.source != "Documents":
            raise CompilationError(
                f"Index '{definition.name}' maps {self._map.source}, which this server does not have", "Maps"
            )
        found = self._map.collections
        self.collections = None if found is None else tuple(found)
        loads = any("load" in text for text in (*definition.maps, *sources))
        # Which collections a script loads from is known only when it runs.
        self.loaded_collections: frozenset[str | None] = frozenset((None,)) if loads else frozenset()
        self.declared_fields: frozenset[str] | None = None

    def run(
        self, documents: Sequence[StoredDocument], collection: str, snapshot: DocumentSnapshot, *, as_rows: bool
    ) -> list[Mapped | PynoriError]:
        def load(id: str) -> bytes | None:
            found = snapshot.get(id)
            return None if found is None else found.json

        made: list[Mapped | PynoriError] = []
        for outcome in self._map.map_batch([each.json for each in documents], load):
            if isinstance(outcome, JavaScriptError):
                made.append(outcome)
                continue
            mapped = Mapped(loaded=[id for id, _ in outcome.references if id])
            if as_rows:
                mapped.rows = outcome.entries
            else:
                mapped.entries = [[_script_field(each) for each in entry_fields(one)] for one in outcome.entries]
            made.append(mapped)
        return made

    def native(self, collection: str) -> Program | None:
        return None

    def row_programs(self, collection: str) -> list[Program] | None:
        return None


def make_maps(definition: IndexDefinition, runner: Runner) -> Maps:
    """Raises: CompilationError."""
    if definition.type.startswith("JavaScript"):
        return ScriptMaps(definition, runner)
    return LinqMaps(definition)


def feeding_program(program: Program, numbers: dict[str, int]) -> ExpressionFeed | None:
    """The program as what feeds an index natively; None when it cannot."""
    try:
        return ExpressionFeed(program, numbers)
    except (ValueError, KeyError):
        return None


def _run_programs(
    maps: Sequence[MapDefinition], document: StoredDocument, snapshot: DocumentSnapshot, as_rows: bool
) -> Mapped | PynoriError:
    mapped = Mapped()
    references: list[tuple[str, str | None]] = []
    source = Document.from_json(document.json)
    try:
        for each in maps:
            keywords: dict[str, Any] = {"id": document.id, "snapshot": snapshot, "references": references}
            if as_rows:
                mapped.rows += each.program.documents(source, **keywords)
            else:
                mapped.entries += [
                    [(name, value, None) for name, value in entry.items()]
                    for entry in each.program.run(source, **keywords)
                ]
    except EngineError as error:
        return from_engine(error)
    mapped.loaded = [id for id, _ in references if id]
    return mapped


def _script_field(each: EntryField) -> Field:
    value = each.value
    if each.is_spatial:
        if isinstance(each.spatial, str):
            value = Shape(each.spatial)
        elif each.spatial is None:
            value = None
        else:
            value = Point(*each.spatial)
    elif each.boost is not None:
        value = Boosted(value, each.boost)
    own = None
    if each.indexing is not None or each.is_stored is not None:
        storage = None if each.is_stored is None else "Yes" if each.is_stored else "No"
        given = {"Storage": storage, "Indexing": each.indexing}
        own = FieldOptions.from_json(each.name, given)
    return each.name, value, own


def _decimal_fields(each: MapDefinition) -> list[str]:
    """Fields whose values are decimals whenever there is one."""
    outputs = [node for node in walk(each.stages) if isinstance(node, Output)]
    return [name for output in outputs for name, value in output.fields if _is_decimal(value)]


def _is_decimal(node: Expression) -> bool:
    if isinstance(node, Conditional):
        return _is_decimal(node.yes) and _is_decimal(node.no)
    if isinstance(node, Coalesce):
        return _is_decimal(node.left) and _is_decimal(node.right)
    return isinstance(node, Cast) and node.type == "decimal"


def _loaded_by(each: MapDefinition) -> Collection[str | None]:
    """Collections that a map loads from, in lower case; None: it cannot be said."""
    loads = [node for node in walk(each.stages) if isinstance(node, Load)]
    named = [node.collection for node in loads]
    found: set[str | None] = set()
    for node in named:
        is_text = isinstance(node, Literal) and isinstance(node.value, str)
        found.add(str(node.value).lower() if is_text and isinstance(node, Literal) else None)
    return found or {None}


def _reads(each: MapDefinition, collection: str) -> bool:
    return each.collection is None or each.collection.lower() == collection.lower()


def _joined(names: Sequence[str | None]) -> tuple[str, ...] | None:
    """Each name once, whatever its case; None when one of them is."""
    found: dict[str, str] = {}
    for name in names:
        if name is None:
            return None
        found.setdefault(name.lower(), name)
    return tuple(found.values())
