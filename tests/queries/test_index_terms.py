"""Facets, suggestions and more-like-this over a real index."""

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from pynori_core.index_store import IndexField, IndexSnapshot, IndexStore
from pynori_core.matches import Matches

from pynori.errors import InvalidQuery
from pynori.queries.facets import Facets, facets_of
from pynori.queries.more_like_this import Likeness, likeness_of
from pynori.queries.suggestions import answer, suggests_of
from pynori.queries.values import Values
from pynori.rql.ast import And, Between, Call, Comparison, Expression, Path
from pynori.rql.parser import parse

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STOP = frozenset(("a", "is", "it", "this", "the", "has", "i"))
Documents = Mapping[str, Mapping[str, Any]]


def words(field: IndexField, text: str) -> Sequence[str]:
    if not field.text:
        return [text if field.exact else text.lower()]
    return [word for word in text.lower().replace(".", " ").replace("!", " ").split() if word not in STOP]


@contextmanager
def indexed(documents: Documents, text: Sequence[str] = ()) -> Iterator[IndexSnapshot]:
    """An index in memory with one field for each property."""
    with IndexStore.create(None) as store:
        with store.write() as writer:
            names = sorted({name for document in documents.values() for name in document})
            numbers = {name: writer.field(name, text=name in text) for name in names}
            fields = {field.name: field for field in writer.fields()}
            for id, document in documents.items():
                entry = {}
                for name, value in document.items():
                    if name in text:
                        value = [(token, at) for at, token in enumerate(words(fields[name], value))]
                    entry[numbers[name]] = value
                writer.put(id, [entry])
        with store.read() as snapshot:
            yield snapshot


class Conditions:
    """The few conditions that these tests need, over one snapshot."""

    def __init__(self, snapshot: IndexSnapshot, values: Values) -> None:
        self.snapshot = snapshot
        self.values = values

    def find(self, path: Path) -> IndexField | None:
        return self.snapshot.field(path.text)

    def match(self, node: Expression, within: Matches | None = None) -> Matches:
        if isinstance(node, And):
            return Matches.intersect_all([self.match(each, within) for each in node.operands])
        if isinstance(node, Comparison) and isinstance(node.left, Call):
            return self.snapshot.documents_in([self.values.text(node.right, "id")])
        assert isinstance(node, Comparison | Between)
        path = node.left if isinstance(node, Comparison) else node.value
        assert isinstance(path, Path)
        field = self.find(path)
        assert field is not None
        if isinstance(node, Between):
            low, high = self.values.scalar(node.low), self.values.scalar(node.high)
            return self.snapshot.range(field.number, low, high, within=within)
        value = self.values.scalar(node.right)
        if node.operator == "=":
            return self.snapshot.equal(field.number, value, within=within)
        inclusive = node.operator.endswith("=")
        if node.operator.startswith("<"):
            return self.snapshot.range(field.number, None, value, include_high=inclusive, within=within)
        return self.snapshot.range(field.number, value, None, include_low=inclusive, within=within)


# ---------------------------------------------------------------- facets

ORDERS: Documents = {
    "orders/1": {"product": "Milk", "total": 3, "quantity": 3, "currency": "EUR", "region": None},
    "orders/2": {"product": "Milk", "total": 9, "quantity": 5, "currency": "NIS", "region": None},
    "orders/3": {"product": "iPhone", "total": 3333, "quantity": 7777, "currency": "EUR", "region": None},
}


def faceted(documents: Documents, text: str, **parameters: object) -> list[dict[str, Any]]:
    query, values = parse(text), Values(parameters, NOW)
    with indexed(documents) as snapshot:
        conditions = Conditions(snapshot, values)
        matches = snapshot.all() if query.where is None else conditions.match(query.where)
        facets = Facets(snapshot, conditions.find, conditions.match)
        return [facets.answer(each, matches) for each in facets_of(query, values, lambda id: None)]


