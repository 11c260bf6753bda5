"""The framer of arrays that arrive in pieces: cuts at the same places wherever the bytes were cut."""

from __future__ import annotations

import json
import random

import pytest
from pynori_core.errors import JsonError
from pynori_core.framing import ArrayFramer


def elements(text: bytes, sizes: list[int]) -> list[object]:
    """Feed the text in pieces of these sizes; the elements that were cut from it."""
    framer = ArrayFramer()
    found: list[object] = []
    held = b""
    for size in sizes:
        piece, text = text[:size], text[size:]
        if not piece:
            break
        cut = framer.scan(piece)
        if cut:
            run = (held + piece[:cut]).lstrip(b" \r\n\t[,")
            found += json.loads(b"[" + run + b"]")
            held = piece[cut:]
        else:
            held += piece
    assert framer.ended
    assert framer.count == len(found)
    return found


def random_value(rand: random.Random, depth: int) -> object:
    kind = rand.randrange(6 if depth else 4)
    if kind == 0:
        return rand.choice([None, True, False, 1.5, -7])
    if kind <= 3:
        return "".join(rand.choice('ab"\\{}[],: \n\u20ac') for _ in range(rand.randrange(12)))
    if kind == 4:
        return [random_value(rand, depth - 1) for _ in range(rand.randrange(4))]
    return {str(random_value(rand, 0)): random_value(rand, depth - 1) for _ in range(rand.randrange(4))}


@pytest.mark.parametrize("seed", range(40))
def test_random_arrays_in_random_pieces(seed: int) -> None:
    """Whatever the array and wherever the pieces end, the elements come out whole and in order."""
    rand = random.Random(seed)
    array = [{"v": random_value(rand, 4)} for _ in range(rand.randrange(8))]
    text = json.dumps(array, ensure_ascii=rand.random() < 0.5, indent=rand.choice([None, 1])).encode()
    for largest in (1, 3, 20, len(text)):
        sizes = [rand.randint(1, largest) for _ in range(len(text))]
        assert elements(text, sizes) == array, f"seed {seed}, pieces up to {largest}"


def test_nothing_is_read_behind_the_end() -> None:
    """The closing bracket ends the array; what follows does not matter."""
    framer = ArrayFramer()
    assert framer.scan(b'[{"a":1}] {]garbage') == 8
    assert framer.ended
    assert framer.scan(b"more") == 0


def test_states() -> None:
    """An element is open until its last brace; before the first bracket nothing has begun."""
    framer = ArrayFramer()
    assert (framer.begun, framer.between, framer.ended) == (False, True, False)
    framer.scan(b' [ {"a":"}')
    assert (framer.begun, framer.between) == (True, False)
    assert framer.scan(b'"} , ') == 2
    assert framer.between


@pytest.mark.parametrize(
    ("text", "offset"), [(b"{}", 0), (b"[1]", 1), (b'["a"]', 1), (b"[[]]", 1), (b"[{}x]", 3), (b"\xef\xbb\xbf[]", 0)]
)
def test_anything_but_objects_is_refused(text: bytes, offset: int) -> None:
    """The first byte that cannot stand there is named by its offset."""
    with pytest.raises(JsonError) as caught:
        ArrayFramer().scan(text)
    assert caught.value.offset == offset
