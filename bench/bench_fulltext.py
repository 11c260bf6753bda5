"""Full-text search beside SQLite's FTS5 in one run: building over the same texts, and the ten best of each question.

    python bench/bench_fulltext.py [--texts 100000]

Texts are runs of 10 to 60 words out of the comments and docstrings of Python's standard library. Questions are rare and
common words, two and three words by `or` and `and`, phrases and beginnings. Both sides rank by BM25 and give ids. Ours
is asked as the server asks: from the query's text to the ids of the page, with the number of all matches. Prints
microseconds a question and the ratio to FTS5 (below 1: faster).
"""

from __future__ import annotations

import argparse
import random
import re
import sqlite3
import statistics
import sys
import sysconfig
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "ext"), str(ROOT)]

from pynori_core import analyze  # noqa: E402
from pynori_core.document_snapshot import DocumentSnapshot  # noqa: E402
from pynori_core.index_store import IndexSnapshot, IndexStore  # noqa: E402
from pynori_core.items import DocumentStore  # noqa: E402
from pynori_core.text_analyzer import NativeAnalyzer  # noqa: E402

from pynori.queries.indexed import IndexedQuery, IndexView  # noqa: E402
from pynori.queries.plan import plan  # noqa: E402
from pynori.queries.request import QueryRequest  # noqa: E402
from pynori.queries.values import Values  # noqa: E402
from pynori.rql.parser import parse  # noqa: E402
from pynori.runtime import codecs  # noqa: E402, F401
from pynori.text.analyzers import STANDARD  # noqa: E402

SECONDS = 0.4  # that one kind of question is asked, on each side
KINDS = ("rare word", "common word", "two, or", "three, or", "two, and", "phrase", "beginning", "rare and common")


def made_texts(count: int) -> list[str]:
    """Runs of words as people wrote them."""
    dice = random.Random(1)
    words: list[str] = []
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).rglob("*.py")):
        if "site-packages" in path.parts:
            continue
        source = path.read_text(errors="replace")
        for block in re.findall(r'"""(.*?)"""|#([^\n]*)', source, re.DOTALL):
            words += re.findall(r"[^\W\d_]+(?:'[a-z]+)?[.,;:]?", "".join(block))
    starts = (dice.randrange(len(words) - 60) for _ in range(count))
    return [" ".join(words[start : start + dice.randrange(10, 61)]) for start in starts]


def asked(texts: list[str]) -> dict[str, list[tuple[list[str], str]]]:
    """For each kind, questions as (words, how they are joined)."""
    dice = random.Random(2)
    known = Counter(term for text in texts[:20_000] for term, _ in analyze.terms(text, STANDARD.native or 0))
    plain = [(word, count) for word, count in known.items() if word.isascii() and word.isalpha() and len(word) > 2]
    rare = [word for word, count in plain if 3 <= count <= 20]
    common = [word for word, _ in sorted(plain, key=lambda each: -each[1])[:100]]
    phrases = [re.findall(r"[a-z]+", text.lower()) for text in dice.sample(texts, 2_000)]
    phrases = [words[5:7] for words in phrases if len(words) > 7 and not set(words[5:7]) & analyze.stop_words]
    return {
        "rare word": [([dice.choice(rare)], "or") for _ in range(50)],
        "common word": [([dice.choice(common)], "or") for _ in range(50)],
        "two, or": [(dice.sample(common, 2), "or") for _ in range(50)],
        "three, or": [(dice.sample(common, 3), "or") for _ in range(50)],
        "two, and": [(dice.sample(common, 2), "and") for _ in range(50)],
        "phrase": [(words, "phrase") for words in phrases[:50]],
        "beginning": [([word[:4]], "prefix") for word in dice.sample(rare, 50)],
        "rare and common": [([dice.choice(rare), dice.choice(common)], "and") for _ in range(50)],
    }


