"""Results of a reduce as documents of a collection of their own, kept in step with the index that makes them.

Each group is one document, `<collection>/<id of the group>`; it goes when the group does. Documents are written before
the index commits: after a crash between the two they are written once more, never forgotten. An index that is built
anew first removes what an earlier one has left.

With a pattern (reference_pattern.py), results of one id by that pattern are gathered in a document of that id, which
lists the ids of their documents in `ReduceOutputs`. It is written together with them, and goes with the last one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import closing
from typing import TYPE_CHECKING

import msgspec

from pynori.errors import DocumentConflict, OperationFailed
from pynori.indexes.reference_pattern import ReferencePattern
from pynori.limits import INDEX_WRITE_BACK_BATCH

if TYPE_CHECKING:
    from pynori_core.command import Batch
    from pynori_core.items import StoredDocument

    from pynori.documents.database import Database
    from pynori.indexes.definition import IndexDefinition


LOOKED_AT_MAX = 1_024  # documents of a collection that are looked at before an index may write to it


class OutputWriter:
    """Writes the results of one index. Used by the thread of its batch."""

    def __init__(
        self, database: Database, collection: str, pattern: ReferencePattern | None = None, referring: str | None = None
    ) -> None:
        """pattern: of the documents that refer to results. referring: their collection, if it has a name of its own."""
        self._database = database
        self._collection = collection
        self._pattern = pattern
        self._referring = referring or f"{collection}/References"
        self._waiting: list[tuple[str, bytes | None]] = []

    def put(self, group_id: str, json: bytes | None) -> None:
        """The result of a group; None: there is none any more."""
        self._waiting.append((f"{self._collection}/{group_id}", json))

    def write(self) -> None:
        """Write what waits, in batches; durable when this returns."""
        waiting, self._waiting = self._waiting, []
        for start in range(0, len(waiting), INDEX_WRITE_BACK_BATCH):
            part = waiting[start : start + INDEX_WRITE_BACK_BATCH]
            batch = self._database.batch()
            for id, json in part:
                if json is None:
                    batch.delete(id)
                else:
                    batch.put(id, in_collection(json, self._collection))
            if self._pattern is not None:
                self._refer(batch, part, self._pattern)
            self._database.execute(batch)

    def _refer(self, batch: Batch, part: Iterable[tuple[str, bytes | None]], pattern: ReferencePattern) -> None:
        """Bring the documents that list these results into line with them, in the same transaction."""
        changed: dict[str, dict[str, bool]] = {}  # by id of the listing: of a result, whether it belongs there
        for id, json in part:
            before = self._read(id)
            old = None if before is None else pattern.id_of(msgspec.json.decode(before.json))
            new = None if json is None else pattern.id_of(msgspec.json.decode(json))
            if old is not None and old != new:
                changed.setdefault(old, {})[id] = False
            if new is not None:
                changed.setdefault(new, {})[id] = True
        for reference, results in changed.items():
            found = self._read(reference)
            listed = [] if found is None else list(msgspec.json.decode(found.json).get("ReduceOutputs") or [])
            kept = [each for each in listed if results.get(each, True)]
            kept += [each for each, belongs in results.items() if belongs and each not in listed]
            if not kept and found is not None:
                batch.delete(reference)
            elif kept != listed:
                batch.put(reference, in_collection(msgspec.json.encode({"ReduceOutputs": kept}), self._referring))

    def _read(self, id: str) -> StoredDocument | None:
        """What stands there; nothing that can be trusted when it is in conflict, which writing it ends."""
        try:
            return self._database.get(id)
        except DocumentConflict:
            return None

    def remove_left(self) -> None:
        """Delete what an earlier index has written into the collection, and what referred to it."""
        with closing(self._database.stream(prefix=f"{self._collection}/")) as found:
            ids = [id for id in map(_id_of, found) if id is not None]
        with closing(self._database.stream(collection=self._referring)) as found:
            ids += [id for id in map(_id_of, found) if id is not None]
        for start in range(0, len(ids), INDEX_WRITE_BACK_BATCH):
            batch = self._database.batch()
            for id in ids[start : start + INDEX_WRITE_BACK_BATCH]:
                batch.delete(id)
            self._database.execute(batch)


def in_collection(json: bytes, collection: str) -> bytes:
    """An object's JSON as a document of a collection."""
    body = json.rstrip()[:-1]
    metadata = b'"@metadata":{"@collection":%b}}' % msgspec.json.encode(collection)
    return body + (b"," if len(body) > 1 else b"") + metadata


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
