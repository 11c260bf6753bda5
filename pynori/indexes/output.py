"""Results of a reduce as documents of a collection of their own, kept in step with the index that makes them.

Each group is one document, `<collection>/<id of the group>`; it goes when the group does. Documents are written before
the index commits: after a crash between the two they are written once more, never forgotten. An index that is built
anew first removes what an earlier one has left.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import closing
from typing import TYPE_CHECKING

import msgspec

from pynori.errors import OperationFailed
from pynori.limits import INDEX_WRITE_BACK_BATCH

if TYPE_CHECKING:
    from pynori.documents.database import Database
    from pynori.indexes.definition import IndexDefinition


LOOKED_AT_MAX = 1_024  # documents of a collection that are looked at before an index may write to it


class OutputWriter:
    """Writes the results of one index. Used by the thread of its batch."""

    def __init__(self, database: Database, collection: str) -> None:
        self._database = database
        self._collection = collection
        self._waiting: list[tuple[str, bytes | None]] = []

    def put(self, group_id: str, json: bytes | None) -> None:
        """The result of a group; None: there is none any more."""
        self._waiting.append((f"{self._collection}/{group_id}", json))

    def write(self) -> None:
        """Write what waits, in batches; durable when this returns."""
        waiting, self._waiting = self._waiting, []
        metadata = b'"@metadata":{"@collection":"%b"}}' % self._collection.encode()
        for start in range(0, len(waiting), INDEX_WRITE_BACK_BATCH):
            batch = self._database.batch()
            for id, json in waiting[start : start + INDEX_WRITE_BACK_BATCH]:
                if json is None:
                    batch.delete(id)
                else:
                    body = json.rstrip()[:-1]
                    batch.put(id, body + (b"," if len(body) > 1 else b"") + metadata)
            self._database.execute(batch)

    def remove_left(self) -> None:
        """Delete what an earlier index has written into the collection."""
        with closing(self._database.stream(prefix=f"{self._collection}/")) as found:
            ids = [id for id in map(_id_of, found) if id is not None]
        for start in range(0, len(ids), INDEX_WRITE_BACK_BATCH):
            batch = self._database.batch()
            for id in ids[start : start + INDEX_WRITE_BACK_BATCH]:
                batch.delete(id)
            self._database.execute(batch)


def _id_of(json: bytes) -> str | None:
    found = msgspec.json.decode(json).get("@metadata", {}).get("@id")
    return found if isinstance(found, str) else None


def check_no_others(database: Database, collection: str) -> None:
    """Refuse a collection that holds documents which no index has made."""
    with closing(database.stream(collection=collection, page_size=LOOKED_AT_MAX)) as found:
        for json in found:
            id = _id_of(json) or ""
            if not re.fullmatch(re.escape(collection) + "/[0-9a-f]{32}", id, re.IGNORECASE):
                raise OperationFailed(
                    f"Results of an index cannot be written to the collection '{collection}': it has documents that no "
                    f"index has made, such as '{id}'"
                )


def check_output(
    definition: IndexDefinition, reads: Mapping[str, Iterable[str] | None], outputs: Mapping[str, str]
) -> None:
    """Refuse a definition whose results would come back to it.

    reads: by index the collections that it reads and loads, in lower case, None: all; the definition's own among them.
    outputs: by index the collection that it writes, in lower case.
    """
    start = (definition.output_collection or "").lower()
    reached, waiting = {start}, [start]
    while waiting:
        collection = waiting.pop()
        for name, names in reads.items():
            if names is not None and collection not in names:
                continue
            if name == definition.name.lower():
                raise OperationFailed(
                    f"Index '{definition.name}' is defined to output the Reduce results to documents in Collection "
                    f"'{definition.output_collection}', which it reads itself, directly or by other indexes"
                )
            written = outputs.get(name)
            if written is not None and written not in reached:
                reached.add(written)
                waiting.append(written)
