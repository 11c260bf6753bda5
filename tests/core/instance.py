"""Instances of one database for the tests of replication: small, in memory, and checked when they are closed."""

import json
from typing import Any

from pynori_core.check_documents import check_documents
from pynori_core.command import Batch
from pynori_core.conflict_reads import Version, conflict_versions
from pynori_core.document_writer import DocumentWriter
from pynori_core.env import Env
from pynori_core.item_frames import Outgoing, add_frame, outgoing
from pynori_core.items import DocumentStore
from pynori_core.reads import DocumentReader, DocumentStream
from pynori_core.sim_disk import SimDisk

from pynori.runtime import codecs  # noqa: F401  (hands the engine its LZ4)

ITEMS_MAX, BYTES_MAX = 1000, 1 << 20


class Instance:
    """One database on a disk of its own, in memory."""

    def __init__(self, tag: str) -> None:
        self.id = bytes([ord(tag)] * 16)
        self.tag = tag
        self.disk = SimDisk()
        self.store = DocumentStore.create(self.disk, self.id, tag)
        self.writer = DocumentWriter(self.store)

    def put(self, id: str, collection: str = "", expected: str | None = None, **properties: object) -> str:
        batch = Batch()
        body = {**properties, "@metadata": {"@collection": collection}} if collection else properties
        batch.put(id, json.dumps(body).encode(), expected)
        return self.writer.execute(batch)[0].change_vector

    def delete(self, id: str, expected: str | None = None) -> str:
        batch = Batch()
        batch.delete(id, expected)
        return self.writer.execute(batch)[0].change_vector

    def cluster_put(self, id: str, index: int, **properties: object) -> None:
        """As a cluster-wide transaction writes on every instance."""
        batch = Batch()
        vector = f"RAFT:{index}-{'R' * 21}A"
        batch.put(id, json.dumps(properties).encode(), source_change_vector=vector, exact=True)
        self.writer.execute(batch)

    def resolve(self, id: str, body: dict[str, object] | None, versions: list[str]) -> str:
        batch = Batch()
        batch.resolve(id, None if body is None else json.dumps(body).encode(), versions)
        return self.writer.execute(batch)[0].change_vector

    def get(self, id: str) -> dict[str, Any] | None:
        found = DocumentReader(self.store).get(id)
        return None if found is None else json.loads(found.json)

    def versions(self, id: str) -> list[Version]:
        return conflict_versions(self.store, id)

    def apply(self, frame: bytes, vector: str = "", source: str = "", position: int = 0) -> None:
        batch = Batch()
        if source:
            batch.set_position(f"replication/{source}", position)
        add_frame(batch, frame, vector)
        self.writer.execute(batch)

    def outgoing(self, since: int, skip: str, items_max: int = ITEMS_MAX) -> Outgoing:
        return outgoing(self.store, since, skip, items_max, BYTES_MAX)

    def pull(self, other: "Instance", skip: str | None = None) -> int:
        """Everything that the other has and this one has not, in one frame; how many items came."""
        sent = other.outgoing(0, self.vector if skip is None else skip)
        assert sent.ended
        self.apply(sent.frame, sent.vector)
        return sent.items

    @property
    def vector(self) -> str:
        return self.store.change_vector

    def items(self) -> list[tuple[str, str, str, str, str, str, bytes]]:
        """All versions of everything, in etag order, without what is this instance's own."""
        return [
            (item.id, item.kind, item.change_vector, item.last_modified, item.collection, item.flags, item.json)
            for item in DocumentStream.items_since(self.store, 0)
        ]

    def reopen(self) -> None:
        self.writer.close()
        self.store.close()
        self.store = DocumentStore.open(self.disk, self.tag)
        self.writer = DocumentWriter(self.store)

    def findings(self) -> list[str]:
        """What the check of the tables says; the database is closed for it."""
        self.writer.close()
        self.store.close()
        with Env.open(self.disk, read_only=True) as env, env.read() as txn:
            return check_documents(txn)

    def close(self) -> None:
        findings = self.findings()
        assert not findings, "\n".join(findings)


def meet(*instances: Instance) -> None:
    """Everybody pulls from everybody until nobody has anything new."""
    while any(one.pull(other) for one in instances for other in instances if one is not other):
        before = [one.store.last_etag for one in instances]
        for one in instances:
            for other in instances:
                if one is not other:
                    one.pull(other)
        if [one.store.last_etag for one in instances] == before:
            return
