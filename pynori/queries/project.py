"""From rows to the JSON of results: whole documents, chosen fields, or what a script makes of them.

Fields are cut out of the documents' text, so that numbers keep their digits. A projection says so in its metadata
(`@projection`), beside what the document's own metadata say. Rows come in batches, because scripts want them so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pynori.errors import InvalidQuery
from pynori.queries.names import grouped_path, key_path
from pynori.queries.paths import METADATA, RawObject, cut, texts_at
from pynori.queries.request import ProjectionBehavior
from pynori.queries.rows import Row
from pynori.queries.text import encode, quoted, with_metadata
from pynori.queries.values import Values
from pynori.rql.ast import (
    Call,
    Expression,
    FunctionDeclaration,
    Literal,
    Load,
    Parameter,
    Path,
    Query,
    SelectField,
    as_path,
)

NULL = b"null"
# What gives the JSON of one field of a row; None: the field is left out.
Getter = Callable[[Row], bytes | None]


class Projector(Protocol):
    """Makes results of rows. A document that has gone gives None."""

    def render(self, rows: Sequence[Row]) -> list[bytes | None]: ...


class ScriptRunner(Protocol):
    """Runs JavaScript over rows: the text of an expression, with the source's alias and those of `load` as names."""

    def run(self, rows: Sequence[Row]) -> list[bytes]: ...


@dataclass(frozen=True, slots=True)
class Sources:
    """What projections read from beside the documents.

    script: makes a runner of an expression in JavaScript. kept: whether rows hold fields that the index keeps.
    """

    values: Values
    script: Callable[[str], ScriptRunner]
    kept: bool = False
    behavior: ProjectionBehavior = ProjectionBehavior.DEFAULT
    # Distinct results tell of no document: their metadata is the same for all, so that equal ones are equal text.
    distinct: bool = False

    def metadata(self, row: Row) -> bytes:
        """The metadata of a projection: that of its document, and that it is one."""
        raw = None if self.distinct or row.is_group else row.fields.get(METADATA)
        if raw is None:
            return b'{"@projection":true}'
        more = b',"@projection":true'
        if row.score is not None:
            more += b',"@index-score":' + encode(row.score)
        return bytes(raw)[:-1] + more + b"}"


def projector_of(query: Query, sources: Sources) -> Projector:
    """What makes results of the query's rows. Raises InvalidQuery."""
    select = query.select
    if select is None:
        return WholeDocuments()
    if select.script is not None:
        return ScriptResults(sources.script(select.script.text), sources)
    if len(select.fields) == 1 and select.fields[0].alias is None:
        single = _single(select.fields[0].expression, query, sources)
        if single is not None:
            return single
    return Fields(query, select.fields, sources)


def _single(expression: Expression, query: Query, sources: Sources) -> Projector | None:
    """A select of nothing but the source's alias, a loaded document, or a call of a declared function."""
    if isinstance(expression, Call):
        declared = {each.name for each in query.declarations if isinstance(each, FunctionDeclaration)}
        if expression.name in declared:
            return ScriptResults(sources.script(script_text(expression)), sources)
    if isinstance(expression, Path) and len(expression.parts) == 1 and not expression.quoted:
        name = expression.parts[0]
        if name == query.source.alias:
            return WholeDocuments()
        if name in (load.alias for load in query.loads):
            return LoadedWhole(name)
    return None


def script_text(call: Call) -> str:
    """A call of a declared function as JavaScript."""
    return f"{call.name}({', '.join(_script_argument(each) for each in call.arguments)})"


def _script_argument(expression: Expression) -> str:
    if isinstance(expression, Path):
        return expression.text
    if isinstance(expression, Parameter):
        return "$" + expression.name
    if isinstance(expression, Literal):
        return encode(expression.value).decode()
    if isinstance(expression, Call):
        return script_text(expression)
    raise InvalidQuery("a declared function takes fields, values and calls as arguments")


# ---------------------------------------------------------------- whole documents


class WholeDocuments:
    """Documents as they are, with score and distance in their metadata where there are any."""

    def render(self, rows: Sequence[Row]) -> list[bytes | None]:
        return [self._one(row) for row in rows]

    def _one(self, row: Row) -> bytes | None:
        json = row.json
        if json is not None and row.is_group and METADATA not in row.fields:
            # Clients look into the metadata of every result, also of one that stands for no document.
            return json[:-1] + (b"," if row.fields else b"") + b'"@metadata":{"@projection":true}}'
        if json is None or (row.score is None and row.distance is None):
            return json
        more = []
        if row.score is not None:
            more.append(b'"@index-score":' + encode(row.score))
        if row.distance is not None:
            more.append(b'"@spatial":' + encode({"Distance": row.distance}))
        return with_metadata(json, b",".join(more))


