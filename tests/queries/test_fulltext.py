"""Conditions in words: what search, lucene, fuzzy and proximity find, and which comes first."""

from __future__ import annotations

import math
import random
import re

import pytest

from pynori.errors import InvalidQuery, LimitExceeded
from pynori.queries.fulltext import pieces_of
from pynori.text.analyzers import Analyzer
from tests.queries.places_and_words import Shelf, shelved

TEXTS = {
    "1": "The quick brown fox jumps over the lazy dog",
    "2": "A quick fox is a brown fox",
    "3": "The dragon's hoard: gold, silver, and wi-fi",
    "4": "quick lazy cats",
    "5": "Dragons and dogs, quickly!",
    "6": "Nothing of that kind; mail bob@example.com or see www.example.com, item wd-40",
}
ENTRIES = {
    id: {"text": text, "name": f"Name {id}", "number": int(id)} for id, text in TEXTS.items()
}  # fmt: skip

SEARCHES = """
search(text, 'quick')                         | 1 2 4
search(text, 'QUICK')                         | 1 2 4
search(text, 'dragon')                        | 3
search(text, 'dragon dog')                    | 1 3
search(text, 'dragon dog', or)                | 1 3
search(text, 'quick lazy', and)               | 1 4
search(text, 'quick the lazy', and)           | 1 4
search(text, 'the')                           |
search(text, '')                              |
search(text, 'quick*')                        | 1 2 4 5
search(text, '*ons')                          | 5
search(text, '*rago*')                        | 3 5
search(text, 'd?gs')                          | 5
search(text, '*')                             | 1 2 3 4 5 6
search(text, '"quick brown"')                 | 1
search(text, '"quick fox"')                   | 2
search(text, '"brown quick" dragon')          | 3
search(text, 'wi-fi')                         | 3
search(text, 'fi-wi')                         |
search(text, 'bob@example.com')               | 6
search(text, 'example.com')                   |
search(text, 'WD-40')                         | 6
search(text, 'quick') and not search(text, 'fox')  | 4
search(text, 'quick') and number > 1          | 2 4
search(name, '3 4')                           |
search(name, 'name*')                         | 1 2 3 4 5 6
search(number, '3 4')                         | 3 4
search(text, $list)                           | 1 3
text = 'brown fox'                            | 1 2
text = 'dragon'                               | 3
startsWith(text, 'Drag')                      | 3 5
proximity(search(text, 'quick fox'), 0)       | 2
proximity(search(text, 'quick fox'), 1)       | 1 2
proximity(search(text, 'quick dog'), 4)       |
proximity(search(text, 'quick dog'), 5)       | 1
proximity(search(text, 'fox quick'), 1)       |
proximity(search(text, 'fox quick'), 2)       | 2
fuzzy(name = 'name 9', 0.5)                   | 1 2 3 4 5 6
fuzzy(name = 'nxme 3', 0.9)                   |
fuzzy(name = 'nme 3', 0.7)                    | 3
fuzzy(text = 'dragn', 0.5)                    | 3 5
fuzzy(text = 'dragn', 0.7)                    | 3
boost(search(text, 'quick'), 5) or search(text, 'dragon') | 1 2 3 4
exact(search(name, 'Name 3'))                 |
lucene(text, 'quick')                         | 1 2 4
lucene(text, 'quick AND lazy')                | 1 4
lucene(text, '+quick -fox')                   | 4
lucene(text, 'quick NOT fox')                 | 4
lucene(text, 'NOT fox')                       |
lucene(text, 'dragon || dogs')                | 3 5
lucene(text, '(dragon OR cats) AND (quick OR gold)') | 3 4
lucene(text, '"quick fox"~1')                 | 1 2
lucene(text, 'dragn~0.7')                     | 3
lucene(text, 'dragn~2')                       | 3 5
lucene(text, 'dra*on?')                       | 5
lucene(text, '/drag.*/')                      | 3 5
lucene(text, 'name:"name 3"')                 | 3
lucene(text, 'number:[2 TO 4]')               | 2 3 4
lucene(text, 'number:{2 TO 4}')               | 3
lucene(text, 'number:[5 TO *]')               | 5 6
lucene(text, '[lazy TO lazy]')                | 1 4
lucene(text, '*:* -quick')                    | 3 5 6
lucene(text, 'name:(\\"name 3\\" \\"name 4\\")') | 3 4
lucene(text, 'wd\\-40')                       | 6
lucene(text, 'quick^3 dragon')                | 1 2 3 4
"""


