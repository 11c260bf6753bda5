"""The meaning of expression trees once more, in plain Python: what the native evaluator must agree with.

Dates, decimals and marks are left to tests with given answers. A failure is Failed, whatever its text.
"""

from __future__ import annotations

import math
from typing import Any

from pynori.expr import tree

ENTRY = "the node of all entries of objects"
INTEGER_MIN, INTEGER_MAX = -(1 << 63), (1 << 63) - 1


class Failed(Exception):
    """The expression has no value for this document."""


class Missing:
    """What a member of nothing gives."""


MISSING = Missing()


class Made(dict[str, Any]):
    """An object that the expression made; `node` is what made it. It equals only what the same node made."""

    def __init__(self, values: dict[str, Any], node: object) -> None:
        super().__init__(values)
        self.node = node


def nothing(value: Any) -> bool:
    return value is None or value is MISSING


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def text_of(value: Any) -> str:
    if nothing(value):
        return ""
    if isinstance(value, bool):
        return "True" if value else "False"
    if isinstance(value, str | int):
        return str(value)
    raise Failed  # texts of doubles, objects and arrays are not drawn


def arithmetic(operator: str, left: Any, right: Any) -> Any:
    if is_number(left) and is_number(right):
        if operator in "/%" and isinstance(left, int) and isinstance(right, int):
            if right == 0:
                raise Failed
            quotient = abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1)
            return wrap(quotient if operator == "/" else left - right * quotient)
        if isinstance(left, int) and isinstance(right, int):
            return wrap({"+": left + right, "-": left - right, "*": left * right}[operator])
        a, b = float(left), float(right)
        try:
            if operator == "%":
                return math.fmod(a, b)
            return {"+": lambda: a + b, "-": lambda: a - b, "*": lambda: a * b, "/": lambda: a / b}[operator]()
        except (ZeroDivisionError, ValueError):
            return math.nan if operator == "%" or a == 0 or a != a else math.copysign(math.inf, a) * math.copysign(1, b)
    if operator == "+" and (isinstance(left, str) or isinstance(right, str)):
        return text_of(left) + text_of(right)
    if nothing(left) or nothing(right):
        return None if left is None or right is None else MISSING
    raise Failed


def wrap(value: int) -> int | float:
    return value if INTEGER_MIN <= value <= INTEGER_MAX else float(value)


def kind(value: Any) -> int:
    if nothing(value):
        return 0
    for number, types in enumerate((bool, (int, float), str, list), 1):
        if isinstance(value, types):
            return number
    return 5


def order(left: Any, right: Any) -> int | None:
    """-1, 0, 1, or None when there is none."""
    if kind(left) != kind(right) or left != left or right != right:
        return None
    if kind(left) == 0:
        return 0
    if kind(left) >= 4:
        return 0 if equal_within(left, right) else None
    return (left > right) - (left < right)


def equal_within(left: Any, right: Any) -> bool:
    if kind(left) != kind(right):
        return False
    if isinstance(left, list):
        return len(left) == len(right) and all(equal_within(a, b) for a, b in zip(left, right, strict=True))
    if getattr(left, "node", None) is not getattr(right, "node", None):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(equal_within(left[key], right[key]) for key in left)
    return order(left, right) == 0


def compare(node: tree.Compare, left: Any, right: Any) -> bool:
    result = order(left, right)
    if node.operator in ("==", "!="):
        return (result == 0) == (node.operator == "==")
    if result is None or nothing(left):
        return False
    return {"<": result < 0, "<=": result <= 0, ">": result > 0, ">=": result >= 0}[node.operator]


def items_of(value: Any) -> list[Any]:
    if nothing(value):
        return []
    if isinstance(value, list):
        return value
    if isinstance(value, dict) and not isinstance(value, Made):
        return [Made({"Key": key, "Value": item}, ENTRY) for key, item in value.items()]
    raise Failed


def substring(text: str, start: int, length: int | None) -> str:
    units = text.encode("utf-16-le")
    count = len(units) // 2
    if not 0 <= start <= count or (length is not None and not 0 <= length <= count - start):
        raise Failed
    end = count if length is None else start + length
    return units[2 * start : 2 * end].decode("utf-16-le")


