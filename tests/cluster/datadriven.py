"""Files of commands with their expected output, read and checked: one story in each file.

    # a comment
    command argument key=value other=(1, 2)
    input lines, if any
    ----
    expected output, up to the first blank line

Output that has blank lines itself stands between `----` twice on two lines. A backslash at the end of a line continues
a command on the next one.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

_ARGUMENT = re.compile(r"([^\s=()]+)(?:=(\((?:[^()]|\([^()]*\))*\)|[^\s()]*))?")


@dataclass
class Directive:
    """One command of a file with what it is given and what it must print."""

    path: Path
    line: int
    command: str
    arguments: list[tuple[str, list[str]]]
    input: str = ""
    expected: str = ""
    keys: dict[str, list[str]] = field(default_factory=dict)

    def words(self) -> list[str]:
        """Return the arguments without a value."""
        return [key for key, values in self.arguments if not values]

    def value(self, key: str, default: str = "") -> str:
        """Return the one value of a key."""
        return self.keys[key][0] if key in self.keys else default


def parse_arguments(text: str) -> list[tuple[str, list[str]]]:
    """Return (key, values) of each argument; a bare word has no values."""
    arguments = []
    for key, value in _ARGUMENT.findall(text):
        if value.startswith("("):
            inner = value[1:-1].replace(",", " ").split()
            arguments.append((key, inner or [""]))
        else:
            arguments.append((key, [value] if f"{key}=" in text and value else []))
    return arguments


def read_directives(path: Path) -> Iterator[Directive]:
    """Return the commands of a file in order."""
    lines = path.read_text().split("\n")
    position = 0
    while position < len(lines):
        text = lines[position].strip()
        if not text or text.startswith("#"):
            position += 1
            continue
        start = position
        while text.endswith("\\"):
            position += 1
            text = text[:-1].rstrip() + " " + lines[position].strip()
        command, _, rest = text.partition(" ")
        position += 1
        given = []
        while lines[position] != "----":
            given.append(lines[position])
            position += 1
        position += 1
        expected, position = _read_expected(lines, position)
        arguments = parse_arguments(rest)
        keys = {key: values for key, values in arguments if values}
        yield Directive(path, start + 1, command, arguments, "\n".join(given), expected, keys)


def _read_expected(lines: list[str], position: int) -> tuple[str, int]:
    """Return the output that begins at a line, and the line behind it."""
    expected = []
    if position < len(lines) and lines[position] == "----":
        position += 1
        while lines[position : position + 2] != ["----", "----"]:
            expected.append(lines[position])
            position += 1
        return "\n".join(expected) + "\n", position + 2
    while position < len(lines) and lines[position]:
        expected.append(lines[position])
        position += 1
    return "\n".join(expected) + "\n" if expected else "", position


def check_file(path: Path, handle: Callable[[Directive], str]) -> int:
    """Run a file and compare every output, byte for byte; return the number of its commands."""
    count = 0
    for directive in read_directives(path):
        printed = handle(directive)
        if printed and not printed.endswith("\n"):
            printed += "\n"
        where = f"{path.name}:{directive.line} {directive.command}"
        assert printed == directive.expected, f"{where} printed\n{printed}\nand not\n{directive.expected}"
        count += 1
    return count


def rewrite_file(path: Path, handle: Callable[[Directive], str]) -> str:
    """Return the file with the output that its commands print now."""
    lines = path.read_text().split("\n")
    parts, position = [], 0
    for directive in read_directives(path):
        end = lines.index("----", directive.line - 1) + 1
        parts += lines[position:end]
        printed = handle(directive).rstrip("\n")
        parts += printed.split("\n") if "\n\n" not in printed else ["----", *printed.split("\n"), "----", "----"]
        _, position = _read_expected(lines, end)
    return "\n".join(parts + lines[position:])