@pytest.mark.parametrize("row", SEARCHES.strip().split("\n"))
def test_searches_and_what_they_find(row: str) -> None:
    """Each condition finds these entries, in whatever order."""
    condition, expected = row.rsplit("|", 1)

    def test(shelf: Shelf) -> None:
        parameters = {"list": ["fox jumps", "hoard"]} if "$list" in condition else {}
        found = shelf.ask(condition.strip(), **parameters)
        wanted = expected.split()
        if "$list" in condition:
            wanted = ["1", "2", "3"]
        assert sorted(found) == wanted

    shelved(ENTRIES, test)


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("search(text)", "takes a field, a text"), ("search(text, 'a', maybe)", "`and` or `or`"),
        ("fuzzy(name = 'a', 2)", "between 0 and 1"), ("fuzzy(name != 'a', 0.5)", "takes a comparison with ="),
        ("proximity(search(name, 'a b'), 2)", "cut into words"), ("proximity(name = 'a', 2)", "takes a search"),
        ("boost(name = 'a')", "takes a condition and a number"), ("lucene(text, '(quick')", r"'\)' was expected"),
        ("lucene(text, 'quick)')", "the end was expected"), ("lucene(text, '[a b]')", "TO was expected"),
        ("lucene(text, '\"quick')", "closing quote"), ("lucene(text, '/quick')", "closing slash"),
        ("lucene(text, '')", "a term was expected"), ("lucene(text, 'a^b')", "a boost was expected"),
        ("lucene(text, 'AND')", "a term was expected"),
        (f"lucene(text, '{'(' * 40}a{')' * 40}')", "SEARCH_DEPTH_MAX"),
        (f"lucene(text, '{'a ' * 1100}')", "SEARCH_TERMS_MAX"),
    ],
)  # fmt: skip
def test_wrong_conditions_say_why(condition: str, message: str) -> None:
    """A condition that cannot be understood is the asker's error, with what was expected."""

    def test(shelf: Shelf) -> None:
        with pytest.raises(InvalidQuery, match=message):
            shelf.ask(condition)

    shelved(ENTRIES, test)


def test_a_search_has_so_many_terms() -> None:
    """One with more pieces than SEARCH_TERMS_MAX is refused."""

    def test(shelf: Shelf) -> None:
        with pytest.raises(LimitExceeded, match="SEARCH_TERMS_MAX"):
            shelf.ask("search(text, $p)", p="quick " * 1_100)

    shelved(ENTRIES, test)


def test_the_best_comes_first() -> None:
    """Without `order by` entries come by score: rare words and repetitions count more; boosts decide."""

    def test(shelf: Shelf) -> None:
        assert shelf.ask("search(text, 'fox')") == ["2", "1"]
        assert shelf.ask("search(text, 'quick dragon')")[0] == "3"
        assert shelf.ask("boost(search(text, 'quick'), 10) or search(text, 'dragon')")[-1] == "3"
        assert shelf.ask("search(text, 'quick') or boost(search(text, 'dragon'), 10)")[0] == "3"
        assert shelf.ask("boost(name = 'Name 5', 3) or boost(name = 'Name 2', 9)") == ["2", "5"]
        assert shelf.ask("search(text, 'fox')", "order by number desc") == ["2", "1"]
        assert shelf.ask("name = 'Name 2' or name = 'Name 1'") == ["1", "2"]

    shelved(ENTRIES, test)


def test_near_words_come_before_far_ones() -> None:
    """Of what proximity finds, words that stand as asked come first, even in a longer text."""

    def test(shelf: Shelf) -> None:
        assert shelf.ask("proximity(search(text, 'quick fox'), 4)") == ["c", "a", "b"]

    texts = {"a": "a quick brown fox", "b": "the fox is quick", "c": "one quick fox among many other quick animals"}
    shelved({id: {"text": text} for id, text in texts.items()}, test)


