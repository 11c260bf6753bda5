"""Python's json and orjson as the judges of our JSON: same texts accepted, equal values, but for what is listed here.

Meant: NaN and Infinity are refused, which Python's takes; lone surrogates are refused, as orjson does; so is what nests
deeper than 128 levels or exceeds a limit. Numbers are kept as text, so that one too large for a double is accepted,
which orjson refuses; values are compared as they are written back.
"""

import json
import sys
from typing import Any

import orjson
from pynori_core.blittable import blittable_bytes, validate
from pynori_core.errors import JsonError, TooLarge
from pynori_core.json import JsonCodec

DEPTH_MAX = 128
CODEC = JsonCodec()


def refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def judge(data: bytes) -> str:
    """What became of a text: equal, refused, deep, surrogate. Fails where we and the judges disagree otherwise."""
    accepted, expected = read_python(data)
    try:
        made = blittable_bytes(data)
    except TooLarge as error:
        assert "levels" not in str(error) or depth(data) > DEPTH_MAX, (data, error)
        return "deep"
    except JsonError as error:
        if not accepted:
            return "refused"
        assert has_lone_surrogate(everything(data)), (data, error)
        assert not read_orjson(data)[0], data
        return "surrogate"
    validate(made)
    if not accepted:
        # What Python refuses for a limit of its own: numbers of more digits than it converts.
        assert longest_number(data) > sys.get_int_max_str_digits(), data
        return "equal"
    written = CODEC.write(made)
    assert same(json.loads(written), expected), (data, written)
    taken, value = read_orjson(data)
    if taken:
        assert same(orjson.loads(written), value), (data, written)
    else:
        assert has_infinity(everything(data)), data
    return "equal"


def read_python(data: bytes) -> tuple[bool, Any]:
    try:
        return True, json.loads(data.decode("utf-8"), parse_constant=refuse_constant)
    except (UnicodeDecodeError, ValueError, RecursionError):
        return False, None


def read_orjson(data: bytes) -> tuple[bool, Any]:
    try:
        return True, orjson.loads(data)
    except orjson.JSONDecodeError:
        return False, None


def everything(data: bytes) -> Any:
    """The value with objects as tuples of pairs, so that a value whose name comes again is in it too."""
    return json.loads(data, object_pairs_hook=tuple)


def same(left: Any, right: Any) -> bool:
    """Equal, with 1, 1.0 and True told apart, and -0.0 from 0.0; of a name that occurs twice the last value counts."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[name], right[name]) for name in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right) and (not isinstance(left, float) or repr(left) == repr(right))


def has_lone_surrogate(value: Any) -> bool:
    """Whether a string in it cannot be written as UTF-8."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def has_infinity(value: Any) -> bool:
    """Whether a number in it is too large for a double."""
    if isinstance(value, list | tuple):
        return any(map(has_infinity, value))
    if isinstance(value, int):
        return abs(value) > sys.float_info.max
    return value in (float("inf"), float("-inf"))


def depth(data: bytes) -> int:
    """The most containers that are open at once, outside of strings."""
    deepest = now = 0
    inside = escaped = False
    for byte in data:
        if inside:
            inside = escaped or byte != 0x22
            escaped = not escaped and byte == 0x5C
        elif byte == 0x22:
            inside = True
        elif byte in b"[{":
            now += 1
            deepest = max(deepest, now)
        elif byte in b"]}":
            now -= 1
    return deepest


def longest_number(data: bytes) -> int:
    longest = run = 0
    for byte in data:
        run = run + 1 if 0x30 <= byte <= 0x39 else 0
        longest = max(longest, run)
    return longest
