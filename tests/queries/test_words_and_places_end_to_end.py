"""Words and places through the server: dynamic queries make their indexes, and answers carry scores and distances."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from tests.queries.conftest import Desk

Run = Callable[[Callable[[Desk], Awaitable[None]]], None]

BOOKS = {
    "books/1": "The Dragon's Egg", "books/2": "Of dragons and men", "books/3": "The egg and I",
    "books/4": "Here be dragons: dragons everywhere, one dragon a page",
}  # fmt: skip
SHOPS = {"shops/1": (52.52, 13.405), "shops/2": (52.4, 13.066), "shops/3": (48.857, 2.352), "shops/4": (None, 5)}


async def fill(desk: Desk) -> None:
    for id, title in BOOKS.items():
        await desk.put(id, "Books", title=title, year=1980 + int(id[-1]))
    for id, (latitude, longitude) in SHOPS.items():
        await desk.put(id, "Shops", lat=latitude, lng=longitude, area="POLYGON ((0 0, 1 0, 1 1, 0 0))")


def test_searching(desk: Run) -> None:
    """search, wildcards, phrases, `and`, boosts and the order of scores over an index that the query made."""

    async def test(desk: Desk) -> None:
        await fill(desk)
        assert await desk.ids("from Books where search(title, 'dragon')") == ["books/1", "books/4"]
        assert set(await desk.ids("from Books where search(title, 'dragon*')")) == {"books/1", "books/2", "books/4"}
        assert await desk.ids("from Books where search(title, 'egg dragon', and)") == ["books/1"]
        assert await desk.ids("from Books where search(title, $p)", p={"p": '"dragons and men"'}) == ["books/2"]
        answer = await desk.ask("from Books where search(title, 'egg dragons') order by score()")
        scores = [each["@metadata"]["@index-score"] for each in answer["Results"]]
        assert answer["IndexName"].startswith("Auto/Books/")
        assert scores == sorted(scores, reverse=True) and scores[-1] > 0
        boosted = "from Books where boost(search(title, 'egg'), 20) or search(title, 'dragons')"
        assert (await desk.ids(boosted))[-1] in ("books/2", "books/4")
        assert await desk.ids("from Books where search(title, 'egg') and year > 1982") == ["books/3"]
        assert await desk.ids("from Books where fuzzy(title = 'The egg and X', 0.8)") == ["books/3"]
        assert await desk.ids("from Books where proximity(search(title, 'dragons men'), 1)") == ["books/2"]
        assert await desk.ids("from Books where lucene(title, 'the*')") == ["books/1", "books/3"]

    desk(test)


def test_words_change_with_their_documents(desk: Run) -> None:
    """A changed title is found by its new words and not by the old ones; a deleted one not at all."""

    async def test(desk: Desk) -> None:
        await fill(desk)
        assert len(await desk.ids("from Books where search(title, 'egg')")) == 2
        await desk.put("books/3", "Books", title="The hen and I", year=1983)
        await desk.delete("books/1")
        now = {"WaitForNonStaleResults": True}
        assert await desk.ids("from Books where search(title, 'egg')", **now) == []
        assert await desk.ids("from Books where search(title, 'hen')", **now) == ["books/3"]

    desk(test)


def test_places(desk: Run) -> None:
    """Points and shapes of documents, circles, and the nearest first with its distance."""

    async def test(desk: Desk) -> None:
        await fill(desk)
        near = "from Shops where spatial.within(spatial.point(lat, lng), spatial.circle(50, 52.5, 13.4))"
        assert await desk.ids(near) == ["shops/1", "shops/2"]
        order = " order by spatial.distance(spatial.point(lat, lng), spatial.point(52.39, 13.06))"
        assert await desk.ids(near + order) == ["shops/2", "shops/1"]
        assert await desk.ids("from Shops" + order) == ["shops/2", "shops/1", "shops/3", "shops/4"]
        area = "from Shops where spatial.intersects(spatial.wkt(area), spatial.wkt('POINT (0.5 0.2)'))"
        assert len(await desk.ids(area)) == 4
        await desk.ask("from Shops where spatial.within(spatial.point(lat, lng), 'SPLINE (1 2)')", 400)

    desk(test)


@pytest.mark.parametrize("text", ["search(title)", "lucene(title, '(')", "fuzzy(title = 'a', 7)"])
def test_wrong_conditions_are_the_askers(desk: Run, text: str) -> None:
    """They are answered with 400."""

    async def test(desk: Desk) -> None:
        await fill(desk)
        await desk.ask(f"from Books where {text}", 400)

    desk(test)


def test_likeness_over_several_fields(desk: Run) -> None:
    """A word counts the same in whichever field it stands: what is equally alike comes in the order of making."""

    async def test(desk: Desk) -> None:
        posts = [("doduck", "prototype"), ("doduck", "prototype your idea"), ("doduck", "love programming"),
                 ("We do", "prototype"), ("We love", "challenge")]  # fmt: skip
        for number, (title, text) in enumerate(posts, 1):
            await desk.put(f"posts/{number}", "Posts", title=title, text=text)
        searched = {"Indexing": "Search", "TermVector": "Yes"}
        await desk.define("Posts", "from p in docs.Posts select new { p.title, p.text }", Fields={
            "title": searched, "text": searched,
        })  # fmt: skip
        options = {"MinimumDocumentFrequency": 1, "MinimumTermFrequency": 0}
        query = "from index 'Posts' where moreLikeThis(id() = 'posts/1', $o)"
        found = await desk.ids(query, p={"o": options}, WaitForNonStaleResults=True)
        assert found == ["posts/2", "posts/3", "posts/4"]

    desk(test)
