"""Numbers that JavaScript would change are told from those that it keeps."""

from __future__ import annotations

import json
import random

import pytest
import quickjs
from pynori_core.json_scan import has_fragile_number


@pytest.mark.parametrize(
    ("number", "fragile"),
    [
        ("0", False), ("1", False), ("-7", False), ("100", False), ("1.5", False), ("-0.25", False),
        ("0.000001", False), ("999999999999999", False), ("10.01", False), ("-0.5", False),
        ("1.0", True), ("1.50", True), ("-0", True),
        ("-0.0", True), ("1e5", True), ("1E-5", True), ("9007199254740993", True), ("0.0000001", True), ("0.0", True),
        ("123456789.12345678", True),
    ],
)  # fmt: skip
def test_numbers(number: str, fragile: bool) -> None:
    """One number, wherever it stands."""
    for text in (number, f"[{number}]", f"[1,{number} ]", f'{{"a": {number}}}', f'{{"a\\"":"x","b":{number}}}'):
        assert has_fragile_number(text.encode()) is fragile, text


@pytest.mark.parametrize("text", ["1.0", "a,1.0", '":1.0', "\\", '\\"', "1e5", "00:00:00.000"])
def test_texts_are_no_numbers(text: str) -> None:
    """What looks like a number within a string or a name is none."""
    value = {"a": text, text: [text, 1]}
    assert not has_fragile_number(json.dumps(value).encode())


def test_broken_text_ends() -> None:
    """Text that is no JSON is read to its end and no further."""
    for text in ("", '"', '"\\', '"a\\"', "-", "1e", '{"a', "\\\\"):
        has_fragile_number(text.encode())


def test_javascript_agrees() -> None:
    """Whatever is not fragile comes back from the engine as it was."""
    again = quickjs.Context().eval("(text => JSON.stringify(JSON.parse(text)))")
    rand = random.Random(20)
    kept = 0
    for _ in range(20_000):
        digits = rand.randrange(1, 18)
        number = str(rand.randrange(10**digits))
        if rand.random() < 0.6:
            number += "." + "".join(rand.choices("0123456789", k=rand.randrange(1, 9)))
        if rand.random() < 0.3:
            number = "-" + number
        if rand.random() < 0.1:
            number = "0.000" + number.lstrip("-").replace(".", "")
        if not has_fragile_number(number.encode()):
            assert again(number) == number
            kept += 1
    assert kept > 5_000
