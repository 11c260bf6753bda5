"""Ids: keys are Unicode's simple lower case, and nothing about them depends on where a character stands."""

import random
import re
import sys
import unicodedata

import pytest
from pynori_core import identifier


def lower(character: str) -> str:
    return "i" if character == "\u0130" else character.lower()


def test_every_character_has_the_key_that_unicode_says() -> None:
    """The frozen table agrees with str.lower for every character of Unicode 14; later ones keep their case."""
    same_version = unicodedata.unidata_version == "14.0.0"
    for code in range(sys.maxunicode + 1):
        if 0xD800 <= code < 0xE000:
            continue
        character = chr(code)
        key = identifier.key_of(character).decode()
        if same_version or key != character:
            assert key == lower(character), hex(code)


def test_strings_are_lowered_character_by_character() -> None:
    """Random strings around the eight-byte fast path lower as their characters do, without regard to neighbours."""
    dice = random.Random(7)
    for _ in range(20_000):
        text = "".join(dice.choice("aAzZ@[`{0/-ÄéΣσİẞȺΩ漢😀𐐀") for _ in range(dice.randrange(1, 40)))
        assert identifier.key_of(text).decode() == "".join(map(lower, text))


def test_the_longest_id_has_a_key() -> None:
    """512 bytes of the characters that grow are lowered within the bound; one byte more is refused."""
    assert len(identifier.key_of("\u023a" * 256)) == 768
    with pytest.raises(ValueError, match="ID_SIZE_MAX"):
        identifier.key_of("a" * 513)


def test_guids_are_random_and_well_formed() -> None:
    """A made id is a version 4 GUID, and two of them differ."""
    guids = {identifier.guid() for _ in range(1000)}
    assert len(guids) == 1000
    assert all(re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", g) for g in guids)