def test_scores_are_those_of_the_formula() -> None:
    """BM25 (k1 1.2, b 0.75) summed over the words, times their boosts; refused words do not count."""

    def test(shelf: Shelf) -> None:
        lengths = {id: len(shelf.analyzer.terms(text)) for id, text in TEXTS.items()}
        mean = sum(lengths.values()) / len(lengths)

        def bm25(id: str, word: str) -> float:
            having = sum(1 for text in TEXTS.values() if word in dict(shelf.analyzer.terms(text)))
            count = sum(1 for term, _ in shelf.analyzer.terms(TEXTS[id]) if term == word)
            rarity = math.log(1 + (len(TEXTS) - having + 0.5) / (having + 0.5))
            return rarity * count * 2.2 / (count + 1.2 * (0.25 + 0.75 * lengths[id] / mean))

        plain = shelf.scores("search(text, 'quick fox')")
        for id in ("1", "2", "4"):
            assert plain[id] == pytest.approx(bm25(id, "quick") + bm25(id, "fox"))
        boosted = shelf.scores("boost(search(text, 'quick'), 3) or search(text, 'fox')")
        assert boosted["1"] == pytest.approx(3 * bm25("1", "quick") + bm25("1", "fox"))
        refused = shelf.scores("search(text, 'quick') and not search(text, 'gold')")
        assert refused == pytest.approx({id: bm25(id, "quick") for id in ("1", "2", "4")})

    shelved(ENTRIES, test)


def test_words_agree_with_a_loop_over_all_texts() -> None:
    """Random searches, patterns and phrases over random texts find what looking at each text finds."""
    dice = random.Random(17)
    words = ["ant", "bee", "cow", "dog", "ants", "beetle", "the", "wi-fi", "O'Neil's"]
    texts = {str(number): " ".join(dice.choices(words, k=dice.randrange(1, 9))) for number in range(300)}

    def test(shelf: Shelf) -> None:
        terms = {id: shelf.analyzer.terms(text) for id, text in texts.items()}
        for _ in range(150):
            asked = dice.sample(["ant", "bee", "cow", "dog", "ants", "beetle"], 2)
            found = set(shelf.ask("search(text, $p, and)", p=" ".join(asked)))
            assert found == {id for id in texts if set(asked) <= {term for term, _ in terms[id]}}
            pattern = dice.choice(["b*", "*s", "*e*", "?nt", "a*s"])
            expression = re.compile(pattern.replace("*", ".*").replace("?", "."))
            found = set(shelf.ask("search(text, $p)", p=pattern))
            assert found == {id for id in texts if any(expression.fullmatch(term) for term, _ in terms[id])}
            found = set(shelf.ask("search(text, $p)", p=f'"{asked[0]} {asked[1]}"'))
            places = {id: set(pairs) for id, pairs in terms.items()}
            assert found == {
                id for id in texts
                if any(term == asked[0] and (asked[1], place + 1) in places[id] for term, place in terms[id])
            }  # fmt: skip

    shelved({id: {"text": text} for id, text in texts.items()}, test)


def test_own_analyzers_are_used_for_questions_too() -> None:
    """A field with a stemming analyzer finds run by running."""
    from pynori.text.analyzers import find_analyzer

    english: Analyzer = find_analyzer("EnglishAnalyzer", "text")

    def test(shelf: Shelf) -> None:
        assert shelf.ask("search(text, 'runs')") == ["a"]
        assert shelf.ask("text = 'run'") == ["a"]

    shelved({"a": {"text": "running"}, "b": {"text": "walking"}}, test, analyzer=english)


def test_pieces_of_a_search() -> None:
    """Blanks separate, quotes join, a lone quote separates."""
    assert list(pieces_of('a "b c" d*')) == [("a", False), ("b c", True), ("d*", False)]
    assert list(pieces_of('a "b c')) == [("a", False), ("b", False), ("c", False)]
    assert list(pieces_of(r"a\*b ")) == [(r"a\*b", False)] and list(pieces_of('  "" ')) == []
