"""From tree to program: the bytes that `pynori_core.expr` checks and evaluates.

Nodes are written operands first, so each node's number is higher than those of its operands. Variables get numbers by
the depth of their scopes. The layout of the bytes is that of ProgramHeader and Node in ext/pynori_core/expr_eval.pxd.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from decimal import Decimal

from pynori_core.expr import FUNCTIONS, OPERATIONS, PROPERTIES, Program

from pynori.expr import tree
from pynori.expr.fold import fold
from pynori.expr.tree import Expression, Node, Stage

NO_OPERAND = 0xFFFFFFFF
NODE = struct.Struct("<BBHIIII")
HEADER = struct.Struct("<4s7I")
FIRST_VARIABLE = 2  # VARIABLES_GIVEN: before it are INPUT and PARAMETERS
INTEGER_MIN, INTEGER_MAX = -(1 << 63), (1 << 63) - 1
DECIMAL_DIGITS = 18
DEPTH_MAX = 160  # PROGRAM_DEPTH_MAX


class TooDeep(ValueError):
    """The tree is nested deeper than a program may be."""


def compile(node: Node) -> Program:
    """The program of a map, a condition or a value. Raises: TooDeep, ValueError for what no program can hold."""
    return Program(program_bytes(node))


def program_bytes(node: Node) -> bytes:
    """As `compile`, unchecked."""
    writer = _Writer()
    root = writer.write(fold(node), 1)
    return writer.finish(root)


class _Writer:
    """Collects the parts of one program."""

    def __init__(self) -> None:
        self.nodes: list[bytes] = []
        self.words: list[int] = []
        self.texts: dict[str, int] = {}
        self.fields: dict[str, int] = {}
        self.scope: dict[str, int] = {tree.INPUT: 0, tree.PARAMETERS: 1}
        self.next_variable = FIRST_VARIABLE
        self.variables = FIRST_VARIABLE

    def text(self, value: str) -> int:
        return self.texts.setdefault(value, len(self.texts))

    def add(
        self, operation: str, node: Node, a: int = 0, b: int = 0, c: int = 0, number: int = 0, flags: int = 0
    ) -> int:  # fmt: skip
        self.nodes.append(NODE.pack(OPERATIONS[operation][0], flags, number, a, b, c, node.position & 0xFFFFFFFF))
        return len(self.nodes) - 1

    def list(self, words: Iterable[int]) -> tuple[int, int]:
        """Place of new words; corrected in `finish` by the words of the fields, which come first."""
        start = len(self.words)
        self.words.extend(words)
        return start, len(self.words) - start

    # ---- scopes

    def bind(self, names: tuple[str, ...]) -> tuple[int, dict[str, int], int]:
        """Bind consecutive variables; what `leave` needs to undo it."""
        before = self.scope, self.next_variable
        first = self.next_variable
        self.scope = dict(self.scope)
        for offset, name in enumerate(names):
            if name:
                self.scope[name] = first + offset
        self.next_variable += len(names)
        self.variables = max(self.variables, self.next_variable)
        return first, *before

    def leave(self, bound: tuple[int, dict[str, int], int]) -> None:
        _, self.scope, self.next_variable = bound

    # ---- nodes

    def write(self, node: Node, depth: int) -> int:
        if depth > DEPTH_MAX:
            raise TooDeep(f"the expression is nested deeper than {DEPTH_MAX} levels")
        if isinstance(node, tree.STAGES):
            return self.stage(node, depth)
        if isinstance(node, tree.Literal):
            return self.literal(node)
        if isinstance(node, tree.Variable):
            return self.add("variable", node, number=self.scope[node.name])
        if isinstance(node, tree.Sequence):
            return self.sequence(node, depth)
        if isinstance(node, tree.Record | tree.Array | tree.Call):
            return self.listed(node, depth)
        return self.plain(node, depth)

    def plain(self, node: Expression, depth: int) -> int:
        """Nodes whose operands are its children, in order."""
        operands = [self.write(child, depth + 1) for child in tree.children(node)]
        a, b, c = (*operands, *[0] * (3 - len(operands)))
        absent = NO_OPERAND if len(operands) < 2 else b
        match node:
            case tree.Member():
                number = 0 if node.every else PROPERTIES.get(node.name, 0)
                return self.add("member", node, a, self.text(node.name), number=number, flags=int(node.every))
            case tree.Arithmetic():
                return self.add("arithmetic", node, a, b, flags=tree.ARITHMETIC[node.operator])
            case tree.Compare():
                flags = int(node.ignore_case) | int(node.terms) << 1
                return self.add("compare", node, a, b, number=tree.COMPARISONS[node.operator], flags=flags)
            case tree.Cast():
                return self.add("cast", node, a, flags=tree.CASTS[node.type])
            case tree.Load():
                return self.add("load", node, a, absent)
            case tree.Mark():
                return self.add("mark", node, a, absent, flags=tree.MARKS[node.kind])
        return self.add(_PLAIN[type(node)], node, a, b, c)

    def literal(self, node: tree.Literal) -> int:
        value = node.value
        if value is None:
            return self.add("null", node)
        if isinstance(value, bool):
            return self.add("bool", node, int(value))
        if isinstance(value, str):
            return self.add("text", node, self.text(value))
        if isinstance(value, Decimal):
            sign, digits, exponent = value.as_tuple()
            mantissa = int("".join(map(str, digits))) * (-1 if sign else 1)
            if isinstance(exponent, int) and -DECIMAL_DIGITS <= exponent <= 0 and len(digits) <= DECIMAL_DIGITS:
                return self.add("decimal", node, mantissa & 0xFFFFFFFF, mantissa >> 32 & 0xFFFFFFFF, -exponent)
            value = float(value)
        if isinstance(value, int) and INTEGER_MIN <= value <= INTEGER_MAX:
            return self.add("integer", node, value & 0xFFFFFFFF, value >> 32 & 0xFFFFFFFF)
        return self.add("double", node, *struct.unpack("<II", struct.pack("<d", float(value))))

    def listed(self, node: tree.Record | tree.Array | tree.Call, depth: int) -> int:
        if isinstance(node, tree.Record):
            words = []
            for name, child in node.fields:
                words += [self.text(name), self.write(child, depth + 1)]
            return self.add("record", node, self.list(words)[0], len(node.fields))
        children = node.items if isinstance(node, tree.Array) else node.arguments
        operands = [self.write(child, depth + 1) for child in children]
        start, count = self.list(operands)
        if isinstance(node, tree.Array):
            return self.add("array", node, start, count)
        number = FUNCTIONS[node.function][0]
        return self.add("call", node, start, count, number=number, flags=int(node.ignore_case) | int(node.terms) << 1)

    def sequence(self, node: tree.Sequence, depth: int) -> int:
        source = self.write(node.source, depth + 1)
        bound = self.bind(node.parameters)
        body = NO_OPERAND if node.body is None else self.write(node.body, depth + 1)
        second = NO_OPERAND if node.second is None else self.write(node.second, depth + 1)
        self.leave(bound)
        flags = tree.SEQUENCES[node.function]
        return self.add("sequence", node, source, body, second, number=bound[0], flags=flags)

    def stage(self, node: Stage, depth: int) -> int:
        if isinstance(node, tree.Output):
            words = []
            for name, child in node.fields:
                number = self.fields.setdefault(name, len(self.fields))
                words += [number, self.write(child, depth + 1)]
            return self.add("output", node, self.list(words)[0], len(node.fields))
        if isinstance(node, tree.Filter):
            condition = self.write(node.condition, depth + 1)
            return self.add("filter", node, condition, self.write(node.next, depth + 1))
        names = (node.name,) if isinstance(node, tree.Let) else (node.name, node.index_name)
        value = self.write(node.value if isinstance(node, tree.Let) else node.source, depth + 1)
        bound = self.bind(names)
        following = self.write(node.next, depth + 1)
        self.leave(bound)
        return self.add("let" if isinstance(node, tree.Let) else "each", node, value, following, number=bound[0])

    def finish(self, root: int) -> bytes:
        words = [self.text(name) for name in self.fields]
        places, pool = [], bytearray()
        for text in self.texts:
            encoded = text.encode("utf-8", "surrogatepass")
            places += [len(pool), len(encoded)]
            pool += encoded
        header = HEADER.pack(
            b"PXP1", len(self.nodes), len(words) + len(self.words), len(self.texts), len(pool), self.variables,
            len(self.fields), root,
        )  # fmt: skip
        nodes = b"".join(_moved(node, len(words)) for node in self.nodes)
        words += self.words
        lists = struct.pack(f"<{len(words)}I", *words)
        return b"".join((header, nodes, lists, struct.pack(f"<{len(places)}I", *places), pool))


def _moved(node: bytes, words: int) -> bytes:
    """The node with its list behind the words of the fields."""
    operation, flags, number, a, b, c, position = NODE.unpack(node)
    if operation not in _LISTED:
        return node
    return NODE.pack(operation, flags, number, a + words, b, c, position)


_LISTED = {OPERATIONS[name][0] for name in ("record", "array", "call", "output")}
_PLAIN: dict[type, str] = {
    tree.Index: "index",
    tree.Metadata: "metadata",
    tree.DocumentId: "id",
    tree.Not: "not",
    tree.Negate: "negate",
    tree.And: "and",
    tree.Or: "or",
    tree.Conditional: "conditional",
    tree.Coalesce: "coalesce",
}
