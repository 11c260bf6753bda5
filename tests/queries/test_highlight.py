"""Fragments of texts with the words of a search marked."""

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pynori.errors import InvalidQuery
from pynori.queries.highlight import (
    PRE_TAGS,
    Highlight,
    Highlightings,
    Wanted,
    fragments_of,
    highlights_of,
)
from pynori.queries.values import Values
from pynori.rql.ast import Path
from pynori.rql.parser import parse
from pynori.text.tokenizers import Token

TEXT = (
    "Itamar Syn-Hershko: Afraid of Map/Reduce? In this session, core RavenDB developer Itamar Syn-Hershko will walk "
    "through the RavenDB indexing process, grok it and much more."
)
STARS = Highlight(Path(("content",)), 128, 2, None, ("*", "+"), ("*", "+"))


def cut(pattern: str, text: str) -> list[Token]:
    return [Token(match[0], number, *match.span()) for number, match in enumerate(re.finditer(pattern, text))]


def words(text: str) -> list[Token]:
    return [token._replace(text=token.text.lower()) for token in cut(r"\w+", text)]


def stems(text: str) -> list[Token]:
    return [token._replace(text=token.text.removesuffix("ed")) for token in words(text)]


def blanks(text: str) -> list[Token]:
    return cut(r"\S+", text)


def pairs(text: str) -> list[Token]:
    return [Token(text[start : start + 2], start, start, start + 2) for start in range(len(text) - 1)]


def asked(text: str, **parameters: object) -> list[Highlight]:
    return highlights_of(parse(text), Values(parameters, datetime(2026, 1, 1, tzinfo=UTC)))


def test_fragments() -> None:
    """Fragments begin near a word that was searched for, end with a word, and hold the tags around each mark."""
    assert fragments_of(TEXT, STARS, Wanted(["ravendb"]), words) == [
        "core *RavenDB* developer Itamar Syn-Hershko will walk through the *RavenDB* indexing process, "
        "grok it and much more."
    ]
    short = Highlight(Path(("content",)), 30, 5, None, ("*",), ("*",))
    assert fragments_of(TEXT, short, Wanted(["ravendb"]), words) == [
        "core *RavenDB* developer Itamar",
        "the *RavenDB* indexing process,",
    ]


def test_tags_follow_the_words_of_the_search() -> None:
    """Each word of the search has a tag of its own; more words than tags begin again."""
    found = fragments_of("one two three", STARS, Wanted(["two", "three", "one"]), words)
    assert found == ["*one* *two* +three+"]


def test_best_fragment_first() -> None:
    """A fragment with more of the words comes before one that stands earlier."""
    text = "red" + " filler" * 20 + " red and blue"
    short = Highlight(Path(("content",)), 40, 1, None, ("*",), ("*",))
    assert fragments_of(text, short, Wanted(["red", "blue"]), words) == ["*red* and *blue*"]


def test_the_analyzer_decides() -> None:
    """What is marked is what the analyzer makes a wanted token of, whole words or parts, and never twice."""
    assert fragments_of("He walked", STARS, Wanted(["walk"]), stems) == ["He *walked*"]
    assert fragments_of("see Syn-Hershko", STARS, Wanted(["hershko"]), words) == ["Syn-*Hershko*"]
    assert fragments_of("bob@x.org bob", STARS, Wanted(["bob@x.org"]), blanks) == ["*bob@x.org* bob"]
    assert fragments_of("abcd", STARS, Wanted(["ab", "bc"]), pairs) == ["*ab*cd"]


def test_wildcards() -> None:
    """Wanted tokens may hold stars and question marks."""
    assert fragments_of("indexing an index", STARS, Wanted(["ind*x?ng"]), words) == ["*indexing* an index"]
    assert not Wanted([])


def test_query() -> None:
    """`include highlight(...)` names field, length, count and options."""
    options = {"GroupKey": "slug", "PreTags": ["<"], "PostTags": [">"]}
    assert asked("from X as x include highlight(x.title,128,2), highlight(body,18,1,$o)", o=options) == [
        Highlight(Path(("title",)), 128, 2),
        Highlight(Path(("body",)), 18, 1, "slug", ("<",), (">",)),
    ]
    assert PRE_TAGS[0] == '<b style="background:yellow">'


@pytest.mark.parametrize(
    "text",
    [
        "highlight(title)",
        "highlight(title, 17, 2)",
        "highlight(title, 128, 0)",
        "highlight(title, 128, 101)",
        "highlight(title, null, 1)",
        'highlight(title, 128, 2, \'{"PreTags": ["<"]}\')',
        "highlight(5, 128, 2)",
    ],
)
def test_what_is_refused(text: str) -> None:
    """Fragments too short to hold a mark, none or too many of them, and half a pair of tags are refused."""
    with pytest.raises(InvalidQuery):
        asked(f"from X include {text}")


def test_highlightings() -> None:
    """Fragments are gathered by field and by the id or the group key of the result."""
    plain = Highlight(Path(("title",)), 50, 1, None, ("*",), ("*",))
    grouped = Highlight(Path(("body",)), 50, 2, "slug", ("[",), ("]",))
    found = Highlightings([plain, grouped], {"title": Wanted(["a"]), "body": Wanted(["b"])}, lambda field: words)
    found.add("x/1", lambda field: {"title": ["a b"], "body": ["b a", "none", "b"], "slug": ["s1"]}.get(field, []))
    found.add("x/2", lambda field: {"title": ["none"], "body": [5, None], "slug": []}.get(field, []))
    assert found.found == {"title": {"x/1": ["*a* b"]}, "body": {"s1": ["[b] a", "[b]"]}}


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(["red", "blue", "a", "x-y", "longerword", " ", ",", "\n", "ü"]), max_size=60),
       st.integers(18, 60))  # fmt: skip
def test_fragments_are_pieces_of_the_text(pieces: list[str], length: int) -> None:
    """Without its tags each fragment stands in the text, is no longer than asked for, and none overlap."""
    text = " ".join(pieces)
    highlight = Highlight(Path(("t",)), length, 100, None, ("\x01",), ("\x02",))
    fragments = fragments_of(text, highlight, Wanted(["red", "ü", "y"]), words)
    plain = [fragment.replace("\x01", "").replace("\x02", "") for fragment in fragments]
    assert all(each in text and len(each) <= length for each in plain)
    assert sum(fragment.count("\x01") for fragment in fragments) == sum(
        each in ("red", "ü") or each == "x-y" for each in pieces
    )
