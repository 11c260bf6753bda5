"""Text to tokens: one regular expression, and the extent of JavaScript that stands between them.

A token is (kind, text, position). A dotted path is one token, so that the parser sees few of them. Blanks and comments
lie between tokens and are passed over. Reading stops behind each `{`, since what follows may be JavaScript, whose
tokens are not ours: the parser then asks for `script_end` or goes on with `tokenize` from there.

Invariants: positions ascend; every list ends with END or with `{`; each pattern is possessive, so the time is linear.
"""

from __future__ import annotations

import re
from typing import Final

from pynori.errors import InvalidQuery
from pynori.limits import RQL_DEPTH_MAX

Token = tuple[str, str, int]

NAME: Final = "name"  # bare path or keyword: `where`, `a.b`, `lines[].product`, `@metadata.@id`, `with-dash`
STRING: Final = "string"  # with its quotes
NUMBER: Final = "number"
PARAMETER: Final = "parameter"  # with its dollar sign
OPERATOR: Final = "operator"  # `= != < <= > >= && ||`, as written
PUNCTUATION: Final = "punctuation"  # one of `( ) { } [ ] , . / *`
END: Final = "end"

# Characters repeat possessively, groups do not: Python before 3.11.5 matches possessive groups wrongly.
_NAME = r"(?:@[\w\-@]++|[^\W\d][\w\-@]*+)(?:\[\d*+\])*"
_BLANKS = r"(?:\s++|//[^\n]*+|/\*(?:[^*]++|\*(?!/))*\*/)*"
_TOKEN = re.compile(
    rf"{_BLANKS}(?:(?P<{NAME}>{_NAME}(?:\.{_NAME})*)"
    rf"|(?P<{PARAMETER}>\$\w++)"
    rf"|(?P<{PUNCTUATION}>[(){{}}\[\],.*]|/(?![/*]))"
    rf"|(?P<{OPERATOR}>==?|!=|<>|<=|>=|<|>|&&|\|\|)"
    rf"|(?P<{STRING}>'(?:[^'\\]++|\\.|'')*'|\"(?:[^\"\\]++|\\.|\"\")*\")"
    rf"|(?P<{NUMBER}>-?+\d++(?:\.\d++)?(?:[eE][+\-]?+\d++(?!\w))?)"
    rf"|(?P<{END}>\Z))",
    re.DOTALL,
)
_BLANK = re.compile(_BLANKS)
BARE_NAME: Final = re.compile(_NAME)

_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)|''|\"\"", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", "'": "'", '"': '"', "/": "/"}
_SURROGATES = re.compile("[\ud800-\udfff]+")


def tokenize(text: str, position: int) -> list[Token]:
    """The tokens from `position` to the end, or to the next `{` inclusive."""
    tokens: list[Token] = []
    append, match_at = tokens.append, _TOKEN.match
    while True:
        match = match_at(text, position)
        if match is None:
            raise _unreadable(text, position)
        kind = match.lastgroup
        assert kind is not None
        token_text = match[kind]
        start = match.start(kind)
        append((kind, token_text, start))
        position = match.end()
        if kind == END or (token_text == "{" and kind == PUNCTUATION):
            return tokens


def begins_with_word(text: str, position: int, keyword: str) -> bool:
    """Whether the first thing behind blanks and comments is this keyword."""
    match = BARE_NAME.match(text, _behind_blanks(text, position))
    return match is not None and match[0].lower() == keyword


def unquote(token_text: str) -> str:
    """The value of a string token: a doubled quote is one, `\\n \\r \\t \\uXXXX` and escaped quotes are resolved.

    A backslash before anything else stays, so that patterns can be written plainly.
    """
    quote, inner = token_text[0], token_text[1:-1]
    if "\\" not in inner and quote not in inner:
        return inner

    def resolved(match: re.Match[str]) -> str:
        escape = match[1]
        if escape is None:
            return quote if match[0][0] == quote else match[0]
        if len(escape) == 5:
            return chr(int(escape[1:], 16))
        return _ESCAPED.get(escape, match[0])

    value = _ESCAPE.sub(resolved, inner)
    return _SURROGATES.sub(_joined, value)