class MetadataOnly:
    """Nothing of documents but their metadata."""

    def render(self, rows: Sequence[Row]) -> list[bytes | None]:
        return [
            None if row.json is None else b'{"@metadata":%b}' % bytes(row.fields.get(METADATA, b"{}")) for row in rows
        ]


class LoadedWhole:
    """One loaded document for each row."""

    def __init__(self, alias: str) -> None:
        self._alias = alias

    def render(self, rows: Sequence[Row]) -> list[bytes | None]:
        return [loaded_json(row, self._alias) for row in rows]


def loaded_json(row: Row, alias: str) -> bytes:
    """A loaded document (or an array of them) as JSON."""
    found = row.loaded.get(alias)
    if found is None:
        return NULL
    return encode(found)


# ---------------------------------------------------------------- fields


class Fields:
    """Chosen fields under their names, and metadata."""

    def __init__(self, query: Query, fields: Sequence[SelectField], sources: Sources) -> None:
        self._sources = sources
        self._query = query
        self._grouped = bool(query.group_by)
        self._alias = query.source.alias
        self._loads = {load.alias for load in query.loads}
        self._declared = {each.name for each in query.declarations if isinstance(each, FunctionDeclaration)}
        self._getters = [(quoted(self._name(each)) + b":", self._getter(each)) for each in fields]
        self._scripts = [getter for _, getter in self._getters if isinstance(getter, ScriptGetter)]

    def render(self, rows: Sequence[Row]) -> list[bytes | None]:
        for script in self._scripts:
            script.prepare(rows)
        return [None if row.json is None else self._one(row) for row in rows]

    def _one(self, row: Row) -> bytes:
        pieces = []
        for name, getter in self._getters:
            value = getter(row)
            if value is not None:
                pieces.append(name + value)
        pieces.append(b'"@metadata":' + self._sources.metadata(row))
        return b"{" + b",".join(pieces) + b"}"

    def _name(self, selected: SelectField) -> str:
        if selected.alias is not None:
            return selected.alias
        expression = selected.expression
        if isinstance(expression, Path):
            return expression.without(self._alias).text
        if isinstance(expression, Call):
            if self._grouped:
                return self._group_name(expression)
            return "Id" if expression.name == "id" else expression.name
        if isinstance(expression, Literal):
            return str(expression.value)
        if isinstance(expression, Parameter):
            return expression.name
        raise InvalidQuery("this expression of select needs a name: write `as name` behind it")

    def _group_name(self, call: Call) -> str:
        """What a key or an aggregation is called where the query gives it no name: the field that it is about."""
        if call.name == "key" and len(self._query.group_by) > 1:
            return "Key"
        path = grouped_path(call, self._query)
        return call.name if path is None else path.text

    def _getter(self, selected: SelectField) -> Getter:
        expression = selected.expression
        if isinstance(expression, Literal) and selected.alias is None:
            # A name that is a keyword too has to be quoted.
            expression = as_path(expression) or expression
        if self._grouped:
            return self._group_getter(expression)
        if isinstance(expression, Path):
            return self._path_getter(expression)
        if isinstance(expression, Literal | Parameter):
            constant = encode(self._sources.values.of(expression))
            return lambda row: constant
        if isinstance(expression, Call):
            return self._call_getter(expression)
        raise InvalidQuery("select takes fields, values and calls")

    def _group_getter(self, expression: Expression) -> Getter:
        """A key or an aggregation of a group, whose properties are named by paths as a whole."""
        query = self._query
        if isinstance(expression, Call) and expression.name == "key" and len(query.group_by) > 1:
            names = [key_path(query, number).text for number in range(len(query.group_by))]
            pieces = [(quoted(name) + b":", name) for name in names]
            return lambda row: b"{%b}" % b",".join(head + bytes(row.fields.get(name, NULL)) for head, name in pieces)
        path = grouped_path(expression, query) or as_path(expression)
        if path is None:
            raise InvalidQuery("a grouping has its keys, count(), sum(), min(), max() and avg()")
        text = path.without(self._alias).text
        lowered = text.lower()

        def get(row: Row) -> bytes:
            found = row.fields.get(text)
            if found is None:
                found = next((each for name, each in row.fields.items() if name.lower() == lowered), None)
            return NULL if found is None else bytes(found)

        return get

    def _path_getter(self, path: Path) -> Getter:
        parts = path.parts
        if parts[0] in self._loads and not path.quoted:
            if len(parts) == 1:
                return lambda row: loaded_json(row, parts[0])
            return lambda row: loaded_field(row, parts)
        if parts == (self._alias,):
            return lambda row: row.json
        own = path.without(self._alias)
        if not self._sources.kept:
            return lambda row: cut(row.fields, own.parts) or NULL
        return self._kept_getter(own, self._sources.behavior)

    def _kept_getter(self, path: Path, behavior: ProjectionBehavior) -> Getter:
        """What the index keeps of a field, else the document's, unless it is to come from the index."""
        joined = path.text.replace("[]", "").replace(".", "_")

        def get(row: Row) -> bytes | None:
            value = row.kept_field(path.text) or row.kept_field(joined)
            if value is not None:
                return value
            if behavior is ProjectionBehavior.FROM_INDEX_OR_THROW:
                raise InvalidQuery(f"the field '{path.text}' is not stored in the index")
            if behavior is ProjectionBehavior.FROM_INDEX:
                return None
            return cut(row.fields, path.parts) or NULL

        return get

    def _call_getter(self, call: Call) -> Getter:
        name = call.name
        if name == "id":
            return self._id_getter(call)
        if name in self._declared:
            return ScriptGetter(self._sources.script(script_text(call)))
        if name == "score":
            return lambda row: encode(row.score)
        if name in ("counter", "counterRaw", "timeseries"):
            return lambda row: NULL
        if name in ("cmpxchg", "now", "today"):
            constant = encode(self._sources.values.of(call))
            return lambda row: constant
        raise InvalidQuery(f"{name}() is not known in select")

    def _id_getter(self, call: Call) -> Getter:
        argument = call.arguments[0] if call.arguments else None
        if isinstance(argument, Path) and argument.parts[0] in self._loads:
            metadata_id = (argument.parts[0], METADATA, "@id")
            return lambda row: loaded_field(row, metadata_id)
        return lambda row: quoted(row.id)


