"""Suggestions and the measures of likeness behind them."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pynori.errors import InvalidQuery, LimitExceeded
from pynori.limits import QUERY_SUGGEST_WORD_SIZE_MAX, QUERY_SUGGEST_WORDS_MAX
from pynori.queries.suggestions import Distance, Sort, Suggest, SuggestOptions, similar, suggests_of
from pynori.queries.text_distance import jaro_winkler, levenshtein, ngram
from pynori.queries.values import Values
from pynori.rql.ast import Path
from pynori.rql.parser import parse

NAMES = [(name, 1) for name in ("david", "jack", "john", "johnson", "jones", "robery", "smith")]
WORDS = st.text("abcdeé", min_size=1, max_size=9)


def suggests(text: str, **parameters: object) -> list[Suggest]:
    return suggests_of(parse(text), Values(parameters, datetime(2026, 1, 1, tzinfo=UTC)))


def test_known_distances() -> None:
    """The measures give the values that their inventors published."""
    assert levenshtein("kitten", "sitting") == pytest.approx(1 - 3 / 7)
    assert jaro_winkler("martha", "marhta") == pytest.approx(0.9611, abs=1e-4)
    assert jaro_winkler("dwayne", "duane") == pytest.approx(0.84, abs=1e-4)
    assert jaro_winkler("dixon", "dicksonx") == pytest.approx(0.8133, abs=1e-4)
    assert ngram("ab", "ab") == 1.0
    assert ngram("a", "b") == 0.0


@settings(max_examples=200, deadline=None)
@given(WORDS, WORDS)
def test_measures_are_measures(left: str, right: str) -> None:
    """Every measure is 1 for equal words, lies between 0 and 1, and does not care which word comes first."""
    for measure in (levenshtein, jaro_winkler, ngram):
        assert measure(left, left) == pytest.approx(1.0)
        assert -1e-9 <= measure(left, right) <= 1 + 1e-9
        assert measure(left, right) == pytest.approx(measure(right, left))


def test_short_and_long_words_share_different_runs() -> None:
    """Candidates share a run of letters whose size fits both words, however low the accuracy is."""
    options = SuggestOptions(0.4, 5, Distance.JARO_WINKLER)
    assert similar("johne", 0, NAMES, options) == ["john", "jones", "johnson"]
    assert similar("davi", 0, NAMES, options) == ["david", "jack"]
    terms = [("ayende", 1), ("oren", 1), ("john steinbeck", 1)]
    assert similar("oern", 0, terms, SuggestOptions(0.2, 10)) == ["oren"]
    assert similar("john steinback", 0, terms, SuggestOptions(0.4)) == ["john steinbeck"]
    assert similar("oren", 1, terms, SuggestOptions()) == []


def test_popularity() -> None:
    """Among equally like terms the frequent ones come first; less frequent ones than the word itself do not come."""
    terms = [("bank", 1), ("band", 9), ("bang", 5), ("bane", 3)]
    assert similar("banx", 0, terms, SuggestOptions()) == ["band", "bang", "bane", "bank"]
    assert similar("bane", 3, terms, SuggestOptions()) == ["band", "bang"]
    assert similar("bane", 3, terms, SuggestOptions(sort=Sort.NONE)) == ["band", "bang", "bank"]
    assert similar("banx", 0, terms, SuggestOptions(page_size=2)) == ["band", "bang"]


def test_long_words_resemble_nothing() -> None:
    """Words and terms beyond the bound are not compared, since the cost is the product of their sizes."""
    size = QUERY_SUGGEST_WORD_SIZE_MAX
    assert similar("a" * (size + 1), 0, [("a" * size, 1)], SuggestOptions()) == []
    assert similar("a" * size, 0, [("a" * (size + 1), 1)], SuggestOptions()) == []


@pytest.mark.parametrize("names", [("accuracy", "pageSize", "distance", "sortMode"),
                                   ("Accuracy", "PageSize", "Distance", "SortMode")])  # fmt: skip
def test_options_in_any_spelling(names: tuple[str, ...]) -> None:
    """Options are read in the spelling of every builder."""
    options = dict(zip(names, (0.7, 3, "JaroWinkler", "None"), strict=True))
    found = suggests("from index 'x' as u select suggest(u.name, $p0, $p1) as s", p0=["a", "b"], p1=options)
    assert found == [
        Suggest("s", Path(("name",)), ("a", "b"), SuggestOptions(0.7, 3, Distance.JARO_WINKLER, Sort.NONE))
    ]


def test_options_written_in_the_text() -> None:
    """Options may be JSON in the text; without them the defaults hold."""
    found = suggests("from X select suggest(name, 'word', '{\"Accuracy\": 0.4}'), suggest('other', 'w')")
    assert [each.options for each in found] == [SuggestOptions(0.4), SuggestOptions()]
    assert [each.name for each in found] == ["name", "other"]


@pytest.mark.parametrize(
    ("text", "parameters", "message"),
    [
        ("from X select suggest(name)", {}, "selects suggest"),
        ("from X select suggest(name, 'a'), name", {}, "nothing else"),
        ("from X select suggest(name, 5)", {}, "a word or an array"),
        ("from X select suggest(name, $p)", {"p": []}, "a word or an array"),
        ("from X where a = 1 select suggest(name, 'a')", {}, "has no where"),
        ("from X select suggest(name, 'a', $p)", {"p": {"accuracy": 2}}, "Accuracy"),
        ("from X select suggest(name, 'a', $p)", {"p": {"distance": "Far"}}, "one of Default, Levenshtein"),
        ("from X select suggest(name, 'a', $p)", {"p": 5}, "must be an object"),
        ("from X select suggest(name, 'a', '{')", {}, "not valid JSON"),
    ],
)
def test_what_is_refused(text: str, parameters: dict[str, object], message: str) -> None:
    """What cannot be a suggestion is refused with a sentence that says why."""
    with pytest.raises(InvalidQuery, match=message):
        suggests(text, **parameters)


def test_words_are_bounded() -> None:
    """A query asks for a bounded number of words."""
    with pytest.raises(LimitExceeded, match="QUERY_SUGGEST_WORDS_MAX"):
        suggests("from X select suggest(name, $p)", p=["a"] * (QUERY_SUGGEST_WORDS_MAX + 1))
