"""Analyzers by name: what each makes of the same text, and what names lead to it."""

import random

import pytest
from pynori_core import analyze

from pynori.errors import CompilationError, InvalidArgument
from pynori.text import filters
from pynori.text.analyzers import STANDARD, Analyzer, find_analyzer, shipped, short_name
from pynori.text.stemmer import stemmer
from pynori.text.tokenizers import Token

TEXT = "The quick brown fox jumped over the lazy dogs, Bob@hotmail.com 123432."

TRANSCRIPT = """
StandardAnalyzer: quick brown fox jumped over lazy dogs bob@hotmail.com 123432
Lucene.Net.Analysis.Standard.StandardAnalyzer: quick brown fox jumped over lazy dogs bob@hotmail.com 123432
RavenStandardAnalyzer: quick brown fox jumped over lazy dogs bob@hotmail.com 123432
Lucene.Net.Analysis.SimpleAnalyzer: the quick brown fox jumped over the lazy dogs bob hotmail com
StopAnalyzer: quick brown fox jumped over lazy dogs bob hotmail com
Lucene.Net.Analysis.WhitespaceAnalyzer, Lucene.Net: The quick brown fox jumped over the lazy dogs, Bob@hotmail.com 123432.
LowerCaseWhitespaceAnalyzer: the quick brown fox jumped over the lazy dogs, bob@hotmail.com 123432.
KeywordAnalyzer: The quick brown fox jumped over the lazy dogs, Bob@hotmail.com 123432.
LowerCaseKeywordAnalyzer: the quick brown fox jumped over the lazy dogs, bob@hotmail.com 123432.
EnglishAnalyzer: quick brown fox jump over lazi dog bob@hotmail.com 123432
SnowballAnalyzer: quick brown fox jump over lazi dog bob@hotmail.com 123432
"""  # noqa: E501


def words(analyzer: Analyzer, text: str) -> str:
    return " ".join(term for term, _ in analyzer.terms(text))


@pytest.mark.parametrize("line", TRANSCRIPT.strip().split("\n"))
def test_terms_by_name(line: str) -> None:
    """Each name, short, in full or with an assembly, gives the terms of its analyzer."""
    name, expected = line.split(": ", 1)
    assert words(find_analyzer(name, "body"), TEXT) == expected


def test_possessives_and_stop_words_leave_seven_terms() -> None:
    """Stop words leave no gaps in the positions, a possessive goes, and what remains are seven terms."""
    terms = find_analyzer("StandardAnalyzer", "body").terms(
        "It is the dragon's golden hoard, and an old wizard's map to that mountain"
    )
    words = ["dragon", "golden", "hoard", "old", "wizard", "map", "mountain"]
    assert terms == [(word, position) for position, word in enumerate(words)]


def test_tokens_stand_where_the_text_has_them() -> None:
    """Cutting the text by a token's places gives what the term was made from, for every analyzer."""
    text = "Élan vital: O'Neil's U.S.A. trip, naïve. 漢字"
    for name in ("standard", "simple", "whitespace", "german", "ngram"):
        analyzer = shipped(name)
        assert analyzer is not None
        tokens = analyzer.tokens(text)
        assert [(token.text, token.position) for token in tokens] == analyzer.terms(text)
        for token in tokens:
            assert 0 <= token.start < token.end <= len(text)
            if name != "ngram":
                assert filters.fold(text[token.start]).lower() == filters.fold(token.text[0]).lower()


def test_native_analyzers_are_their_own_steps() -> None:
    """Walking the steps in Python gives what the engine gives, on random text."""
    dice = random.Random(5)
    for _ in range(2_000):
        text = "".join(dice.choice("aBÉthe is'sS.-@1 漢\u2019") for _ in range(dice.randrange(40)))
        for name in ("standard", "simple", "stop", "whitespace", "lowercasewhitespace"):
            analyzer = shipped(name)
            assert analyzer is not None and analyzer.native is not None
            by_hand = Analyzer(analyzer.name, analyzer.tokenizer, analyzer.filters)
            assert by_hand.tokens(text) == analyzer.tokens(text)


def test_stems_bring_words_together() -> None:
    """A stemming analyzer gives run and running, and German plural and singular, one term."""
    english, german = find_analyzer("EnglishAnalyzer", "body"), find_analyzer("GermanAnalyzer", "body")
    assert english.terms("run") == english.terms("Running")
    assert german.terms("Häuser") == german.terms("Hauses")
    with pytest.raises(InvalidArgument, match="no stemmer for 'klingon'"):
        stemmer("klingon")


def test_grams_are_the_parts_of_each_word() -> None:
    """The n-gram analyzer gives parts of 2 to 6 characters at the position of their word."""
    assert words(find_analyzer("NGramAnalyzer", "body"), "the cat") == "ca at cat"
    assert list(filters.grams(1, 2, edge=True).apply([Token("cat", 4, 10, 13)])) == [
        Token("c", 4, 10, 11), Token("ca", 4, 10, 12),
    ]  # fmt: skip
    with pytest.raises(InvalidArgument, match="GRAM_SIZE_MAX"):
        filters.grams(2, 1)


def test_parts_of_words_are_changed_by_character_only() -> None:
    """What stands in a pattern is lower-cased and folded, never stopped or stemmed."""
    assert STANDARD.part("The") == "the"
    assert (
        Analyzer("own", STANDARD.tokenizer, (filters.LOWER, filters.FOLD, filters.stem("english"))).part("Runnîng")
        == "running"
    )
    assert shipped("whitespace").part("The") == "The"  # type: ignore[union-attr]


def test_unknown_names_are_refused() -> None:
    """The error names analyzer and field; own analyzers go before shipped ones."""
    with pytest.raises(CompilationError, match="Cannot find analyzer type 'MyAnalyzer' for field: name"):
        find_analyzer("MyAnalyzer", "name")
    with pytest.raises(CompilationError, match="rules of a culture"):
        find_analyzer("Raven.Server.Collation.Cultures.SvCollationAnalyzer", "name")
    own = Analyzer("MyAnalyzer", STANDARD.tokenizer)
    assert find_analyzer("myanalyzer", "name", {"MyAnalyzer": own}) is own
    assert short_name("Lucene.Net.Analysis.Standard.StandardAnalyzer, Lucene.Net") == "standard"
    assert " ".join(sorted(analyze.stop_words)) == (
        "a an and are as at be but by for if in into is it no not of on or such that the their then there these they "
        "this to was will with"
    )
