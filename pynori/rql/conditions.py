"""Conditions, values, paths, calls, and lists of these: the rules of GRAMMAR.md below its clauses, one method each."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from pynori.errors import InvalidQuery
from pynori.limits import RQL_IN_TERMS_MAX
from pynori.rql import tokens
from pynori.rql.ast import (
    FUNCTIONS,
    And,
    Between,
    Call,
    Comparison,
    Expression,
    In,
    Literal,
    Load,
    Named,
    Not,
    Or,
    Parameter,
    Path,
    SelectField,
    split_path,
)
from pynori.rql.reader import RESERVED, TokenReader
from pynori.rql.series import TimeSeriesParser
from pynori.rql.tokens import END, NAME, NUMBER, OPERATOR, PARAMETER, PUNCTUATION, STRING

COMPARISONS: Final = {"=": "=", "==": "=", "!=": "!=", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_CONSTANTS: Final[dict[str, bool | None]] = {"true": True, "false": False, "null": None}
_INTEGER_DIGITS_MAX: Final = 18  # what surely fits 64 bits; longer numbers are read as floating point where they do not


class ConditionParser(TokenReader):
    """Reads expressions. `declared`: the names of the functions that the query declares."""

    __slots__ = ("declared",)

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.declared: set[str] = set()

    def boolean(self, node: Expression) -> Expression:
        """The node, if it can be true or false."""
        if isinstance(node, Comparison | And | Or | Not | Call | In | Between):
            return node
        if isinstance(node, Literal) and isinstance(node.value, bool):
            return node
        if isinstance(node, Path):
            raise self.failed("an operator (=, !=, <, <=, >, >=, in, all in, between)")
        raise self.failed_at(node, "a condition")

    def condition(self) -> Expression:
        """`conjunction or conjunction or ...`; also any operand that stands alone, for arguments."""
        start = self.position()
        first = self.conjunction()
        kind, token_text, _ = self.tokens[self.index]
        if not (token_text == "||" if kind == OPERATOR else kind == NAME and token_text.lower() == "or"):
            return first
        operands = [self.boolean(first)]
        while self.take_word("or") or self._take_operator("||"):
            operands.append(self.boolean(self.conjunction()))
        return Or(tuple(operands), start)

    def conjunction(self) -> Expression:
        """`negation and negation and ...`."""
        start = self.position()
        first = self.negation()
        kind, token_text, _ = self.tokens[self.index]
        if not (token_text == "&&" if kind == OPERATOR else kind == NAME and token_text.lower() == "and"):
            return first
        operands = [self.boolean(first)]
        while self.take_word("and") or self._take_operator("&&"):
            operands.append(self.boolean(self.negation()))
        return And(tuple(operands), start)

    def _take_operator(self, operator: str) -> bool:
        kind, token_text, _ = self.tokens[self.index]
        if kind == OPERATOR and token_text == operator:
            self.index += 1
            return True
        return False

    def negation(self) -> Expression:
        """`not condition`, `(condition)`, or a comparison."""
        kind, token_text, start = self.tokens[self.index]
        if kind == PUNCTUATION and token_text == "(":
            self.deeper()
            self.index += 1
            inner = self.boolean(self.condition())
            self.expect(")")
            self.depth -= 1
            return inner
        if kind == NAME and token_text.lower() == "not" and not self._reads_as_name():
            self.deeper()
            self.index += 1
            inner = self.boolean(self.negation())
            self.depth -= 1
            return Not(inner, start)
        return self.comparison()

    def comparison(self) -> Expression:
        """`operand`, `field = value`, `field in (values)`, `field all in (values)`, `field between low and high`."""
        left = self.operand()
        kind, token_text, start = self.tokens[self.index]
        if kind == OPERATOR:
            operator = COMPARISONS.get(token_text)
            if operator is None:
                return left
            left = self._left_side(left)
            self.index += 1
            return Comparison(operator, left, self.operand(), start)
        if kind != NAME:
            return left
        keyword = token_text.lower()
        if keyword == "in":
            return self._in(left, every=False)
        if keyword == "between":
            return self._between(left)
        if keyword == "all":
            self.index += 1
            if self.word() != "in":
                raise self.failed("'in'")
            return self._in(left, every=True)
        if keyword == "not":
            self.index += 1
            if self.word() not in ("in", "between"):
                raise self.failed("'in' or 'between'")
            inner = self._in(left, every=False) if self.word() == "in" else self._between(left)
            return Not(inner, start)
        return left

    def _left_side(self, node: Expression) -> Expression:
        """What is compared: a field (also one in quotes) or a function, never a value."""
        if isinstance(node, Path | Call):
            return node
        if isinstance(node, Literal) and isinstance(node.value, str) and node.value:
            return Path(split_path(node.value), True, node.position)
        raise self.failed_at(node, "a field before the operator")

    def _in(self, left: Expression, every: bool) -> In:
        start = self.position()
        self.index += 1
        left = self._left_side(left)
        if self.tokens[self.index][0] == PARAMETER:
            return In(left, (self.operand(),), every, start)
        self.expect("(")
        options: list[Expression] = []
        while not self.at(")"):
            if options:
                self.expect(",")
                if self.at(")"):
                    break
            if len(options) >= RQL_IN_TERMS_MAX:
                raise self.failed(f"at most {RQL_IN_TERMS_MAX} values (RQL_IN_TERMS_MAX); a parameter may hold more")
            options.append(self.operand())
        self.index += 1
        return In(left, tuple(options), every, start)

    def _between(self, left: Expression) -> Between:
        start = self.position()
        self.index += 1
        left = self._left_side(left)
        low = self.operand()
        if not (self.take_word("and") or self._take_operator("&&")):
            raise self.failed("'and'")
        return Between(left, low, self.operand(), start)

    # ------------------------------------------------------------ operands

    def operand(self) -> Expression:
        """A value, a field or a call."""
        kind, token_text, start = self.tokens[self.index]
        if kind == NAME:
            if self.next_is("("):
                return self.call()
            lower = token_text.lower()
            if lower in _CONSTANTS and not self.next_is("."):
                self.index += 1
                return Literal(_CONSTANTS[lower], start)
            return self.path()
        if kind == PARAMETER:
            self.index += 1
            return Parameter(token_text[1:], start)
        if kind == STRING:
            if self.next_is("."):
                return self.path()
            self.index += 1
            return Literal(tokens.unquote(token_text), start)
        if kind == NUMBER:
            self.index += 1
            return Literal(self._number(token_text, start), start)
        raise self.failed("a value, a field or a function")

    def _number(self, token_text: str, position: int) -> int | float:
        if token_text.lstrip("-").isdecimal():
            if len(token_text) <= _INTEGER_DIGITS_MAX:
                return int(token_text)
            if len(token_text) <= 20 and -(2**63) <= int(token_text) < 2**63:
                return int(token_text)
        number = float(token_text)
        if number in (float("inf"), float("-inf")):
            raise InvalidQuery.at(self.text, position, repr(token_text), "a number that fits 64 bits")
        return number

    def path(self) -> Path:
        """`a.b`, `'quoted name'`, `a.'quoted'.b`; keywords too where they read as names."""
        kind, token_text, start = self.tokens[self.index]
        if kind == NAME:
            if token_text.lower() in RESERVED and not self._reads_as_name():
                raise self.failed("a field")
            parts = split_path(token_text)
        elif kind == STRING and len(token_text) > 2:
            parts = split_path(tokens.unquote(token_text))
            if not self.next_is("."):
                self.index += 1
                return Path(parts, True, start)
        else:
            raise self.failed("a field")
        self.index += 1
        while self.take("."):
            kind, token_text, _ = self.tokens[self.index]
            if kind not in (NAME, STRING) or (kind == STRING and len(token_text) <= 2):
                raise self.failed("a name")
            parts += split_path(tokens.unquote(token_text) if kind == STRING else token_text)
            self.index += 1
        if "" in parts:
            raise InvalidQuery.at(self.text, start, "a path with an empty name", "a name between the dots")
        return Path(parts, False, start)

    def _reads_as_name(self) -> bool:
        """Whether the current keyword, standing where a field is awaited, is one by what follows it."""
        if self.index + 1 == len(self.tokens):
            return False
        kind, token_text, _ = self.tokens[self.index + 1]
        if kind == OPERATOR:
            return token_text in COMPARISONS
        if kind == PUNCTUATION:
            return token_text in ",.)"
        if kind != NAME:
            return kind == END
        following = token_text.lower()
        if self.word() == "not":
            # `not order = 1` negates; only `not in (..)` and its like begin with a field called `not`.
            return following in ("in", "between", "all")
        if following == "not":
            kind, token_text, _ = self.tokens[self.index + 2]
            return kind == NAME and token_text.lower() in ("in", "between")
        return following in RESERVED

    def field_or_call(self) -> Path | Call:
        if self.tokens[self.index][0] == NAME and self.next_is("("):
            expression = self.call()
            if isinstance(expression, Call):
                return expression
            raise self.failed_at(expression, "a field or a function")
        return self.path()

    def call(self) -> Expression:
        """`name(arguments)`, or `timeseries(from ...)`."""
        _, token_text, start = self.tokens[self.index]
        name = token_text
        if name not in self.declared:
            name = FUNCTIONS.get(name.lower(), name)
        self.deeper()
        self.index += 2
        if name == "timeseries" and self.word() == "from":
            series = replace(TimeSeriesParser(self).body(), position=start)
            self.expect(")")
            self.depth -= 1
            return series
        arguments: list[Expression] = []
        while not self.at(")"):
            if arguments:
                self.expect(",")
                if self.at(")"):
                    break  # one builder writes a comma behind the last argument
            arguments.append(self.argument())
        self.index += 1
        self.depth -= 1
        if name.startswith("spatial.") and arguments:
            arguments[0] = self._unquoted_call(arguments[0])
        return Call(name, tuple(arguments), start)

    def argument(self) -> Expression:
        """A condition, an operand, either with a name; or the words `and`, `or` alone (how `search` joins terms)."""
        kind, token_text, start = self.tokens[self.index]
        if kind == NAME and token_text.lower() in ("and", "or") and self.next_is(",", ")"):
            self.index += 1
            return Path((token_text.lower(),), False, start)
        expression = self.condition()
        alias = self.alias()
        return expression if alias is None else Named(expression, alias, start)

    def _unquoted_call(self, node: Expression) -> Expression:
        """`'spatial.point(a, b)'` as the call that it means: one builder puts it in quotes."""
        if not isinstance(node, Literal) or not isinstance(node.value, str):
            return node
        if not node.value.lower().startswith(("spatial.point(", "spatial.wkt(")):
            return node
        inner = ConditionParser(node.value)
        inner.depth = self.depth
        try:
            call = inner.call()
            if inner.tokens[inner.index][0] != END:
                raise inner.failed("the end of the function")
        except InvalidQuery as error:
            found = f"a function in quotes that cannot be read ({error.message.splitlines()[0]})"
            raise InvalidQuery.at(self.text, node.position, found, "spatial.point or spatial.wkt") from None
        assert isinstance(call, Call)
        return call

    # ------------------------------------------------------------ expressions with names

    def load(self) -> Load:
        """`o.customer as c`, `o.products as p[]`."""
        start = self.position()
        path = self.path()
        self.expect_word("as")
        alias = self.name("an alias")
        array = alias.endswith("[]")
        return Load(path, alias.removesuffix("[]"), array, start)

    def _ends_field(self, index: int) -> bool:
        """Whether the token at `index` shows that the one before it was a field."""
        kind, token_text, _ = self.tokens[index]
        if kind == PUNCTUATION:
            return token_text in ",."
        return kind == END or (kind == NAME and token_text.lower() in RESERVED)

    def select_fields(self) -> tuple[SelectField, ...]:
        fields = []
        while True:
            start = self.position()
            fields.append(SelectField(self.operand(), self.alias(), start))
            if not self.take(","):
                return tuple(fields)
