"""Queries through our own client."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pynori.client.http import HttpClient, RequestFailed
from pynori.client.queries import query
from tests.queries.conftest import Desk

Run = Any


def test_our_client_asks_queries(desk: Run) -> None:
    """Documents come as dictionaries with what an answer says of itself; errors come with the server's words."""

    async def test(desk: Desk) -> None:
        await desk.put("goods/1", "Goods", Price=3)
        await desk.put("goods/2", "Goods", Price=7)
        address = f"http://127.0.0.1:{desk.api.door.listener.port}"

        def ask(text: str, **parameters: Any) -> Any:
            with HttpClient(address) as client:
                return query(client, "db", text, parameters, wait=True)

        found = await asyncio.to_thread(ask, "from Goods where Price > $least", least=4)
        assert [each["@metadata"]["@id"] for each in found.results] == ["goods/2"]
        assert (found.total_results, found.is_stale, found.index_name) == (1, False, "Auto/Goods/ByPrice")
        with pytest.raises(RequestFailed, match="least"):
            await asyncio.to_thread(ask, "from Goods where Price > $least")

    desk(test)
