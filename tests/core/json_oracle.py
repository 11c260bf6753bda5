"""Python's own JSON reader as the judge of ours: same texts accepted, equal values, but for what is listed here.

Differences, all of them meant: NaN and Infinity are refused; so are lone surrogates, what nests deeper than 128
levels, and what exceeds a limit; numbers are kept as text where a double would change them, so they are compared as
written back.
"""

import json
import sys
from typing import Any

from pynori_core.blittable import blittable_bytes, validate
from pynori_core.errors import JsonError, TooLarge
from pynori_core.json import JsonCodec

DEPTH_MAX = 128
CODEC = JsonCodec()


def refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def judge(data: bytes) -> bool:
    """Whether the text is accepted. Fails where our reader and Python's disagree without a listed reason."""
    try:
        text = data.decode("utf-8")
        expected = json.loads(text, parse_constant=refuse_constant)
        accepted = True
    except (UnicodeDecodeError, ValueError, RecursionError):
        expected = None
        accepted = False
    try:
        made = blittable_bytes(data)
    except TooLarge:
        return False
    except JsonError as error:
        meant = "deep" in str(error) or "levels" in str(error) or (accepted and has_lone_surrogate(expected))
        assert meant or not accepted, (data, error)
        return False
    validate(made)
    written = CODEC.write(made)
    if not accepted:
        # What Python refuses for a limit of its own: numbers of more digits than it converts.
        assert longest_number(data) > sys.get_int_max_str_digits(), data
        return True
    assert json.loads(written) == expected, (data, written)
    return True


def has_lone_surrogate(value: Any) -> bool:
    """Whether a string in it cannot be written as UTF-8."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def longest_number(data: bytes) -> int:
    longest = run = 0
    for byte in data:
        run = run + 1 if 0x30 <= byte <= 0x39 else 0
        longest = max(longest, run)
    return longest