def test_terms_with_aggregations() -> None:
    """Each term has its count, and a row for each aggregated field with the numbers that were asked for."""
    (found,) = faceted(ORDERS, "from index 'o' select facet(product, sum(total), avg(total), max(quantity) as most)")
    assert found == {
        "Name": "product",
        "Values": [
            {"Name": "total", "Range": "iphone", "Count": 1, "Sum": 3333, "Average": 3333},
            {"Name": "most", "Range": "iphone", "Count": 1, "Max": 7777},
            {"Name": "total", "Range": "milk", "Count": 2, "Sum": 12, "Average": 6},
            {"Name": "most", "Range": "milk", "Count": 2, "Max": 5},
        ],
        "RemainingTerms": [],
        "RemainingTermsCount": 0,
        "RemainingHits": 0,
    }


def test_only_matching_entries_count() -> None:
    """Facets are about the entries that matched."""
    (found,) = faceted(ORDERS, "from index 'o' where currency = 'eur' select facet(product)")
    assert [(each["Range"], each["Count"]) for each in found["Values"]] == [("iphone", 1), ("milk", 1)]
    (found,) = faceted(ORDERS, "from index 'o' where currency = 'usd' select facet(product, sum(total))")
    assert found["Values"] == []


def test_null_is_a_term_and_an_unknown_field_has_none() -> None:
    """Entries whose field is null count together; a field that the index does not have gives no value."""
    null, unknown = faceted(ORDERS, "from index 'o' select facet(region), facet(unknown, sum(total))")
    assert null["Values"] == [{"Name": None, "Range": "NULL_VALUE", "Count": 3}]
    assert unknown["Name"] == "unknown" and unknown["Values"] == []


def test_ranges_and_all_results() -> None:
    """Every range has its rows, also one that nothing falls into; a facet about no field is about everything."""
    ranges, everything = faceted(
        ORDERS,
        "from index 'o' select facet(total < $a, total >= $a and total < 500, total between 9 and 3333.0, "
        "sum(total), min(quantity)) as t, facet(sum(total))",
        a=100,
    )
    assert ranges["Name"] == "t"
    assert ranges["Values"] == [
        {"Name": "total", "Range": "total < 100", "Count": 2, "Sum": 12},
        {"Name": "quantity", "Range": "total < 100", "Count": 2, "Min": 3},
        {"Name": "total", "Range": "total >= 100 and total < 500", "Count": 0, "Sum": 0},
        {"Name": "quantity", "Range": "total >= 100 and total < 500", "Count": 0, "Min": None},
        {"Name": "total", "Range": "total between 9 and 3333", "Count": 2, "Sum": 3342},
        {"Name": "quantity", "Range": "total between 9 and 3333", "Count": 2, "Min": 5},
    ]
    assert everything["Values"] == [{"Name": "total", "Range": "@AllResults", "Count": 3, "Sum": 3345}]


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("ValueAsc", ["1", "10", "8", "b"]),
        ("ValueDesc", ["b", "8", "10", "1"]),
        ("CountAsc", ["1", "b", "8", "10"]),
        ("CountDesc", ["10", "8", "1", "b"]),
    ],
)
def test_order_and_pages(sort: str, expected: list[str]) -> None:
    """Terms come by their text or their count; what lies behind the page is counted, and named where wanted."""
    values = [1, 8, 8, 10, 10, 10, "B"]
    documents = {f"x/{number}": {"a": value} for number, value in enumerate(values)}
    (found,) = faceted(documents, "from index 'x' select facet(a, $o)", o={"TermSortMode": sort})
    assert [each["Range"] for each in found["Values"]] == expected
    options = {"TermSortMode": sort, "Start": 1, "PageSize": 2, "IncludeRemainingTerms": True}
    (page,) = faceted(documents, "from index 'x' select facet(a, $o)", o=options)
    assert [each["Range"] for each in page["Values"]] == expected[1:3]
    counts = {"1": 1, "8": 2, "10": 3, "b": 1}
    assert page["RemainingTerms"] == expected[3:] and page["RemainingTermsCount"] == 1
    assert page["RemainingHits"] == counts[expected[3]]
    options["IncludeRemainingTerms"] = False
    (page,) = faceted(documents, "from index 'x' select facet(a, $o)", o=options)
    assert page["RemainingTerms"] == [] and page["RemainingTermsCount"] == 1


