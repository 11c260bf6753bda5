"""From what a map gives to what an index takes: values of fields by name become inputs of numbered fields.

A map gives entries as objects: field -> value, a list of values, or a marked value (a place, a boost, a field whose
name was computed). A field's options decide which numbered fields its value goes to. What is stored of an entry is the
JSON of its stored fields.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
from pynori_core.expr import Boosted, DynamicField, Point, Shape

from pynori import limits
from pynori.errors import InvalidArgument
from pynori.indexes.fields import FieldOptions
from pynori.spatial.options import SpatialOptions, options_from
from pynori.spatial.stored import SHAPE, X, Y, is_stored, stored_values
from pynori.text.analyzers import STANDARD, Analyzer, find_analyzer
from pynori.text.compose import analyzer_from

if TYPE_CHECKING:
    from pynori_core.index_store import FieldInput, IndexWriter

Entry = Mapping[str, Any]
# (name, value, options that the entry itself gives)
Field = tuple[str, Any, FieldOptions | None]
# Behind a field's name: the field, of which no query speaks, that holds how many times an entry's value of it counts.
BOOST = "#boost"
INTEGER_MIN, INTEGER_MAX = -(2**63), 2**63 - 1

# Decimals are texts, so that all their digits come back.
encode = msgspec.json.Encoder(decimal_format="string").encode


def analyzer_of(name: str, options: FieldOptions) -> Analyzer | None:
    """What cuts the texts of a field into words; None for a field of whole texts. Raises: CompilationError."""
    if not options.is_text:
        return None
    if options.analyzer is None:
        return STANDARD
    if options.analyzer_code is not None:
        return analyzer_from(options.analyzer, options.analyzer_code)
    return find_analyzer(options.analyzer, name)


def native_field(writer: IndexWriter, name: str, options: FieldOptions) -> int | None:
    """The number of a field that a native feed can fill; None when its texts need the interpreter."""
    analyzer = analyzer_of(name, options)
    if analyzer is None:
        return writer.field(name, exact=options.is_exact)
    return None if analyzer.native is None else writer.field(name, text=True, analyzer=analyzer.for_index())


class EntryWriter:
    """Puts entries by their fields' names into one writer of an index."""

    def __init__(self, writer: IndexWriter, options_of: Callable[[str], FieldOptions]) -> None:
        self._writer = writer
        self._options_of = options_of
        self._options: dict[str, FieldOptions] = {}
        self._numbers: dict[str, int] = {}
        self._spatial: dict[str, SpatialOptions] = {}

    def put(self, document_id: str, entries: Sequence[Entry]) -> None:
        """Replace what the document has in the index."""
        inputs: list[dict[int, FieldInput]] = []
        stored: list[bytes | None] = []
        for entry in entries:
            taken, kept = self._entry(entry)
            inputs.append(taken)
            stored.append(encode(kept) if kept else None)
        self._writer.put(document_id, inputs, stored if any(stored) else None)

    def put_fields(self, document_id: str, entries: Sequence[Sequence[Field]], *, keep_empty: bool = False) -> None:
        """As put; fields may say themselves how they are kept, which wins over the definition.

        keep_empty: an entry without fields is one too.
        """
        inputs: list[dict[int, FieldInput]] = []
        stored: list[bytes | None] = []
        for entry in entries:
            taken: dict[int, FieldInput] = {}
            kept: dict[str, Any] = {}
            for name, value, own in entry:
                if own is not None and name not in self._options:
                    self._options[name] = own.over(self._options_of(name))
                self._field(name, value, taken, kept)
            if taken or kept or keep_empty:
                inputs.append(taken)
                stored.append(encode(kept) if kept else None)
        if inputs:
            self._writer.put(document_id, inputs, stored if any(stored) else None)
        else:
            self._writer.delete(document_id)

    def put_reduced(self, key: str, entry: Entry, json: bytes) -> None:
        """Replace the entry of a group; `json` is its document."""
        self._writer.put(key, [self._entry(entry)[0]], [json])

    def plain_number(self, name: str) -> int | None:
        """The number of a field that holds values as they are; None for one that is not indexed, or in another way."""
        options = self.options(name)
        is_plain = options.is_indexed and options.spatial is None and not options.is_text
        return self._number(name, options) if is_plain else None

    def put_reduced_row(self, key: str, row: bytes, fields: Sequence[tuple[bytes, int]], json: bytes) -> bool:
        """As put_reduced, of a blittable row with plain fields; False: it takes put_reduced."""
        return self._writer.put_object(key, row, fields, json)

    def number(self, name: str) -> int | None:
        """The number of the field itself; None when it is not indexed."""
        options = self.options(name)
        return self._number(name, options) if options.is_indexed else None

    def options(self, name: str) -> FieldOptions:
        found = self._options.get(name)
        if found is None:
            if len(self._options) >= limits.INDEX_FIELDS_MAX:
                raise InvalidArgument(f"INDEX_FIELDS_MAX: an index has at most {limits.INDEX_FIELDS_MAX} fields")
            found = self._options[name] = self._options_of(name)
        return found

    def _entry(self, entry: Entry) -> tuple[dict[int, FieldInput], dict[str, Any]]:
        taken: dict[int, FieldInput] = {}
        stored: dict[str, Any] = {}
        for name, value in entry.items():
            self._field(name, value, taken, stored)
        return taken, stored

    def _field(self, name: str, value: Any, taken: dict[int, FieldInput], stored: dict[str, Any]) -> None:
        factor = 1.0
        if isinstance(value, Boosted):
            value, factor = value.value, value.boost
        if isinstance(value, DynamicField):
            self._field(value.name, value.value, taken, stored)
            return
        if isinstance(value, list) and any(isinstance(each, DynamicField | Boosted) for each in value):
            plain = []
            for each in value:
                if isinstance(each, DynamicField):
                    self._field(each.name, each.value, taken, stored)
                elif isinstance(each, Boosted):
                    plain.append(each.value)
                    factor *= each.boost
                else:
                    plain.append(each)
            value = plain
        options = self.options(name)
        if factor != 1 and options.is_indexed:
            taken[self._boost(name)] = factor
        if options.is_stored:
            stored[name] = value
        if options.spatial is not None or _is_place(value):
            self._place(name, value, options, taken)
        elif options.is_indexed:
            number = self._number(name, options)
            known = taken.get(number)
            given = plain_value(value)
            taken[number] = given if known is None else _joined(known, given)

    def _place(self, name: str, value: Any, options: FieldOptions, taken: dict[int, FieldInput]) -> None:
        spatial = self._spatial.get(name)
        if spatial is None:
            given = None if options.spatial is None else options.spatial.to_json()
            spatial = self._spatial[name] = options_from(given)
        shape = spatial.indexed_shape(_place_value(value))
        if shape is None or not is_stored(shape):
            return
        for suffix, content in stored_values(shape, spatial).items():
            taken[self._part(name + suffix, exact=suffix in ("", SHAPE))] = content

    def _part(self, name: str, *, exact: bool) -> int:
        found = self._numbers.get(name)
        if found is None:
            found = self._numbers[name] = self._writer.field(name, exact=exact and not name.endswith((X, Y)))
        return found

    def _boost(self, name: str) -> int:
        found = self._numbers.get(name + BOOST)
        if found is None:
            found = self._numbers[name + BOOST] = self._writer.field(name + BOOST)
        return found

    def _number(self, name: str, options: FieldOptions) -> int:
        found = self._numbers.get(name)
        if found is None:
            analyzer = analyzer_of(name, options)
            if analyzer is None:
                found = self._writer.field(name, exact=options.is_exact)
            else:
                found = self._writer.field(name, text=True, analyzer=analyzer.for_index())
            self._numbers[name] = found
        return found


