"""Timings of a query, and the explanation of its way."""

import asyncio
from collections.abc import Callable
from typing import Any

from pynori.cli.explain import asked, lines
from pynori.queries.timings import Timings, span, timings_of
from pynori.rql.parser import parse
from pynori.runtime.clock import ManualClock

Run = Callable[[Any], None]


def test_spans_add_up() -> None:
    """Spans of one name in one place add up, and those inside are parts of those outside."""
    clock = ManualClock()
    timings = Timings(clock)
    for _ in range(3):
        with timings.span("Query"):
            clock.advance(2)
            with timings.span("Match"):
                clock.advance(1)
    clock.advance(1)
    match = {"DurationInMs": 3.0, "Timings": None}
    assert timings.as_json() == {
        "DurationInMs": 10.0, "Timings": {"Query": {"DurationInMs": 9.0, "Timings": {"Match": match}}}
    }  # fmt: skip


def test_no_timings_unless_included() -> None:
    """A query that does not include timings() has none, and its spans do nothing."""
    assert timings_of(parse("from X include a"), ManualClock()) is None
    assert timings_of(parse("from X include a, TIMINGS()"), ManualClock()) is not None
    with span(None, "x"):
        pass


def test_timings_and_explanation_over_http(desk: Run) -> None:
    """`include timings()` adds timings to the answer; debug=explain says the way and the reason instead."""

    async def test(desk: Any) -> None:
        await desk.put("users/1", "Users", Name="a")
        answer = await desk.ask("from Users include timings()")
        assert answer["Timings"]["DurationInMs"] >= 0
        assert list(answer["Timings"]["Timings"]) == ["Plan", "Retrieve", "Project"]
        assert "Timings" not in await desk.ask("from Users")
        assert await desk.ask("from Users", flags="debug=explain") == {
            "Results": [{"Index": "collection/Users", "Reason": "nothing is asked of any field"}]
        }
        await desk.ask("from Users where", 400, "debug=explain")

    desk(test)


def test_explanations(desk: Run) -> None:
    """`include explanations()` says of each result why it is where it is, by id or by the value of a field."""

    async def test(desk: Any) -> None:
        await desk.put("users/1", "Users", Name="Ada")
        answer = await desk.ask("from Users include explanations()")
        assert list(answer["Explanations"]) == ["users/1"]
        assert "fulfils every condition" in answer["Explanations"]["users/1"][0]
        answer = await desk.ask("from Users include explanations($o)", p={"o": {"groupKey": "Name"}})
        assert list(answer["Explanations"]) == ["Ada"]
        await desk.ask("from Users include explanations(5)", 400)

    desk(test)


class Wire:
    """The requests of the command line's client, answered by a desk."""

    def __init__(self, desk: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._desk = desk
        self._loop = loop

    def request(self, method: str, path: str, body: bytes) -> bytes:
        answer = asyncio.run_coroutine_threadsafe(self._desk.api.call(method, path, body), self._loop).result(10)
        assert answer.status == 200, answer
        content: bytes = answer.body
        return content


def test_explain_verb(desk: Run) -> None:
    """`pynori explain` shows query, way, reason, counts and spans."""

    async def test(desk: Any) -> None:
        for number in range(3):
            await desk.put(f"users/{number}", "Users", Name="a")
        wire: Any = Wire(desk, asyncio.get_running_loop())
        facts = await asyncio.to_thread(asked, wire, "db", parse("from Users"), {}, 2)
        shown = list(lines({"query": "from Users"} | facts))
        assert [line[:30].rstrip() for line in shown[:5]] == [
            "query       from Users", "way         collection/Users", "because     nothing is asked o",
            "results     2 of 3", "up to date  yes",
        ]  # fmt: skip
        assert "ms in the server" in shown[5] and shown[6].split()[0] == "Plan"

    desk(test)