def quoted(value: str) -> str:
    """A string token with this value."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\r", "\\r")
    return f"'{escaped}'"


def _behind_blanks(text: str, position: int) -> int:
    blanks = _BLANK.match(text, position)
    assert blanks is not None
    return blanks.end()


def _joined(match: re.Match[str]) -> str:
    """Surrogate pairs as the characters they stand for; a lone one becomes the replacement character."""
    return match[0].encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _unreadable(text: str, position: int) -> InvalidQuery:
    """The error for what no token begins with, where it stands: behind the blanks and comments before it."""
    position = _behind_blanks(text, position)
    character = text[position]
    if text.startswith("/*", position):
        return InvalidQuery.at(text, position, "a comment without its end", "*/")
    if character in "'\"":
        return InvalidQuery.at(text, position, "a string without its end", f"a closing {character}")
    return InvalidQuery.at(text, position, repr(character), "a name, a value or an operator")


# ---------------------------------------------------------------- JavaScript

# What may stand between two brackets of a script without being looked into.
_SCRIPT = re.compile(
    r"(?P<blank>\s++|//[^\n]*+|/\*(?:[^*]++|\*(?!/))*\*/)"
    r"|(?P<string>'(?:[^'\\\n]++|\\.)*'|\"(?:[^\"\\\n]++|\\.)*\")"
    r"|(?P<template>`)"
    r"|(?P<open>[{(\[])"
    r"|(?P<close>[})\]])"
    r"|(?P<slash>/)"
    r"|(?P<word>[\w$]++)"
    r"|(?P<other>[^\s\w'\"`{}()\[\]/$]++|.)",
    re.DOTALL,
)
_REGULAR_EXPRESSION = re.compile(r"/(?:[^/\\\[\n]++|\\[^\n]|\[(?:[^\]\\\n]++|\\[^\n])*\])+/\w*+")
_TEMPLATE = re.compile(r"(?:[^`\\$]++|\\.|\$(?!\{))*", re.DOTALL)
_CLOSING = {"{": "}", "(": ")", "[": "]"}
# A slash behind one of these begins a regular expression; behind any other word or a closing bracket it divides.
_BEFORE_REGULAR_EXPRESSION = frozenset(
    ("return", "typeof", "case", "in", "of", "delete", "void", "throw", "new", "do", "else", "instanceof")
)


def script_end(text: str, start: int) -> int:
    """The index behind the bracket that closes the one at `start`.

    Strings, comments, regular expressions and template literals are passed over as JavaScript reads them.
    """
    open_brackets: list[tuple[str, int]] = []
    position = start
    divides = False  # whether a slash here would be a division
    while position < len(text):
        match = _SCRIPT.match(text, position)
        assert match is not None
        kind, piece, at = match.lastgroup, match[0], position
        position = match.end()
        if kind == "blank":
            continue
        if kind == "open":
            _push(text, open_brackets, piece, at)
            divides = False
        elif kind == "close":
            if not open_brackets or _CLOSING.get(open_brackets[-1][0]) != piece:
                if not (piece == "}" and open_brackets and open_brackets[-1][0] == "`"):
                    raise InvalidQuery.at(text, at, repr(piece), _wanted(open_brackets))
                position, divides = _template_end(text, position, open_brackets)
                continue
            open_brackets.pop()
            if not open_brackets:
                return position
            divides = True
        elif kind == "template":
            _push(text, open_brackets, "`", at)
            position, divides = _template_end(text, position, open_brackets)
        elif kind == "slash":
            expression = None if divides else _REGULAR_EXPRESSION.match(text, at)
            if expression is not None:
                position = expression.end()
            divides = expression is not None
        elif kind == "other":
            if piece in "'\"":
                raise InvalidQuery.at(text, at, "a string without its end", f"a closing {piece}")
            divides = False
        else:
            divides = kind == "string" or piece not in _BEFORE_REGULAR_EXPRESSION
    bracket, at = open_brackets[-1]
    raise InvalidQuery.at(text, at, f"a script whose {bracket} is never closed", _wanted(open_brackets))


def _push(text: str, open_brackets: list[tuple[str, int]], bracket: str, at: int) -> None:
    if len(open_brackets) >= RQL_DEPTH_MAX:
        raise InvalidQuery.at(text, at, "deeper nesting", f"at most {RQL_DEPTH_MAX} levels (RQL_DEPTH_MAX)")
    open_brackets.append((bracket, at))


def _wanted(open_brackets: list[tuple[str, int]]) -> str:
    """What would close the innermost open bracket."""
    bracket = open_brackets[-1][0]
    return "a closing `" if bracket == "`" else f"'{_CLOSING[bracket]}'"


def _template_end(text: str, position: int, open_brackets: list[tuple[str, int]]) -> tuple[int, bool]:
    """Go on inside the innermost template literal: the index behind its end (and true), or behind its next `${`."""
    match = _TEMPLATE.match(text, position)
    assert match is not None
    position = match.end()
    if position >= len(text):
        raise InvalidQuery.at(text, open_brackets[-1][1], "a template without its end", "a closing `")
    if text[position] == "`":
        open_brackets.pop()
        return position + 1, True
    return position + 2, False
