"""Queries under way: listed with what they ask, ended on request, gone when they are answered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from pynori.errors import OperationCanceled
from pynori.queries.request import QueryRequest
from pynori.queries.service import prepare
from tests.queries.conftest import Desk

Run = Callable[[Callable[[Desk], Awaitable[None]]], None]
PLACE = "/databases/db/debug/queries"


def test_a_query_is_listed_and_ended(desk: Run) -> None:
    """A query whose results are half read is listed; once it is killed its next batch fails."""

    async def test(desk: Desk) -> None:
        for number in range(60):
            await desk.put(f"users/{number}", "Users", n=number)
        server = desk.api.server
        opened = server.databases.find("db")
        request = QueryRequest("from Users", streams=True)
        prepared = await prepare(
            opened.database, opened.indexes, request, server.scripts, server.clock, lambda key: None, 0,
            opened.running_queries,
        )  # fmt: skip
        execution = prepared.begin()
        results = execution.results()
        next(results)
        shown = (await desk.api.json("GET", f"{PLACE}/running"))["collection/Users"]
        assert [(each["QueryInfo"]["Query"], each["IsStreaming"]) for each in shown] == [("from Users", True)]
        id = shown[0]["QueryId"]
        assert (await desk.api.call("POST", f"{PLACE}/kill?indexName=Other&id={id}")).status == 404
        assert (await desk.api.call("POST", f"{PLACE}/kill?indexName=collection/Users&id={id}")).status == 204
        with pytest.raises(OperationCanceled):
            list(results)
        execution.close()
        await asyncio.sleep(0)
        assert await desk.api.json("GET", f"{PLACE}/running") == {}
        assert len(await desk.ids("from Users")) == 60 and await desk.api.json("GET", f"{PLACE}/running") == {}

    desk(test)
