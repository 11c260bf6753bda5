"""C# text to tokens: names, numbers, strings, characters, punctuation; comments and white space are passed over."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from pynori.errors import CompilationError
from pynori.expr.tree import position_of
from pynori.limits import LINQ_PROBLEM_SIZE_MAX, LINQ_SIZE_MAX

NAME, NUMBER, TEXT, SYMBOL, END = "name", "number", "text", "symbol", "end"

_TOKEN: Final = re.compile(
    r"""
    (?P<space>\s+|//[^\n]*|/\*.*?\*/)
  | (?P<number>(?:0[xX][0-9a-fA-F_]+|(?:\d[\d_]*\.\d[\d_]*|\.\d[\d_]*|\d[\d_]*)(?:[eE][+-]?\d+)?)[mMdDfFlLuU]{0,2})
  | (?P<name>@?[^\W\d]\w*)
  | (?P<verbatim>@"(?:[^"]|"")*")
  | (?P<string>"(?:[^"\\\n]|\\.)*")
  | (?P<char>'(?:[^'\\\n]|\\[^\n][0-9a-fA-F]{0,7})')
  | (?P<symbol>=>|==|!=|<=|>=|&&|\|\||\?\?|\?\.|\?\[|[-+*/%<>=!?:.,;(){}\[\]&|^~])
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE: Final = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{1,4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)
_ESCAPES: Final = {
    "n": "\n", "r": "\r", "t": "\t", "0": "\0", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "\\": "\\",
    '"': '"', "'": "'",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Token:
    """kind: NAME, NUMBER, TEXT, SYMBOL or END; value: what a number or a text says; offset: in the whole text."""

    kind: str
    text: str
    offset: int
    position: int
    value: int | float | Decimal | str | None = None


def failure(text: str, offset: int, message: str, property_name: str) -> CompilationError:
    """The error of a definition that is not in the subset: place, what is wrong, and the line where it stands."""
    line = text.count("\n", 0, offset) + 1
    start = text.rfind("\n", 0, offset) + 1
    end = text.find("\n", offset)
    shown = text[start : end if end >= 0 else len(text)].strip()
    if len(shown) > LINQ_PROBLEM_SIZE_MAX:
        shown = text[offset : offset + LINQ_PROBLEM_SIZE_MAX]
    where = f"line {line}, column {offset - start + 1}"
    return CompilationError(f"The index does not compile ({where}): {message}", property_name, shown)


def tokenize(text: str, property_name: str) -> list[Token]:
    """The tokens of a definition, END last. Raises: CompilationError."""
    if len(text) > LINQ_SIZE_MAX:
        raise CompilationError(f"A definition has at most {LINQ_SIZE_MAX} characters", property_name, text[:80])
    tokens: list[Token] = []
    offset, line, line_start = 0, 1, 0
    while offset < len(text):
        match = _TOKEN.match(text, offset)
        if match is None:
            raise failure(text, offset, _strange(text, offset), property_name)
        position = position_of(line, offset - line_start + 1)
        kind = match.lastgroup or ""
        piece = match.group()
        if kind != "space":
            try:
                tokens.append(_token(kind, piece, offset, position))
            except ValueError as error:
                raise failure(text, offset, str(error), property_name) from None
        breaks = piece.count("\n")
        if breaks:
            line += breaks
            line_start = offset + piece.rfind("\n") + 1
        offset = match.end()
    tokens.append(Token(END, "", len(text), position_of(line, offset - line_start + 1)))
    return tokens


def _strange(text: str, offset: int) -> str:
    if text[offset] in "\"'":
        return "a string or character does not end"
    if text.startswith(('$"', '$@"', '@$"'), offset):
        return "interpolated strings are not part of the subset; use String.Format"
    return f"the character '{text[offset]}' has no meaning here"


def _token(kind: str, piece: str, offset: int, position: int) -> Token:
    if kind == "name":
        return Token(NAME, piece.removeprefix("@"), offset, position)
    if kind == "number":
        return Token(NUMBER, piece, offset, position, _number(piece))
    if kind == "verbatim":
        return Token(TEXT, piece, offset, position, piece[2:-1].replace('""', '"'))
    if kind in ("string", "char"):
        value = _ESCAPE.sub(_unescape, piece[1:-1])
        if kind == "char" and len(value) != 1:
            raise ValueError("a character is one character")
        return Token(TEXT, piece, offset, position, value)
    return Token(SYMBOL, piece, offset, position)


def _unescape(match: re.Match[str]) -> str:
    code = match.group(1) or match.group(2) or match.group(3)
    if code is not None:
        number = int(code, 16)
        if number > 0x10FFFF or 0xD800 <= number < 0xE000:
            raise ValueError("an escape names no character")
        return chr(number)
    found = _ESCAPES.get(match.group(4))
    if found is None:
        raise ValueError(f"\\{match.group(4)} is no escape")
    return found


def _number(piece: str) -> int | float | Decimal:
    plain = piece.replace("_", "")
    if plain[:2].lower() == "0x":
        return _integer(int(plain.rstrip("uUlL"), 16))
    digits = plain.rstrip("mMdDfFlLuU")
    suffix = plain[len(digits) :].lower()
    if suffix == "m":
        return Decimal(digits)
    if suffix in ("d", "f"):
        return float(digits)
    if suffix in ("", "l", "u", "ul", "lu"):
        if digits.isdigit():
            return _integer(int(digits))
        if not suffix:
            return float(digits)
    raise ValueError(f"{piece} is no number")


def _integer(value: int) -> int:
    if value >= 1 << 63:
        raise ValueError("an integer has at most 64 bits, with its sign")
    return value
