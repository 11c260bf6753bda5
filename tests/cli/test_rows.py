"""Rows of files: the three forms, lines, text kept digit by digit, and what is not a row."""

import io
import json
from pathlib import Path

import pytest

from pynori import limits
from pynori.cli.rows import BrokenFile, Row, array_elements, detect_form, read_rows
from pynori.runtime.rand import SeededRand


def rows(text: str | bytes, form: str, keep_text: bool = False) -> list[Row]:
    content = text.encode() if isinstance(text, str) else text
    return list(read_rows(io.BytesIO(content), form, keep_text))


def test_json_lines_keep_their_text() -> None:
    """Each line is a row with its number; empty lines are passed over; digits stay as they are; a BOM is no row."""
    found = rows('\ufeff{"a":1.10}\n\n  {"b":12345678901234567890}  \r\nnonsense\n{"c":1e5}', "jsonl")
    assert [(row.line, row.text) for row in found] == [
        (1, b'{"a":1.10}'),
        (3, b'{"b":12345678901234567890}'),
        (4, b"nonsense"),
        (5, b'{"c":1e5}'),
    ]


def test_a_line_beyond_the_limit_is_rejected_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that is too long is a row with a reason; the one after it is read."""
    monkeypatch.setattr(limits, "IMPORT_ROW_SIZE_BYTES_MAX", 10)
    found = rows('{"a":"xxxxxxxxxxxxxxxxx"}\n{"b":1}\n', "jsonl")
    assert "IMPORT_ROW_SIZE_BYTES_MAX" in found[0].reason and found[1] == Row(2, b'{"b":1}')


def test_json_array_elements_have_their_lines() -> None:
    """Elements come with the line where they begin, as text; anything may stand before the array."""
    text = '[\n {"a": 1.50},\n\n {"b":\n [1,2]} , 7,\n"x" ]'
    assert [(row.line, row.text) for row in rows(text, "json")] == [
        (2, b'{"a": 1.50}'),
        (4, b'{"b":\n [1,2]}'),
        (5, b"7"),
        (6, b'"x"'),
    ]
    assert rows("[]", "json") == [] == rows(" [ ] ", "json")


@pytest.mark.parametrize("seed", range(5))
def test_json_array_in_any_pieces(seed: int) -> None:
    """However the bytes arrive, down to one at a time, the elements are the same."""
    rand = SeededRand(seed)
    values = [
        rand.pick([rand.between(-99, 10**20), "ü\U0001f600" * rand.between(0, 9), {"k": [True, None, 1.5e-3]}, []])
        for _ in range(60)
    ]
    data = json.dumps(values, ensure_ascii=False, indent=rand.pick([None, 1])).encode()
    pieces = []
    while data:
        size = rand.between(1, rand.pick([1, 3, 40]))
        pieces.append(data[:size])
        data = data[size:]
    source = iter(pieces)
    found = [json.loads(text) for _, text in array_elements(lambda: next(source, b""))]
    assert found == values


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no JSON array"),
        ('{"a":1}', "no JSON array"),
        ("[1, 2", "no end"),
        ("[1,\n 2 3]", "line 2: a comma"),
        ("[1,\n\n {x}]", "begins in line 3 is not JSON"),
        ("[" * 100_000, "is not JSON"),
        (b"[1,\n\xff]", "not UTF-8"),
    ],
)
def test_broken_arrays_say_where(text: str | bytes, words: str) -> None:
    """An array whose brackets or commas do not match ends with the line where reading stopped."""
    with pytest.raises(BrokenFile, match=words):
        rows(text, "json")


def test_csv_values() -> None:
    """Numbers, booleans and nothing have their JSON form; what only looks like a number is text; --text keeps all."""
    text = 'a;b;"c d"\n1;x;true\n007;"1;5";\n-1.50e3;"q""q";TRUE\n'
    assert [json.loads(row.text) for row in rows(text, "csv")] == [
        {"a": 1, "b": "x", "c d": True},
        {"a": "007", "b": "1;5", "c d": None},
        {"a": -1500.0, "b": 'q"q', "c d": "TRUE"},
    ]
    assert rows(text, "csv")[2].text.startswith(b'{"a":-1.50e3,')
    assert json.loads(rows(text, "csv", keep_text=True)[0].text) == {"a": "1", "b": "x", "c d": "true"}


def test_csv_rows_of_other_widths_and_lines() -> None:
    """A row with too many or too few values is rejected by its line; quoted line breaks count."""
    found = rows('a,b\n1,2\n"x\ny",3\n4\n\n5,6,7\n8,9\n', "csv")
    assert [(row.line, row.reason) for row in found] == [
        (2, ""), (3, ""), (5, "1 values for 2 columns"), (7, "3 values for 2 columns"), (8, ""),
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["", "a,,b\n1,2,3\n", "a,a\n1,2\n"])
def test_csv_needs_a_heading(text: str) -> None:
    """Columns without a name, or with the same one, stop the import at line 1."""
    with pytest.raises(BrokenFile, match="line 1"):
        rows(text, "csv")


def test_forms_are_detected(tmp_path: Path) -> None:
    """The name decides for CSV, the first character for JSON."""
    for name, content, form in (("a.csv", "[", "csv"), ("b.json", " \n[1]", "json"), ("c.json", '{"a":1}', "jsonl")):
        (tmp_path / name).write_text(content)
        assert detect_form(tmp_path / name) == form
