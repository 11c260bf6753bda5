"""The official Python client's query builders, end to end against a real server process, with no index made by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ravendb import DeleteByQueryOperation, DocumentStore, IndexQuery, PatchByQueryOperation
from ravendb.exceptions.raven_exceptions import RavenException

SONGS = [
    ("songs/1", "Blue in Green", 1959, "artists/1", ["jazz", "modal"]),
    ("songs/2", "So What", 1959, "artists/1", ["jazz"]),
    ("songs/3", "Naima", 1960, "artists/2", ["jazz", "ballad"]),
    ("songs/4", "Green Onions", 1962, "artists/3", ["soul", "instrumental"]),
    ("songs/5", "Blue Monk", 1954, "artists/4", []),
]


class Song:
    """A document with plain fields, an array and a reference."""

    def __init__(self, title: str = "", year: int = 0, artist: str = "", tags: list[str] | None = None):
        self.title, self.year, self.artist, self.tags = title, year, artist, tags or []


class Artist:
    """What songs refer to."""

    def __init__(self, name: str = ""):
        self.name = name


class PerYear:
    """A group."""

    def __init__(self, year: int = 0, count: int = 0):
        self.year, self.count = year, count


class Title:
    """A projection."""

    def __init__(self, title: str = "", year: int = 0):
        self.title, self.year = title, year


@pytest.fixture
def songs(store: DocumentStore) -> DocumentStore:
    """A store with songs and artists."""
    with store.open_session() as session:
        for number, name in enumerate(["Miles Davis", "John Coltrane", "Booker T.", "Thelonious Monk"], 1):
            session.store(Artist(name), f"artists/{number}")
        for id, *fields in SONGS:
            session.store(Song(*fields), id)
        session.save_changes()
    return store


def titles(query: Any) -> list[str]:
    return [song.title for song in query]


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda q: q.where_equals("title", "so what"), ["So What"]),
        (lambda q: q.where_greater_than("year", 1959).order_by("title"), ["Green Onions", "Naima"]),
        (
            lambda q: q.where_between("year", 1955, 1960).order_by_descending("title"),
            ["So What", "Naima", "Blue in Green"],
        ),
        (lambda q: q.where_in("title", ["naima", "SO WHAT"]).order_by("title"), ["Naima", "So What"]),
        (lambda q: q.where_starts_with("title", "blue").order_by("title"), ["Blue in Green", "Blue Monk"]),
        (lambda q: q.where_ends_with("title", "ONK"), ["Blue Monk"]),
        (lambda q: q.where_equals("tags", "jazz").order_by("year").order_by("title").skip(1).take(1), ["So What"]),
        (lambda q: q.contains_all("tags", ["jazz", "ballad"]), ["Naima"]),
        (lambda q: q.search("title", "green onions"), ["Green Onions", "Blue in Green"]),
        (lambda q: q.where_equals("year", 1959).and_also().not_().where_starts_with("title", "so"), ["Blue in Green"]),
        (
            lambda q: q.where_equals("year", 1954).or_else().where_equals("year", 1962).order_by("year"),
            ["Blue Monk", "Green Onions"],
        ),
        (lambda q: q.where_not_equals("artist", "artists/1").order_by("year").take(2), ["Blue Monk", "Naima"]),
        (lambda q: q.where_equals("title", "So What", True), ["So What"]),
        (lambda q: q.where_equals("title", "so what", True), []),
        (lambda q: q.where_regex("title", "^[bn]").order_by("title"), ["Blue in Green", "Blue Monk", "Naima"]),
        (lambda q: q.where_exists("title").order_by_descending("year").take(1), ["Green Onions"]),
        (lambda q: q.where_equals("title", "naimo").fuzzy(0.7), ["Naima"]),
        (
            lambda q: q.order_by("year").order_by("title"),
            ["Blue Monk", "Blue in Green", "So What", "Naima", "Green Onions"],
        ),
    ],
)  # fmt: skip
def test_conditions_and_orders(songs: DocumentStore, build: Callable[[Any], Any], expected: list[str]) -> None:
    """Each builder's condition finds what it says, in the order that was asked for."""
    with songs.open_session() as session:
        assert titles(build(session.query(object_type=Song))) == expected


