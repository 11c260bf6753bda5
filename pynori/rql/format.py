"""A tree back to text, in one canonical spelling: `parse(format_query(tree)) == tree` for every tree that a text gave.

Keywords are lower-case, clauses stand in a fixed order, names are quoted only where they must be, durations are written
out. Scripts are kept as they were. Logs, `explain` and definitions stored in the database record print this.
"""

from __future__ import annotations

from pynori.rql.ast import (
    And,
    Between,
    Call,
    Comparison,
    Duration,
    Expression,
    FunctionDeclaration,
    In,
    Literal,
    Load,
    Named,
    Not,
    Or,
    Order,
    OrderKind,
    Parameter,
    Path,
    Query,
    Select,
    SelectField,
    Source,
    SourceKind,
    TimeSeriesDeclaration,
    TimeSeriesQuery,
)
from pynori.rql.reader import RESERVED
from pynori.rql.tokens import BARE_NAME, quoted


def format_query(query: Query) -> str:
    """The canonical text of a query, one clause a line."""
    lines = [_declaration(each) for each in query.declarations]
    lines.append("from " + _source(query.source))
    if query.group_by:
        keys = (format_expression(key.expression) + _as(key.alias) for key in query.group_by)
        lines.append("group by " + ", ".join(keys))
    if query.where is not None:
        lines.append("where " + format_expression(query.where))
    if query.order_by:
        lines.append("order by " + ", ".join(map(_order, query.order_by)))
    if query.loads:
        lines.append("load " + ", ".join(map(_load, query.loads)))
    if query.filter is not None:
        lines.append("filter " + format_expression(query.filter))
    if query.select is not None:
        lines.append("select " + _select(query.select))
    if query.update is not None:
        lines.append("update " + query.update.text)
    if query.includes:
        lines.append("include " + ", ".join(map(format_expression, query.includes)))
    lines += _limits(query)
    return "\n".join(lines)


def format_expression(node: Expression) -> str:
    """The canonical text of one expression."""
    if isinstance(node, Path):
        return _path(node)
    if isinstance(node, Literal):
        return _literal(node)
    if isinstance(node, Parameter):
        return "$" + node.name
    if isinstance(node, Call):
        return f"{node.name}({', '.join(map(format_expression, node.arguments))})"
    if isinstance(node, Comparison):
        return f"{format_expression(node.left)} {node.operator} {format_expression(node.right)}"
    if isinstance(node, Between):
        low, high = format_expression(node.low), format_expression(node.high)
        return f"{format_expression(node.value)} between {low} and {high}"
    if isinstance(node, In):
        options = ", ".join(map(format_expression, node.options))
        return f"{format_expression(node.value)} {'all in' if node.every else 'in'} ({options})"
    if isinstance(node, And):
        return " and ".join(_operand(each, (And, Or)) for each in node.operands)
    if isinstance(node, Or):
        return " or ".join(_operand(each, (Or,)) for each in node.operands)
    if isinstance(node, Not):
        text = _operand(node.operand, (And, Or))
        # A field that is called like an operator would be read as one behind `not`.
        return f"not ({text})" if text.startswith(("in ", "between ", "all ")) else "not " + text
    if isinstance(node, Named):
        return format_expression(node.expression) + _as(node.name)
    if isinstance(node, Duration):
        return f"{node.count} {node.unit}{'s' if node.count > 1 else ''}"
    return f"timeseries({_series(node)})"


def _operand(node: Expression, in_brackets: tuple[type, ...]) -> str:
    text = format_expression(node)
    return f"({text})" if isinstance(node, in_brackets) else text


def _path(node: Path) -> str:
    if node.quoted:
        return quoted(node.text)
    return ".".join(part if BARE_NAME.fullmatch(part) else quoted(part) for part in node.parts)


def _literal(node: Literal) -> str:
    if isinstance(node.value, str):
        return quoted(node.value)
    if node.value is None:
        return "null"
    if isinstance(node.value, bool):
        return "true" if node.value else "false"
    return repr(node.value)


def _name(name: str) -> str:
    """A name that stands where no field may: bare if its parts are bare names and it is no keyword."""
    bare = all(BARE_NAME.fullmatch(part) for part in name.split(".")) and name.lower() not in RESERVED
    return name if bare else quoted(name)


def _as(alias: str | None) -> str:
    return "" if alias is None else " as " + _name(alias)


def _source(source: Source) -> str:
    if source.kind is SourceKind.ALL_DOCUMENTS:
        name = source.name
    elif source.kind is SourceKind.INDEX:
        name = "index " + quoted(source.name)
    else:
        name = quoted(source.name) if source.name.lower() == "index" else _name(source.name)
    return name + (" (Revisions = true)" if source.revisions else "") + _as(source.alias)


def _order(key: Order) -> str:
    text = format_expression(key.expression)
    if key.kind is not OrderKind.IMPLICIT:
        text += " as " + key.kind.value
    return text + (" desc" if key.descending else "") + (f" nulls {key.nulls}" if key.nulls else "")


def _load(load: Load) -> str:
    return f"{_path(load.path)} as {_name(load.alias + '[]' if load.array else load.alias)}"


def _select(select: Select) -> str:
    fields = _fields(select.fields) if select.script is None else select.script.text
    return ("distinct " if select.distinct else "") + fields


def _fields(fields: tuple[SelectField, ...]) -> str:
    return ", ".join(format_expression(each.expression) + _as(each.alias) for each in fields)


def _limits(query: Query) -> list[str]:
    lines = []
    if query.take is not None:
        skip = "" if query.skip is None else format_expression(query.skip) + ", "
        lines.append(f"limit {skip}{format_expression(query.take)}")
    elif query.skip is not None:
        lines.append("offset " + format_expression(query.skip))
    if query.filter_limit is not None:
        lines.append("filter_limit " + format_expression(query.filter_limit))
    return lines


def _declaration(declaration: FunctionDeclaration | TimeSeriesDeclaration) -> str:
    head = f"{declaration.name}({', '.join(declaration.parameters)})"
    if isinstance(declaration, TimeSeriesDeclaration):
        return f"declare timeseries {head} {{ {_series(declaration.query)} }}"
    return f"declare function {head} {declaration.body}"


def _series(series: TimeSeriesQuery) -> str:
    parts = ["from " + format_expression(series.source) + _as(series.alias)]
    if series.low is not None and series.high is not None:
        parts.append(f"between {format_expression(series.low)} and {format_expression(series.high)}")
    if series.edge is not None and series.span is not None:
        parts.append(f"{series.edge} {format_expression(series.span)}")
    if series.load is not None:
        parts.append("load " + _load(series.load))
    if series.where is not None:
        parts.append("where " + format_expression(series.where))
    if series.group_by:
        parts.append("group by " + ", ".join(map(format_expression, series.group_by)))
    if series.interpolation is not None:
        parts.append(f"with interpolation({series.interpolation})")
    if series.select:
        parts.append("select " + _fields(series.select))
    if series.scale is not None:
        parts.append("scale " + format_expression(series.scale))
    if series.offset is not None:
        parts.append("offset " + format_expression(series.offset))
    return " ".join(parts)
