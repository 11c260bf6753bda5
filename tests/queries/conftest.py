"""A server in memory behind its real routes, and short ways to fill it and to ask it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import pytest
import uvloop

from tests.http.conftest import opened_api


class Desk:
    """One database to fill and to ask."""

    def __init__(self, api: Any) -> None:
        self.api = api

    async def put(self, id: str, collection: str | None = None, **fields: Any) -> None:
        document = {**fields, **({"@metadata": {"@collection": collection}} if collection else {})}
        await self.api.json("PUT", f"/databases/db/docs?id={quote(id)}", document, 201)

    async def delete(self, id: str) -> None:
        await self.api.json("DELETE", f"/databases/db/docs?id={quote(id)}", None, 204)

    async def define(self, name: str, *maps: str, **more: Any) -> None:
        """Deploy an index."""
        definition = {"Name": name, "Maps": list(maps), **more}
        await self.api.json("PUT", "/databases/db/admin/indexes", {"Indexes": [definition]}, 201)

    async def ask(self, text: str, status: int = 200, flags: str = "", **body: Any) -> Any:
        """The answer to a query. Further arguments are further fields of the body; parameters as `p={...}`."""
        body = {"Query": text, "QueryParameters": body.pop("p", None), **body}
        return await self.api.json("POST", f"/databases/db/queries?{flags}", body, status)

    async def ids(self, text: str, **body: Any) -> list[str]:
        """The ids of the results."""
        return [each["@metadata"]["@id"] for each in (await self.ask(text, **body))["Results"]]

    async def results(self, text: str, **body: Any) -> list[Any]:
        """The results without their metadata."""
        answer = await self.ask(text, **body)
        return [{name: value for name, value in each.items() if name != "@metadata"} for each in answer["Results"]]

    async def lines(self, text: str, **parameters: Any) -> list[Any]:
        """What a streamed query sends, line by line."""
        body = {"Query": text, "QueryParameters": parameters}
        answer = await self.api.call("POST", "/databases/db/streams/queries?format=jsonl", body)
        assert answer.status == 200, answer
        return [json.loads(line) for line in answer.body.splitlines()]


@asynccontextmanager
async def opened_desk() -> AsyncIterator[Desk]:
    async with opened_api() as api:
        yield Desk(api)


@pytest.fixture
def desk() -> Callable[[Callable[[Desk], Awaitable[None]]], None]:
    """`desk(test)`: run an asynchronous function with a new Desk."""

    def run(test: Callable[[Desk], Awaitable[None]]) -> None:
        async def main() -> None:
            async with opened_desk() as opened:
                await asyncio.wait_for(test(opened), 30)

        uvloop.run(main())

    return run
