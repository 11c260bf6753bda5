"""Rows of a file, one after the other: a JSON array, JSON lines, or CSV.

A reader yields each row as the text of one JSON object with the line where it begins, or the reason why it is none;
only a JSON array whose brackets do not match ends the reading. Text stays as it was: numbers are not read and written
again, so no digit of theirs changes.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

from pynori import limits

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Row:
    """One row: `text` is a JSON object when `reason` is "", else what stood there instead."""

    line: int  # from 1
    text: bytes
    reason: str = ""


class BrokenFile(Exception):
    """The file cannot be read further; the message says from where."""


def read_rows(file: BinaryIO, form: str, keep_text: bool = False) -> Iterator[Row]:
    """All rows of `file`; form: json, jsonl or csv. keep_text: CSV values stay strings. Raises: BrokenFile."""
    if file.read(len(_BYTE_ORDER_MARK)) != _BYTE_ORDER_MARK:
        file.seek(0)
    if form == "csv":
        return _read_csv(file, keep_text)
    return _read_json_array(file) if form == "json" else _read_json_lines(file)


def detect_form(path: Path) -> str:
    """csv by the name; for JSON, an array when the first character is a bracket, else lines."""
    if path.suffix.lower() in (".csv", ".tsv"):
        return "csv"
    with path.open("rb") as file:
        start = file.read(4_096).removeprefix(_BYTE_ORDER_MARK).lstrip()
    return "json" if start.startswith(b"[") else "jsonl"


def _read_json_lines(file: BinaryIO) -> Iterator[Row]:
    line = 0
    while text := file.readline(limits.IMPORT_ROW_SIZE_BYTES_MAX + 1):
        line += 1
        if len(text) > limits.IMPORT_ROW_SIZE_BYTES_MAX:
            while text and not text.endswith(b"\n"):
                text = file.readline(limits.CHUNK_SIZE_BYTES)
            yield Row(line, b"", f"longer than IMPORT_ROW_SIZE_BYTES_MAX = {limits.IMPORT_ROW_SIZE_BYTES_MAX} bytes")
        elif text.strip():
            yield Row(line, text.strip())


def _read_json_array(file: BinaryIO) -> Iterator[Row]:
    def more() -> bytes:
        return file.read(limits.CHUNK_SIZE_BYTES)

    for line, text in array_elements(more):
        yield Row(line, text.encode("utf-8"))


def array_elements(more: Callable[[], bytes]) -> Iterator[tuple[int, str]]:
    """(line, text) of each element of the first JSON array; more: the next bytes, b"" at the end. Raises: BrokenFile.

    What stands before the array is passed over, so that `{"Results":[...` is read as well.
    """
    window = _Window(more)
    decoder = json.JSONDecoder()
    while window.next_character() not in ("[", ""):
        window.position += 1
    if not window.next_character():
        raise BrokenFile("there is no JSON array")
    window.position += 1
    if window.next_character() == "]":
        return
    while True:
        if not window.next_character():
            raise BrokenFile(f"the array has no end; the last whole element ends before line {window.line()}")
        start = window.position
        try:
            _, end = decoder.raw_decode(window.text, start)
            is_whole = end < len(window.text) or window.ended  # a number at the end of the window may go on
        except (ValueError, RecursionError) as error:
            is_whole = False
            if window.ended or len(window.text) - start > limits.IMPORT_ROW_SIZE_BYTES_MAX:
                raise BrokenFile(f"the element that begins in line {window.line()} is not JSON: {error}") from None
        if not is_whole:
            # As much again as there is: an element is tried a few times, however long it is.
            window.grow(max(limits.CHUNK_SIZE_BYTES, len(window.text) - start))
            continue
        yield window.line(), window.text[start:end]
        window.position = end
        separator = window.next_character()
        window.position += 1
        if separator == "]":
            return
        if separator not in (",", ""):  # the end is noticed above
            raise BrokenFile(f"line {window.line()}: a comma or the closing bracket is expected, not '{separator}'")


class _Window:
    """The part of a text that is being read. What lies before `position` is dropped when the window grows."""

    __slots__ = ("_counted", "_line", "_more", "_utf8", "ended", "position", "text")

    def __init__(self, more: Callable[[], bytes]) -> None:
        self._more = more
        self._utf8 = codecs.getincrementaldecoder("utf-8")()
        self._line = 1  # of the character at _counted
        self._counted = 0
        self.text = ""
        self.position = 0
        self.ended = False  # there is nothing more to read

    def line(self) -> int:
        """The line of `position`, from 1."""
        self._line += self.text.count("\n", self._counted, self.position)
        self._counted = self.position
        return self._line

    def next_character(self) -> str:
        """Pass over spaces; the character that follows, "" at the end."""
        while True:
            while self.position < len(self.text) and self.text[self.position] in " \t\r\n":
                self.position += 1
            if self.position < len(self.text) or self.ended:
                return self.text[self.position : self.position + 1]
            self.grow(1)

    def grow(self, at_least: int) -> None:
        """Read `at_least` further characters, if there are as many."""
        line = self.line()
        pieces = [self.text[self.position :]]
        added = 0
        while added < at_least and not self.ended:
            piece = self._more()
            self.ended = not piece
            try:
                pieces.append(self._utf8.decode(piece, final=self.ended))
            except UnicodeDecodeError as error:
                raise BrokenFile(f"not UTF-8 after line {line}: {error.reason}") from None
            added += len(pieces[-1])
        self.text = "".join(pieces)
        self.position = self._counted = 0


def _read_csv(file: BinaryIO, keep_text: bool) -> Iterator[Row]:
    stream = io.TextIOWrapper(file, encoding="utf-8", errors="strict", newline="")
    first = stream.readline()
    # The delimiter that stands most often in the heading; a comma unless another one does.
    delimiter = max(",;\t", key=first.count)
    csv.field_size_limit(limits.STRING_SIZE_BYTES_MAX)
    names = next(csv.reader([first], delimiter=delimiter), [])
    if not names or any(not name.strip() for name in names) or len(set(names)) != len(names):
        raise BrokenFile("line 1: the heading needs a different, not empty name for each column")
    keys = [name.strip() for name in names]
    reader = csv.reader(stream, delimiter=delimiter)
    line = 2
    while True:
        try:
            values = next(reader)
        except StopIteration:
            return
        except (csv.Error, UnicodeDecodeError) as error:
            raise BrokenFile(f"line {line}: {error}") from None
        if len(values) == len(keys):
            yield Row(line, _csv_object(keys, values, keep_text))
        elif values:
            text = delimiter.join(values).encode("utf-8")
            yield Row(line, text, f"{len(values)} values for {len(keys)} columns")
        line = reader.line_num + 2


def _csv_object(keys: list[str], values: list[str], keep_text: bool) -> bytes:
    members = {key: msgspec.Raw(_csv_value(value, keep_text)) for key, value in zip(keys, values, strict=True)}
    return msgspec.json.encode(members)


def _csv_value(value: str, keep_text: bool) -> bytes:
    """Numbers and true and false as such, nothing as null, all else as a string; 007 and 1,5 are strings."""
    if not keep_text:
        if not value:
            return b"null"
        if value in ("true", "false") or _NUMBER.fullmatch(value):
            return value.encode("ascii")
    return msgspec.json.encode(value)