def loaded_field(row: Row, parts: Sequence[str]) -> bytes:
    """A field of a loaded document; an array of fields for an array of documents."""
    found = row.loaded.get(parts[0])
    if found is None:
        return NULL
    if isinstance(found, list):
        return b"[" + b",".join(cut(each, parts[1:]) or NULL for each in found) + b"]"
    return cut(found, parts[1:]) or NULL


# ---------------------------------------------------------------- scripts


class ScriptGetter:
    """A field that a declared function gives; it runs once for a batch of rows."""

    def __init__(self, runner: ScriptRunner) -> None:
        self._runner = runner
        self._results: dict[int, bytes] = {}

    def prepare(self, rows: Sequence[Row]) -> None:
        present = [row for row in rows if row.json is not None]
        self._results = {id(row): result for row, result in zip(present, self._runner.run(present), strict=True)}

    def __call__(self, row: Row) -> bytes:
        return self._results[id(row)]


class ScriptResults:
    """Whole results made by a script; objects get metadata."""

    def __init__(self, runner: ScriptRunner, sources: Sources) -> None:
        self._runner = runner
        self._sources = sources

    def render(self, rows: Sequence[Row]) -> list[bytes | None]:
        present = [row for row in rows if row.json is not None]
        made = iter(self._runner.run(present))
        return [None if row.json is None else self._finish(row, next(made)) for row in rows]

    def _finish(self, row: Row, result: bytes) -> bytes | None:
        if not result.startswith(b"{"):
            return None if result == NULL else result
        if b'"@metadata"' in result:
            return result
        separator = b"" if result == b"{}" else b","
        return result[:-1] + separator + b'"@metadata":' + self._sources.metadata(row) + b"}"


# ---------------------------------------------------------------- load


def load_documents(row: Row, loads: Sequence[Load], source_alias: str | None) -> None:
    """Fill `row.loaded` with the documents that `load` names; later ones may start from earlier ones."""
    for load in loads:
        parts = load.path.without(source_alias).parts
        start: RawObject | list[RawObject] | None = row.fields
        if load.path.parts[0] in row.loaded:
            start, parts = row.loaded[load.path.parts[0]], load.path.parts[1:]
        ids = _ids_below(start, parts)
        if load.array:
            row.loaded[load.alias] = [found for found in map(row.load, ids) if found is not None]
        else:
            row.loaded[load.alias] = row.load(ids[0]) if ids else None


def _ids_below(start: Any, parts: Sequence[str]) -> list[str]:
    if start is None:
        return []
    return [id for each in (start if isinstance(start, list) else [start]) for id in texts_at(each, parts)]
