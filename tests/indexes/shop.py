"""A server in this process with one database, and short words for what tests of indexes do to it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pynori.indexes.auto import AutoField, AutoIndexDefinition
from pynori.indexes.index import Index
from pynori.indexes.indexes import Indexes
from pynori.server.server import Server

NAME = "shop"
WAIT_S = 20.0


class Shop:
    """One database of a running server."""

    def __init__(self, server: Server) -> None:
        self.server = server

    @property
    def database(self) -> Any:
        return self.server.databases.find(NAME).database

    @property
    def indexes(self) -> Indexes:
        return self.server.databases.find(NAME).indexes

    async def put(self, id: str, collection: str, **fields: object) -> None:
        body = {**fields, "@metadata": {"@collection": collection}}
        await self.database.put(id, json.dumps(body).encode())

    async def put_all(self, collection: str, documents: Mapping[str, Mapping[str, object]]) -> None:
        batch = self.database.batch()
        for id, fields in documents.items():
            batch.put(id, json.dumps({**fields, "@metadata": {"@collection": collection}}).encode())
        await self.database.submit(batch)

    async def delete(self, id: str) -> None:
        await self.database.delete(id)

    async def auto(self, collection: str | None, *fields: str | AutoField) -> Index:
        made = [each if isinstance(each, AutoField) else AutoField(each) for each in fields]
        return await self.indexes.for_need(AutoIndexDefinition.of(collection, made))

    async def define(self, name: str, *maps: str, **more: object) -> Index:
        await self.indexes.put({"Name": name, "Maps": list(maps), **more})
        return self.indexes.find(name)

    async def ids(self, index: Index, field: str, value: Any) -> list[str]:
        """Ids of documents whose field has a value, after waiting for the index."""
        await self.settle(index)
        with index.read() as snapshot:
            found = snapshot.field(field)
            return [] if found is None else sorted(snapshot.documents(snapshot.equal(found.number, value)))

    async def stored(self, index: Index) -> list[dict[str, Any]]:
        """What the index keeps of its entries, in the order of their JSON."""
        await self.settle(index)
        with index.read() as snapshot:
            found = [json.loads(each) for each in snapshot.stored(snapshot.all()) if each]
        return sorted(found, key=json.dumps)

    async def settle(self, index: Index) -> None:
        assert await index.wait_non_stale(timeout_s=WAIT_S), index.staleness_reasons()
