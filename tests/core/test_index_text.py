"""Text fields: positions, phrases and ranking against plain arithmetic over the same tokens."""

import math
import random

import pytest
from pynori_core.index_store import IndexSnapshot, IndexStore
from pynori_core.matches import Matches, Ordered

WORDS = [f"w{number}" for number in range(40)]
Tokens = list[tuple[str, int]]


def random_text(rng: random.Random) -> list[str]:
    """Some words often, most seldom."""
    return [WORDS[min(int(rng.expovariate(0.15)), 39)] for _ in range(rng.choice([0, 1, 5, 30, 200]))]


def tokens_of(text: str) -> Tokens:
    return [(word, position) for position, word in enumerate(text.split())]


def bm25(texts: dict[int, list[str]], tokens: list[tuple[str, float]]) -> dict[int, float]:
    having = {entry: words for entry, words in texts.items() if words}
    average = sum(len(words) for words in having.values()) / max(len(having), 1)
    found: dict[int, float] = {}
    for token, boost in tokens:
        frequency = sum(token in words for words in having.values())
        weight = math.log(1 + (len(having) - frequency + 0.5) / (frequency + 0.5))
        for entry, words in having.items():
            if token in words:
                count = words.count(token)
                norm = 1.2 * (1 - 0.75 + 0.75 * len(words) / average)
                found[entry] = found.get(entry, 0.0) + boost * weight * 2.2 * count / (count + norm)
    return found


def compare_text(rng: random.Random, snapshot: IndexSnapshot, field: int, texts: dict[int, list[str]]) -> None:
    having = {entry: words for entry, words in texts.items() if words}
    assert snapshot.text_statistics(field) == (len(having), sum(len(words) for words in having.values()))
    for word in rng.sample(WORDS, 10):
        assert snapshot.postings(field, word) == [
            (entry, [place for place, each in enumerate(words) if each == word])
            for entry, words in sorted(having.items())
            if word in words
        ]
    some = Matches.of(rng.sample(sorted(texts), len(texts) // 2))
    for _ in range(10):
        query = [(rng.choice(WORDS[:12]), rng.choice([1.0, 2.0])) for _ in range(rng.choice([1, 2, 4]))]
        expected = bm25(texts, query)
        found = snapshot.rank(field, query)
        assert found.total == len(expected) == len(found)
        assert found.scores is not None
        for entry, score in zip(found, found.scores, strict=True):
            assert score == pytest.approx(expected[entry])
        assert list(found.scores) == sorted(found.scores, reverse=True)
        within = snapshot.rank(field, query, within=some, skip=2, limit=5)
        assert list(within) == [entry for entry in found if entry in some][2:7]
        best = snapshot.rank(field, query, limit=5, required=True)
        wanted = {word for word, _ in query}
        assert list(best) == [entry for entry in found if wanted <= set(having[entry])][:5]
        shuffled = Ordered.of(rng.sample(list(texts), 20))
        for entry, score in zip(shuffled, snapshot.scores(field, query, shuffled), strict=True):
            assert score == pytest.approx(expected.get(entry, 0.0))
    for _ in range(20):
        phrase = [(rng.choice(WORDS[:6]), place) for place in range(rng.choice([1, 2, 3]))]
        expected_entries = [entry for entry, words in sorted(having.items()) if in_row(words, [w for w, _ in phrase])]
        assert list(snapshot.phrase(field, phrase)) == expected_entries
        assert list(snapshot.phrase(field, phrase, within=some)) == [e for e in expected_entries if e in some]


def in_row(words: list[str], phrase: list[str]) -> bool:
    return any(words[place : place + len(phrase)] == phrase for place in range(len(words)))


@pytest.mark.parametrize("seed", range(3))
def test_postings_ranking_and_phrases(seed: int) -> None:
    """Positions, BM25 scores, the best, and phrases are what the texts say, while texts change and go."""
    rng = random.Random(seed)
    texts_of: dict[str, list[str]] = {}
    with IndexStore.create(None) as store:
        with store.write() as writer:
            field = writer.field("text", text=True)
            plain = writer.field("plain")
        for _ in range(4):
            with store.write() as writer:
                for _ in range(300):
                    document = f"d/{rng.randrange(400)}"
                    if rng.random() < 0.1:
                        writer.delete(document)
                        texts_of.pop(document, None)
                        continue
                    words = random_text(rng)
                    writer.put(document, [{field: tokens_of(" ".join(words)), plain: len(words)}])
                    texts_of[document] = words
            with store.read() as snapshot:
                everyone = snapshot.all()
                documents = snapshot.documents(everyone)
                texts = {entry: texts_of[document] for entry, document in zip(everyone, documents, strict=True)}
                compare_text(rng, snapshot, field, texts)


def test_slop_gaps_and_analyzers() -> None:
    """Slop lets tokens lie apart; values of an array do not touch; null in a text field is a value without tokens."""
    with IndexStore.create(None) as store:
        with store.write() as writer:
            field = writer.field("text", text=True, analyzer=tokens_of)
            writer.put("a", [{field: "one two three four"}])
            writer.put("b", [{field: ["one two", "three"]}])
            writer.put("c", [{field: None}])
            writer.put("d", [{field: ["three", None, 5]}])
        with store.read() as snapshot:
            a, b, c, d = snapshot.all()
            assert list(snapshot.phrase(field, [("two", 0), ("three", 1)])) == [a]
            assert list(snapshot.phrase(field, [("one", 0), ("three", 1)])) == []
            assert list(snapshot.phrase(field, [("one", 0), ("three", 1)], slop=1)) == [a]
            assert list(snapshot.phrase(field, [("one", 0), ("three", 1)], slop=1000)) == [a, b]
            assert list(snapshot.phrase(field, [("one", 0), ("four", 3)])) == [a]
            assert list(snapshot.equal(field, None)) == [c, d]
            assert list(snapshot.equal(field, 5)) == [d]
            assert list(snapshot.equal(field, "three")) == [a, b, d]
            assert snapshot.values(Matches.of([d]), field) == [[None, 5, "three"]]
            with pytest.raises(ValueError, match="no field"):
                snapshot.rank(field + 1, [("a", 1.0)])
        with store.write() as writer, pytest.raises(ValueError, match="no analyzer"):
            writer.put("x", [{field: "text"}])


def test_a_token_that_is_everywhere_in_a_long_text() -> None:
    """Of one token in one entry a thousand positions are kept, and the frequency counts all."""
    with IndexStore.create(None) as store:
        with store.write() as writer:
            field = writer.field("text", text=True)
            writer.put("long", [{field: [("x", place) for place in range(5000)]}])
            writer.put("short", [{field: [("x", 0), ("y", 1)]}])
        with store.read() as snapshot:
            postings = snapshot.postings(field, "x")
            assert postings == [(1, list(range(1000))), (2, [0])]
            assert list(snapshot.rank(field, [("x", 1.0)])) in ([1, 2], [2, 1])
            assert snapshot.text_statistics(field) == (2, 5002)