def plain_value(value: Any) -> FieldInput:
    """A value as the index takes it: lists are flat, objects are their JSON, numbers fit."""
    if value is None or isinstance(value, bool | str | float):
        return value
    if isinstance(value, int):
        return value if INTEGER_MIN <= value <= INTEGER_MAX else float(value)
    if isinstance(value, Decimal):
        whole = value == value.to_integral_value() and INTEGER_MIN <= value <= INTEGER_MAX
        return int(value) if whole else float(value)
    if isinstance(value, list | tuple):
        flat: list[Any] = []
        for each in value:
            given = plain_value(each)
            flat.extend(given) if isinstance(given, list) else flat.append(given)
        return flat
    return encode(value).decode()


def _joined(first: Any, second: Any) -> FieldInput:
    return [*(first if isinstance(first, list) else [first]), *(second if isinstance(second, list) else [second])]


def _is_place(value: Any) -> bool:
    if isinstance(value, list):
        return any(isinstance(each, Point | Shape) for each in value)
    return isinstance(value, Point | Shape)


def _place_value(value: Any) -> Any:
    if isinstance(value, Point):
        return [value.latitude, value.longitude]
    if isinstance(value, Shape):
        return value.wkt
    return [_place_value(each) for each in value] if isinstance(value, list) else value


def term_text(value: bool | int | float | str | None) -> str:
    """A term as people and clients read it: null, true, 1, 1.5, the text."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)