@pytest.mark.parametrize("seed", range(3))
def test_facets_against_counting(seed: int) -> None:
    """Counts and sums of random documents, arrays included, are those that plain counting gives."""
    rand = random.Random(seed)
    documents = {
        f"x/{number}": {
            "tags": rand.sample(["red", "Blue", "green", "x y"], rand.randrange(1, 4)),
            "size": rand.randrange(20),
            "kind": rand.choice(["a", "b"]),
        }
        for number in range(300)
    }
    (found,) = faceted(documents, "from index 'x' where kind = 'a' select facet(tags, sum(size), max(size))")
    counts: Counter[str] = Counter()
    sizes: dict[str, list[int]] = defaultdict(list)
    for document in documents.values():
        if document["kind"] == "a":
            for tag in document["tags"]:
                counts[tag.lower()] += 1
                sizes[tag.lower()].append(document["size"])
    assert [(each["Range"], each["Count"], each["Sum"], each["Max"]) for each in found["Values"]] == [
        (tag, counts[tag], sum(sizes[tag]), max(sizes[tag])) for tag in sorted(counts)
    ]


# ---------------------------------------------------------------- suggestions


def suggested(documents: Documents, text: str, fields: Sequence[str] = ()) -> list[dict[str, Any]]:
    with indexed(documents, fields) as snapshot:
        find: Callable[[Path], IndexField | None] = lambda path: snapshot.field(path.text)  # noqa: E731
        return [answer(each, snapshot, find) for each in suggests_of(parse(text), Values({}, NOW))]


USERS: Documents = {
    "users/1": {"name": "John Smith", "age": 5},
    "users/2": {"name": "Jack Johnson", "age": None},
    "users/3": {"name": "Robery Jones", "age": 7},
    "users/4": {"name": "David Jones", "age": 8},
}


def test_suggestions_of_words_and_of_whole_values() -> None:
    """A text field suggests words, any other whole values; several words' suggestions follow one another."""
    options = '{"Accuracy": 0.4, "Distance": "JaroWinkler", "PageSize": 5}'
    text = f"from index 'u' select suggest(name, 'JOHNE') as n, suggest(name, 'davi', '{options}'), suggest(no, 'x')"
    assert suggested(USERS, text, ["name"]) == [
        {"Name": "n", "Suggestions": ["john", "jones", "johnson"]},
        {"Name": "name", "Suggestions": ["david", "jack"]},
        {"Name": "no", "Suggestions": []},
    ]
    assert suggested(USERS, "from index 'u' select suggest(name, 'jon smith')") == [
        {"Name": "name", "Suggestions": ["john smith"]}
    ]


def test_a_word_that_is_there() -> None:
    """A word that is a term is its own suggestion without popularity, and none with it."""
    assert suggested(USERS, "from index 'u' select suggest(name, 'John', '{\"SortMode\": \"None\"}')", ["name"]) == [
        {"Name": "name", "Suggestions": ["john"]}
    ]
    assert suggested(USERS, "from index 'u' select suggest(name, 'jones')", ["name"])[0]["Suggestions"] == []


# ---------------------------------------------------------------- more like this

DATA: Documents = {
    "datas/1": {"body": "This is a test. It is a great test. I hope I pass my great test!"},
    "datas/2": {"body": "Cake is great."},
    "datas/3": {"body": "I have a test tomorrow."},
    "datas/4": {"body": "nothing in common"},
}


def alike(documents: Documents, text: str, *, fields: Sequence[str] = ("body",), **parameters: object) -> list[str]:
    """Ids of the documents that are like the source, the most alike first."""
    with indexed(documents, fields) as snapshot:
        found = likeness(snapshot, documents, text, parameters)
        ids = found.matches(None)
        scored = zip(found.scores(ids), snapshot.documents(ids), strict=True)
        return [id for _, id in sorted(scored, key=lambda each: -each[0])]


def likeness(snapshot: IndexSnapshot, documents: Documents, text: str, parameters: Mapping[str, object]) -> Likeness:
    values = Values(parameters, NOW)
    where = parse(f"from index 'd' where {text}").where
    assert isinstance(where, Call)
    return likeness_of(where, values, snapshot, Conditions(snapshot, values).match, documents.get, words)


