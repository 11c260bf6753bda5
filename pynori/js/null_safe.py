"""Reading through null, as RavenDB's scripts do: `order.ShipTo.City` is undefined where there is no `ShipTo`.

Scripts are written for documents that lack properties, and count on it. The engine knows only `?.` for that; so each
`.name` and `[key]` that reads becomes `?.name` and `?.[key]` before the script is compiled. What is written to stays as
it is, and so does what may not be optional by the grammar: `new a.b()`, `super.x`, tagged templates.

This reads tokens, not the whole grammar. It never makes a sound script unsound: who compiles the result takes the
original when the result does not compile, and where brackets do not match nothing is changed at all.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass, field

_SPACE = re.compile(r"(?:\s|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_WORD = re.compile(r"#?[^\W\d][\w$]*|\$[\w$]*")
_NUMBER = re.compile(r"0[xXbBoO][\da-fA-F_]+n?|(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d+)?n?")
_STRING = re.compile(r"'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\"", re.DOTALL)
_REGEX = re.compile(r"/(?:[^/\\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+/[A-Za-z]*")
_TEMPLATE = re.compile(r"(?:[^`\\$]|\\.|\$(?!\{))*(`|\$\{)", re.DOTALL)
_OPERATOR = re.compile(
    r">>>=|\.\.\.|===|!==|\*\*=|<<=|>>=|>>>|&&=|\|\|=|\?\?=|=>|==|!=|<=|>=|&&|\|\||\?\?|\?\.(?!\d)|\+\+|--|\+=|-=|\*=|/="
    r"|%=|&=|\|=|\^=|\*\*|<<|>>|[-+*/%&|^!~<>=?:;,.@]"
)
_ASSIGNMENTS = frozenset(
    ["=", "+=", "-=", "*=", "/=", "%=", "**=", "<<=", ">>=", ">>>=", "&=", "|=", "^=", "&&=", "||=", "??="]
)
# Words that an expression follows: what comes next begins a value.
_BEFORE_VALUE = frozenset(
    ["return", "typeof", "instanceof", "in", "of", "new", "delete", "void", "throw", "case", "do", "else", "yield",
     "await", "let", "const", "var", "async", "extends", "default", "export", "static", "get", "set"]
)  # fmt: skip
_HEADS = frozenset(["if", "while", "for", "with", "switch", "catch"])  # a statement follows their parentheses
# A brace behind one of these opens a block; behind anything else that expects a value, an object.
_BEFORE_BLOCK = frozenset(["", ";", "{", "}", "=>", ")", "else", "do", "try", "finally"])
_NOT_OPTIONAL = frozenset(["super", "import", "new"])
_CLOSERS = {")": "(", "]": "[", "}": "{"}


@dataclass(slots=True)
class Chain:
    """A value and the accesses behind it, up to the next operator."""

    head: str
    is_new: bool = False  # behind `new`, and not called yet
    is_written: bool = False
    accesses: list[tuple[int, str]] = field(default_factory=list)  # position and what is to be put there
    steps: int = 0


@dataclass(slots=True)
class Frame:
    """An open bracket. chain: goes on behind the closing one."""

    bracket: str  # ( [ { or ${
    chain: Chain | None = None
    is_head: bool = False
    is_object: bool = False


@dataclass(frozen=True, slots=True)
class NullSafe:
    """A source with optional accesses, and where in the original they were put in."""

    text: str
    insertions: tuple[tuple[int, int, int], ...] = ()  # line and column in the original, from 1; how many characters

    def original_column(self, line: int, column: int) -> int:
        """Where a column of the changed text was before."""
        shift = 0
        for at_line, at_column, size in self.insertions:
            if at_line == line and at_column + shift < column:
                shift += size
        return max(1, column - shift)


def null_safe(source: str) -> NullSafe:
    """The source with reads that pass over null; as it is when its brackets do not match."""
    insertions = Reader(source).read()
    if not insertions:
        return NullSafe(source)
    insertions.sort()
    parts = []
    at = 0
    for position, text in insertions:
        parts += [source[at:position], text]
        at = position
    parts.append(source[at:])
    starts = [0, *(match.end() for match in re.finditer("\n", source))]
    places = []
    for position, text in insertions:
        line = bisect_left(starts, position + 1)
        places.append((line, position - starts[line - 1] + 1, len(text)))
    return NullSafe("".join(parts), tuple(places))


class Reader:
    """One pass over the tokens of a source."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._position = 0
        self._frames: list[Frame] = []
        self._chain: Chain | None = None
        self._after_value = False  # the last token ended a value
        self._last = ""  # its text
        self._member = False  # `.` or `?.` was last
        self._is_new = False  # `new` was last
        self._is_updated = False  # a prefix ++ or -- was last
        self._found: list[tuple[int, str]] = []

    def read(self) -> list[tuple[int, str]]:
        """Positions and what is to be put there; nothing when the text cannot be followed."""
        source = self._source
        while True:
            space = _SPACE.match(source, self._position)
            assert space is not None
            new_line = "\n" in space.group()
            self._position = space.end()
            if self._position >= len(source):
                self._end_chain("")
                return [] if self._frames else self._found
            # A comment that does not end would be looked for at every slash.
            if source.startswith("/*", self._position) or not self._token(source[self._position], new_line):
                return []

    def _token(self, first: str, new_line: bool) -> bool:
        """Take one token; False when the text cannot be followed."""
        source = self._source
        if first in "([{":
            return self._open(first)
        if first in ")]}":
            return self._close(first)
        if first == "`":
            self._position += 1
            if self._after_value and self._chain is not None:
                self._chain.is_written = True  # a tagged template may not be optional
            return self._template()
        if first in "'\"":
            return self._value(_STRING, "string")
        if first == "/" and not self._after_value:
            return self._value(_REGEX, "regex")
        if first.isdigit() or (first == "." and source[self._position + 1 : self._position + 2].isdigit()):
            return self._value(_NUMBER, "number")
        word = _WORD.match(source, self._position)
        if word is not None:
            self._word(word.group())
            self._position = word.end()
            return True
        operator = _OPERATOR.match(source, self._position)
        if operator is None:
            return False
        self._operator(operator.group(), new_line)
        self._position = operator.end()
        return True

    def _value(self, pattern: re.Pattern[str], kind: str) -> bool:
        match = pattern.match(self._source, self._position)
        if match is None:
            return False
        self._position = match.end()
        self._start_chain(kind)
        return True

    def _word(self, word: str) -> None:
        if self._member:
            self._member = False
            self._after_value = True
        elif word in _BEFORE_VALUE:
            self._end_chain(word)
            self._after_value = False
            self._is_new = word == "new"
        else:
            self._start_chain(word)
        self._last = word

    def _operator(self, operator: str, new_line: bool) -> None:
        if operator in (".", "?."):
            if self._chain is None:
                self._start_chain("")
            if operator == ".":
                self._access(".")
            self._member = True
            self._last = operator
            return
        is_postfix = operator in ("++", "--") and self._after_value and not new_line
        self._end_chain(operator if is_postfix or operator in _ASSIGNMENTS else "")
        self._is_updated = operator in ("++", "--") and not is_postfix
        self._after_value = is_postfix
        self._last = operator

    def _open(self, bracket: str) -> bool:
        continues = self._after_value or self._member
        if bracket == "{":
            is_object = not self._after_value and self._last not in _BEFORE_BLOCK
            self._end_chain("")
            self._frames.append(Frame("{", None, is_object=is_object))
        elif continues and not (bracket == "(" and self._last in _HEADS):
            chain = self._chain or Chain("")
            if bracket == "[" and not self._member:
                self._chain = chain
                self._access("[")
            if bracket == "(":
                chain.is_new = False
            self._frames.append(Frame(bracket, chain))
        else:
            is_head = bracket == "(" and self._last in _HEADS
            is_new = self._is_new
            self._end_chain("")
            # `new (expression)`: what follows the group belongs to `new` until it is called.
            self._frames.append(Frame(bracket, Chain("group", is_new=is_new), is_head=is_head))
        self._chain = None
        self._member = self._after_value = False
        self._is_new = self._is_updated = False
        self._last = bracket
        self._position += 1
        return True

    def _close(self, bracket: str) -> bool:
        self._end_chain("")
        if not self._frames:
            return False
        frame = self._frames.pop()
        self._position += 1
        if frame.bracket == "${" and bracket == "}":
            return self._template()
        if frame.bracket != _CLOSERS[bracket]:
            return False
        self._after_value = not frame.is_head and (bracket != "}" or frame.is_object)
        if self._after_value:
            self._chain = frame.chain or Chain("group")
        self._last = bracket
        return True

    def _template(self) -> bool:
        """The text of a template up to its end or the next expression in it."""
        match = _TEMPLATE.match(self._source, self._position)
        if match is None:
            return False
        self._position = match.end()
        if match.group(1) == "`":
            self._end_chain("")
            self._start_chain("template")
            return True
        self._end_chain("")
        self._frames.append(Frame("${"))
        self._after_value = False
        self._last = "("
        return True

    def _start_chain(self, head: str) -> None:
        is_new, is_updated = self._is_new, self._is_updated
        self._end_chain("")
        self._chain = Chain(head, is_new, is_updated)
        self._after_value = True
        self._last = head

    def _access(self, kind: str) -> None:
        chain = self._chain
        assert chain is not None
        chain.steps += 1
        if chain.head in _NOT_OPTIONAL or chain.is_new or (chain.head == "this" and chain.steps == 1):
            return
        chain.accesses.append((self._position, "?" if kind == "." else "?."))

    def _end_chain(self, behind: str) -> None:
        """behind: what ends it, where that says whether it is written to."""
        chain = self._chain
        self._chain = None
        self._member = self._is_new = self._is_updated = False
        if chain is None or chain.is_written or behind in _ASSIGNMENTS or behind in ("++", "--"):
            return
        self._found += chain.accesses