def call(function: str, values: list[Any]) -> Any:
    first = values[0]
    if function == "concat":
        return items_of(first) + items_of(values[1])
    if function in ("distinct", "reverse", "take", "skip"):
        items = items_of(first)
        if function == "distinct":
            return distinct(items)
        if function == "reverse":
            return items[::-1]
        if type(values[1]) is not int:
            raise Failed
        count = max(values[1], 0)
        return items[:count] if function == "take" else items[count:]
    if nothing(first):
        return False if function in ("starts_with", "contains") else first
    if function == "to_string":
        return text_of(first)
    if not isinstance(first, str):
        raise Failed
    if function == "substring":
        if any(type(value) is not int for value in values[1:]):
            raise Failed
        return substring(first, values[1], values[2] if len(values) > 2 else None)
    other = text_of(values[1]) if len(values) > 1 else ""
    answers: dict[str, Any] = {
        "to_upper": lambda: first.upper(),
        "starts_with": lambda: first.startswith(other),
        "contains": lambda: other in first,
        "index_of": lambda: first.find(other),
        "trim": lambda: first.strip(" \t\n\r\v\f"),
    }
    return answers[function]()


def distinct(items: list[Any]) -> list[Any]:
    kept: list[Any] = []
    for item in items:
        if not any(order(item, other) == 0 for other in kept):
            kept.append(item)
    return kept


class Evaluator:
    """Evaluates trees over one document."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.variables: dict[str, Any] = {tree.INPUT: document}

    def value(self, node: tree.Expression) -> Any:
        match node:
            case tree.Literal():
                return node.value
            case tree.Variable():
                return self.variables[node.name]
            case tree.Member():
                source = self.value(node.source)
                return source.get(node.name, MISSING) if isinstance(source, dict) else MISSING
            case tree.Not():
                return self.value(node.operand) is not True
            case tree.And():
                return self.value(node.left) is True and self.value(node.right) is True
            case tree.Or():
                return self.value(node.left) is True or self.value(node.right) is True
            case tree.Conditional():
                return self.value(node.yes if self.value(node.test) is True else node.no)
            case tree.Coalesce():
                left = self.value(node.left)
                return self.value(node.right) if nothing(left) else left
            case tree.Arithmetic():
                return arithmetic(node.operator, self.value(node.left), self.value(node.right))
            case tree.Compare():
                return compare(node, self.value(node.left), self.value(node.right))
            case tree.Record():
                return Made({name: self.value(value) for name, value in node.fields}, node)
            case tree.Array():
                return [self.value(item) for item in node.items]
            case tree.Call():
                return call(node.function, [self.value(argument) for argument in node.arguments])
            case tree.Sequence():
                return self.sequence(node)
        raise AssertionError(f"the naive evaluator does not know {node}")

    def body(self, node: tree.Sequence, item: Any, index: int) -> Any:
        before = dict(self.variables)
        self.variables.update({node.parameters[0]: item, node.parameters[1]: index})
        value = item if node.body is None else self.value(node.body)
        self.variables = before
        return value

    def sequence(self, node: tree.Sequence) -> Any:
        items = items_of(self.value(node.source))
        function = node.function
        if function == "any" and node.body is not None:
            return any(self.body(node, item, index) is True for index, item in enumerate(items))
        if function == "all":
            return all(self.body(node, item, index) is True for index, item in enumerate(items))
        if function in ("first_or_null", "first"):
            for index, item in enumerate(items):
                if node.body is None or self.body(node, item, index) is True:
                    return item
            if function == "first":
                raise Failed
            return MISSING
        if node.body is None and function in ("any", "count"):
            return len(items) > 0 if function == "any" else len(items)
        values = [self.body(node, item, index) for index, item in enumerate(items)]
        if function == "select":
            return values
        if function == "where":
            return [item for item, value in zip(items, values, strict=True) if value is True]
        if function == "count":
            return sum(value is True for value in values)
        return aggregate(function, [value for value in values if not nothing(value)])


def aggregate(function: str, values: list[Any]) -> Any:
    if function in ("sum", "average"):
        if not all(is_number(value) for value in values):
            raise Failed
        if not values:
            return 0 if function == "sum" else None
        total = values[0]
        for value in values[1:]:
            total = arithmetic("+", total, value)
        return total if function == "sum" else arithmetic("/", float(total), len(values))
    if not values:
        return None
    best = values[0]
    for value in values[1:]:
        result = order(value, best)
        if result is None:
            raise Failed
        if (result < 0 and function == "min") or (result > 0 and function == "max"):
            best = value
    return best