def test_like_a_document() -> None:
    """Documents with the frequent words of another come without it; boosted, those with the more telling word first."""
    options = {"MinimumTermFrequency": 2, "MinimumDocumentFrequency": 1, "MinimumWordLength": 3, "Fields": ["body"]}
    assert set(alike(DATA, "moreLikeThis(id() = $id, $o)", id="datas/1", o=options)) == {"datas/2", "datas/3"}
    options["Boost"] = True
    assert alike(DATA, "moreLikeThis(id() = $id, $o)", id="datas/1", o=options) == ["datas/3", "datas/2"]


def test_like_given_json() -> None:
    """A document may be given as JSON, nested and in any case of letters."""
    options = {"MinimumTermFrequency": 1, "MinimumDocumentFrequency": 1}
    assert set(alike(DATA, "moreLikeThis($d, $o)", d='{"X": {"Body": ["A test"]}}', o=options)) == {
        "datas/1", "datas/3"
    }  # fmt: skip
    assert alike(DATA, "moreLikeThis($d, $o)", d={"body": "cake"}, o=options) == ["datas/2"]
    assert alike(DATA, "moreLikeThis($d, $o)", d='{"other": "test"}', o=options) == []


def test_which_words_count() -> None:
    """Frequencies, lengths, the number of words and stop words decide which words are looked for."""
    base = {"MinimumTermFrequency": 1, "MinimumDocumentFrequency": 1, "MinimumWordLength": None}
    documents = {**DATA, "Config/Stop": {"stop_words": ["TEST"]}}

    def tokens(**more: object) -> set[str]:
        with indexed(DATA, ["body"]) as snapshot:
            found = likeness(snapshot, documents, "moreLikeThis(id() = 'datas/3', $o)", {"o": {**base, **more}})
            return {word.token for word in found.words}

    assert tokens() == {"have", "test", "tomorrow"}
    assert tokens(MinimumDocumentFrequency=2) == {"test"}
    assert tokens(MaximumDocumentFrequency=1) == {"have", "tomorrow"}
    assert tokens(MaximumDocumentFrequencyPercentage=25) == {"have", "tomorrow"}
    assert tokens(MinimumWordLength=5) == {"tomorrow"}
    assert tokens(MaximumWordLength=4) == {"have", "test"}
    assert tokens(MaximumQueryTerms=1) == {"have"}
    assert tokens(MaximumNumberOfTokensParsed=1) == {"have"}
    assert tokens(MinimumTermFrequency=2) == set()
    assert tokens(StopWordsDocumentId="Config/Stop") == {"have", "tomorrow"}


def test_computed_and_whole_fields() -> None:
    """A field that no property is called is read from the index; a field that is no text counts as a whole."""
    documents = {f"x/{number}": {"made": "one two two", "city": "Paris"} for number in range(3)}
    hidden: Documents = {id: {"other": 1} for id in documents}
    with indexed(documents, ["made"]) as snapshot:
        options = {"MinimumTermFrequency": 2, "MinimumDocumentFrequency": 1}
        found = likeness(snapshot, hidden, "moreLikeThis(id() = 'x/1', $o)", {"o": options})
        assert {word.token for word in found.words} == {"two"}
        options["MinimumTermFrequency"] = 1
        found = likeness(snapshot, documents, "moreLikeThis(id() = 'x/1', $o)", {"o": options})
        assert {word.token for word in found.words} == {"one", "two", "paris"}
        ids = found.matches(None)
        assert snapshot.documents(ids) == ["x/0", "x/2"] and min(found.scores(ids)) > 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("moreLikeThis(id() = 'datas/9')", "finds no document"),
        ("moreLikeThis('{')", "not valid JSON"),
        ("moreLikeThis('5')", "must be a JSON object"),
        ("moreLikeThis(id() = 'datas/1', '{\"Fields\": 5}')", "array of strings"),
        ("moreLikeThis(id() = 'datas/1', '{\"StopWordsDocumentId\": \"no\"}')", "does not exist"),
        ("moreLikeThis(id() = 'datas/1', '{}', 5)", "takes a condition"),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    """A source that is not there and options that make no sense are refused with a sentence that says why."""
    with pytest.raises(InvalidQuery, match=message):
        alike(DATA, text)
