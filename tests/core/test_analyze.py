"""Native text analysis agrees with a second implementation, in regular expressions over Python's own Unicode tables."""

import random
import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pynori_core import analyze

STANDARD = analyze.STANDARD | analyze.LOWER | analyze.CLEAN | analyze.STOP
ALL = [tokenizer | flags for tokenizer in (0, 1, 2) for flags in range(0, 32, 4)]
SAMPLE = "aAzZsS019 .,-_/@&'\u2019\n\tÄéΣ\u03c3İẞΩ漢かカ한글٣५ािé\u0301😀\u00a0\u3000𐐀\ue000"


def is_own_word(code: int) -> bool:
    """Blocks whose letters are a word each."""
    return (
        0x3040 <= code <= 0x312F or 0x31F0 <= code <= 0x31FF or 0x3400 <= code <= 0x4DBF or 0x4E00 <= code <= 0x9FFF
        or 0xF900 <= code <= 0xFAFF or 0xFF65 <= code <= 0xFF9F or 0x1AFF0 <= code <= 0x1B16F
        or 0x20000 <= code <= 0x3FFFF
    )  # fmt: skip


def kind(character: str) -> str:
    """L letter, D digit, W a word of its own, S white space, or the character where it may join words, else O."""
    category = unicodedata.category(character)
    if category[0] == "L":
        return "W" if is_own_word(ord(character)) else "L"
    if category in ("Mn", "Mc"):
        return "L"
    if category == "Nd":
        return "D"
    if character.isspace():
        return "S"
    return "'" if character in "'\u2019" else character if character in ".,-_/@&" else "O"


WORD = "[LD]+"
DIGIT_WORD = "L*D[LD]*"
JOIN = "[-_/.,]"
RULES = [
    rf"{WORD}",
    r"L+(?:'L+)+(?![LD])",
    r"L+[&@]L+(?![LD])",
    rf"{WORD}(?:[-._]{WORD})*@{WORD}(?:[-.]{WORD})+",
    rf"{WORD}(?:\.{WORD})+",
    rf"{WORD}(?:{JOIN}{DIGIT_WORD}{JOIN}{WORD})*(?:{JOIN}{DIGIT_WORD})?",
    rf"{DIGIT_WORD}(?:{JOIN}{WORD}{JOIN}{DIGIT_WORD})*(?:{JOIN}{WORD})?",
    r"(?:L\.){2,}",
]  # fmt: skip


def reference(text: str, analyzer: int) -> list[tuple[str, int, int, int]]:
    """What `analyze.tokens` must give."""
    kinds = "".join(map(kind, text))
    found: list[tuple[str, int, int, int]] = []
    here = position = 0
    tokenizer = analyzer & 3
    first = {analyze.STANDARD: "[LDW]", analyze.LETTERS: "[LW]", analyze.WHITESPACE: "[^S]"}[tokenizer]
    while match := re.compile(first).search(kinds, here):
        start, acronym, apostrophe = match.start(), False, False
        if tokenizer != analyze.STANDARD:
            end = re.compile(first + "{1,255}").match(kinds, start).end()  # type: ignore[union-attr]
        elif kinds[start] == "W":
            end = start + 1
        else:
            end, acronym, apostrophe = longest(kinds, start)
        here = end
        term = change(text[start:end], analyzer, acronym, apostrophe)
        if end - start <= 255 and not (analyzer & analyze.STOP and term in analyze.stop_words):
            found.append((term, position, start, end))
            position += 1
    return found


def longest(kinds: str, start: int) -> tuple[int, bool, bool]:
    """The end of the longest token of at most 255 characters, or of the first word; which rule gave it."""
    word = re.compile(WORD).match(kinds, start)
    assert word is not None
    best, which = word.end(), 0
    for number, rule in enumerate(RULES[1:], 1):
        for size in range(min(255, len(kinds) - start), best - start, -1):
            if re.compile(rule).fullmatch(kinds, start, start + size) and whole_words(kinds, start + size, number):
                best, which = start + size, number
                break
    return best, which == 7, which == 1


def whole_words(kinds: str, end: int, rule: int) -> bool:
    """A token ends where a word ends."""
    return rule == 7 or end == len(kinds) or kinds[end] not in "LD"


def change(term: str, analyzer: int, acronym: bool, apostrophe: bool) -> str:
    if analyzer & analyze.CLEAN:
        if acronym:
            term = term.replace(".", "")
        if apostrophe:
            term = re.sub("['\u2019][sS]$", "", term)
    if analyzer & analyze.LOWER:
        term = "".join("i" if each == "\u0130" else each.lower() for each in term)
    return term


def test_kinds_of_characters_are_those_of_unicode() -> None:
    """The frozen table agrees with unicodedata for every character: each forms tokens as its category says."""
    if unicodedata.unidata_version != "14.0.0":
        pytest.skip("the table is of Unicode 14")
    for code in range(0x110000):
        if 0xD800 <= code < 0xE000:
            continue
        character = chr(code)
        expected = kind(character)
        assert bool(analyze.terms(character, analyze.STANDARD)) == (expected in "LDW"), hex(code)
        assert bool(analyze.terms(character, analyze.LETTERS)) == (expected in "LW"), hex(code)
        if expected in "LDW":
            joined = len(analyze.terms("a" + character, analyze.STANDARD)) == 1
            assert joined == (expected != "W"), hex(code)


@settings(max_examples=400, deadline=None)
@given(st.text(alphabet=SAMPLE, max_size=60), st.sampled_from([STANDARD, *ALL]))
def test_terms_agree_on_random_text(text: str, analyzer: int) -> None:
    """Both implementations give the same terms, positions and places for any text and any analyzer."""
    assert analyze.tokens(text, analyzer) == reference(text, analyzer)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40))
def test_terms_agree_on_any_characters(text: str) -> None:
    """The same with any characters of Unicode 14, lone surrogates excluded."""
    text = "".join(each for each in text if unicodedata.category(each) not in ("Cs", "Cn"))
    assert analyze.tokens(text, STANDARD) == reference(text, STANDARD)


def test_long_words_are_bounded() -> None:
    """A word of 255 characters is a term, a longer one is passed over; other tokenizers cut."""
    dice = random.Random(3)
    for size in (254, 255, 256, 257, 511, 3000):
        for letter in ("a", "é", "𐐀"):
            text = f"x {letter * size} y"
            assert analyze.tokens(text, STANDARD) == reference(text, STANDARD)
            assert analyze.tokens(text, analyze.LETTERS) == reference(text, analyze.LETTERS)
    for _ in range(10):
        text = "".join(dice.choice("ab1.-'@") for _ in range(600))
        assert analyze.tokens(text, STANDARD) == reference(text, STANDARD)


def test_bytes_that_are_no_text_are_separators() -> None:
    """Any bytes can be walked over: nothing is read behind them and no token comes from what is not UTF-8."""
    dice = random.Random(11)
    for _ in range(20_000):
        size = dice.randrange(12)
        data = bytes(dice.choice(b"ab \x80\xc3\xa9\xe2\x80\x99\xf0\x90\x90\x80\xff'.s") for _ in range(size))
        for analyzer in (STANDARD, analyze.WHITESPACE, analyze.LETTERS | analyze.LOWER):
            assert analyze.count(data, analyzer) >= 0
    assert analyze.count(b"\xffab\xc3", STANDARD) == 1


def test_numbers_that_are_no_analyzer_are_refused() -> None:
    """An unknown tokenizer or flag is an error, not an empty answer."""
    for number in (3, 7, 32, 1 << 20):
        with pytest.raises(ValueError, match="no analyzer"):
            analyze.terms("a", number)