def built(texts: list[str]) -> IndexStore:
    store = IndexStore.create(None)
    for start in range(0, len(texts), 20_000):
        with store.write() as writer:
            assert STANDARD.native is not None
            field = writer.field("search(text)", text=True, analyzer=NativeAnalyzer(STANDARD.native))
            for number, text in enumerate(texts[start : start + 20_000], start):
                writer.put(f"texts/{number}", [{field: text}])
    return store


def built_by_sqlite(texts: list[str]) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.execute("create virtual table texts using fts5(text)")
    connection.executemany("insert into texts(rowid, text) values (?, ?)", enumerate(texts))
    connection.commit()
    return connection


class Ours:
    """Questions as the server runs them, without HTTP and without documents."""

    def __init__(self, snapshot: IndexSnapshot, documents: DocumentSnapshot) -> None:
        self.view = IndexView("I", snapshot, True, False, None, lambda name: STANDARD)
        self.documents = documents

    def ask(self, words: list[str], how: str) -> tuple[int, list[str]]:
        text = {"phrase": f'"{" ".join(words)}"', "prefix": f"{words[0]}*"}.get(how, " ".join(words))
        operator = ", and" if how == "and" else ""
        parameters: dict[str, Any] = {"p": text}
        request = QueryRequest(f"from Texts where search(text, $p{operator}) limit 10", parameters)
        values = Values(parameters, datetime(2026, 1, 1, tzinfo=UTC))
        planned = plan(parse(request.text), request, values)
        query = IndexedQuery(planned, self.view, self.documents, values, lambda pattern, texts: [], once=True)
        found, _ = query.found(planned.page)
        return found.total, [row.id for row in found.rows]


def ask_sqlite(connection: sqlite3.Connection, words: list[str], how: str) -> list[int]:
    text = {"phrase": f'"{" ".join(words)}"', "prefix": f"{words[0]}*"}.get(how, f" {how.upper()} ".join(words))
    rows = connection.execute("select rowid from texts where texts match ? order by rank limit 10", (text,))
    return [row[0] for row in rows]


def microseconds(ask: Callable[[list[str], str], object], questions: list[tuple[list[str], str]]) -> float:
    for words, how in questions[:3]:
        ask(words, how)
    rounds = []
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end or not rounds:
        begin = time.perf_counter()
        for words, how in questions:
            ask(words, how)
        rounds.append((time.perf_counter() - begin) / len(questions))
    return statistics.median(rounds) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--texts", type=int, default=100_000)
    options = parser.parse_args()
    texts = made_texts(options.texts)
    size = sum(map(len, texts))
    print(f"{len(texts)} texts, {size / 1e6:.0f} MB")
    begin = time.perf_counter()
    analyzed = sum(analyze.count(text.encode(), STANDARD.native or 0) for text in texts)
    print(f"cutting alone: {size / (time.perf_counter() - begin) / 1e6:.0f} MB/s, {analyzed} terms")
    begin = time.perf_counter()
    store = built(texts)
    ours_built = time.perf_counter() - begin
    begin = time.perf_counter()
    connection = built_by_sqlite(texts)
    theirs_built = time.perf_counter() - begin
    ratio = ours_built / theirs_built
    print(f"building: ours {ours_built:.2f} s, FTS5 {theirs_built:.2f} s, ratio {ratio:.2f}")
    documents = DocumentStore.create("", bytes(16), "A", in_memory=True)
    reading = DocumentSnapshot(documents)
    questions = asked(texts)
    print(f"{'question':18}{'matches':>9}{'ours us':>10}{'FTS5 us':>10}{'ratio':>8}")
    with store.read() as snapshot:
        ours = Ours(snapshot, reading)
        for kind in KINDS:
            matches = statistics.mean(ours.ask(words, how)[0] for words, how in questions[kind])
            mine = microseconds(ours.ask, questions[kind])
            theirs = microseconds(lambda words, how: ask_sqlite(connection, words, how), questions[kind])
            print(f"{kind:18}{matches:9.0f}{mine:10.0f}{theirs:10.0f}{mine / theirs:8.2f}")
    reading.close()
    documents.close()
    store.close()


if __name__ == "__main__":
    main()
