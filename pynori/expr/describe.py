"""A tree as text, one stage a line: for transcripts of tests and for explanations."""

from __future__ import annotations

from pynori.expr import tree
from pynori.expr.tree import Expression, Node


def describe(node: Node) -> str:
    """The tree in a notation near to C#. Not meant to be read back."""
    lines: list[str] = []
    while True:
        match node:
            case tree.Let():
                lines.append(f"let {node.name} = {expression_text(node.value)}")
                node = node.next
            case tree.Filter():
                lines.append(f"where {expression_text(node.condition)}")
                node = node.next
            case tree.Each():
                index = f", {node.index_name}" if node.index_name else ""
                lines.append(f"each {node.name}{index} in {expression_text(node.source)}")
                node = node.next
            case tree.Output():
                lines += [f"output {name} = {expression_text(value)}" for name, value in node.fields]
                return "\n".join(lines)
            case _:
                return expression_text(node)


def expression_text(node: Expression) -> str:
    """One expression on one line."""
    match node:
        case tree.Literal(value=None):
            return "null"
        case tree.Literal(value=bool() as value):
            return "true" if value else "false"
        case tree.Literal(value=str() as value):
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        case tree.Literal():
            return str(node.value)
        case tree.Variable():
            return node.name
        case tree.Member():
            return f"{expression_text(node.source)}{'[]' if node.every else ''}.{node.name}"
        case tree.Index():
            return f"{expression_text(node.source)}[{expression_text(node.key)}]"
        case tree.Arithmetic() | tree.Compare():
            notes = "~" if isinstance(node, tree.Compare) and node.ignore_case else ""
            notes += "*" if isinstance(node, tree.Compare) and node.terms else ""
            return f"({expression_text(node.left)} {node.operator}{notes} {expression_text(node.right)})"
        case tree.And() | tree.Or() | tree.Coalesce():
            word = {tree.And: "&&", tree.Or: "||", tree.Coalesce: "??"}[type(node)]
            return f"({expression_text(node.left)} {word} {expression_text(node.right)})"
        case tree.Conditional():
            parts = (node.test, node.yes, node.no)
            test, yes, no = (expression_text(part) for part in parts)
            return f"({test} ? {yes} : {no})"
    return _call_text(node)


def _call_text(node: Expression) -> str:
    """Nodes that read best as a call of what they do."""
    match node:
        case tree.Record():
            return "{" + ", ".join(f"{name}: {expression_text(value)}" for name, value in node.fields) + "}"
        case tree.Array():
            return "[" + ", ".join(map(expression_text, node.items)) + "]"
        case tree.Cast():
            return f"{node.type}({expression_text(node.operand)})"
        case tree.Sequence():
            names = ", ".join(name for name in node.parameters if name)
            bodies = [f"{names} => {expression_text(body)}" for body in (node.body, node.second) if body is not None]
            return f"{expression_text(node.source)}.{node.function}({'; '.join(bodies)})"
    if isinstance(node, tree.Call):
        name = node.function + ("~" if node.ignore_case else "")
    elif isinstance(node, tree.Mark):
        name = node.kind
    else:
        name = type(node).__name__.lower()
    parts = [expression_text(child) for child in tree.children(node) if not isinstance(child, tree.STAGES)]
    return f"{name}({', '.join(parts)})"