def test_statistics_and_count(songs: DocumentStore) -> None:
    """A query knows how many there are beyond its page, which index answered, and that it is not stale."""
    with songs.open_session() as session:
        kept: list[Any] = []
        query = session.query(object_type=Song).where_equals("year", 1959).statistics(kept.append).take(1)
        assert len(list(query)) == 1
        assert kept[0].total_results == 2 and kept[0].index_name == "Auto/Songs/Byyear" and not kept[0].is_stale
        assert session.query(object_type=Song).where_greater_than("year", 1900).count() == 5


def test_projections_groups_and_includes(songs: DocumentStore) -> None:
    """Fields are selected on the server, groups are counted, and included documents need no further request."""
    with songs.open_session() as session:
        query = session.query(object_type=Song).where_equals("title", "naima")
        found = list(query.select_fields(Title, "title", "year"))
        assert [(each.title, each.year) for each in found] == [("Naima", 1960)]
        grouped = session.query(object_type=Song).group_by("year").select_key().select_count()
        counted = {each.year: each.count for each in grouped.order_by("year").of_type(PerYear)}
        assert counted == {1954: 1, 1959: 2, 1960: 1, 1962: 1}
        song = session.query(object_type=Song).where_equals("year", 1960).include("artist").first()
        requests = session.advanced.number_of_requests
        assert session.load(song.artist, Artist).name == "John Coltrane"
        assert session.advanced.number_of_requests == requests


def test_raw_queries_lazy_queries_and_streams(songs: DocumentStore) -> None:
    """RQL as text with parameters and scripts, several queries in one request, and results as a stream."""
    with songs.open_session() as session:
        text = (
            "from Songs as s where s.year >= $year load s.artist as a order by s.year "
            "select { title: s.title + ' by ' + a.name, year: s.year }"
        )
        raw = session.advanced.raw_query(text, Title).add_parameter("year", 1960)
        assert titles(raw) == ["Naima by John Coltrane", "Green Onions by Booker T."]
        first = session.query(object_type=Song).where_equals("year", 1954).lazily()
        second = session.query(object_type=Song).where_equals("year", 1962).lazily()
        requests = session.advanced.number_of_requests
        assert titles(first.value) + titles(second.value) == ["Blue Monk", "Green Onions"]
        assert session.advanced.number_of_requests == requests + 1
        streamed = session.advanced.stream(session.query(object_type=Song).order_by("year"))
        assert [each.document.year for each in streamed] == [1954, 1959, 1959, 1960, 1962]


def test_a_repeated_query_is_answered_from_the_cache(songs: DocumentStore) -> None:
    """The same query sees changes, and an unchanged one gives the same again."""
    for _ in range(2):
        with songs.open_session() as session:
            assert titles(session.query(object_type=Song).where_equals("year", 1962)) == ["Green Onions"]
    with songs.open_session() as session:
        session.store(Song("Hip Hug-Her", 1962, "artists/3"), "songs/6")
        session.save_changes()
        query = session.query(object_type=Song).wait_for_non_stale_results().where_equals("year", 1962)
        assert sorted(titles(query)) == ["Green Onions", "Hip Hug-Her"]


def test_deletion_and_patch_by_query(songs: DocumentStore) -> None:
    """What a query finds is patched by a script, then deleted, as operations that the client waits for."""

    text = "from Songs where year < $year update { this.old = true; this.year += args.more; }"
    query = IndexQuery(text)
    query.query_parameters = {"year": 1960, "more": 1000}
    songs.operations.send_async(PatchByQueryOperation(query)).wait_for_completion()
    with songs.open_session() as session:
        found = session.query(object_type=Song).wait_for_non_stale_results().where_greater_than("year", 2000)
        assert found.count() == 3
    query = IndexQuery("from Songs where old = true")
    query.wait_for_non_stale_results = True
    songs.operations.send_async(DeleteByQueryOperation(query)).wait_for_completion()
    with songs.open_session() as session:
        assert len(list(session.query(object_type=Song))) == 2


def test_errors_have_their_names(songs: DocumentStore) -> None:
    """A query that does not parse and an index that is not there are told as what they are."""
    with songs.open_session() as session:
        with pytest.raises(RavenException, match="InvalidQueryException"):
            list(session.advanced.raw_query("from Songs where", Song))
        with pytest.raises(RavenException, match="IndexDoesNotExistException"):
            list(session.query_index("Nowhere", Song))
