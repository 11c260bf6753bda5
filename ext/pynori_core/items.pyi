"""Types of a database's environment and of what is read from it."""

from typing import final

from pynori_core.blittable import Document
from pynori_core.disk import DiskHandle
from pynori_core.errors import EngineError

@final
class DocumentStore:
    @staticmethod
    def create(
        directory: str | DiskHandle | None, database_id: bytes, tag: str, *, in_memory: bool = False,
        allow_unsafe_filesystem: str | None = None,
    ) -> DocumentStore: ...  # fmt: skip
    @staticmethod
    def open(
        directory: str | DiskHandle, tag: str, *, allow_unsafe_filesystem: str | None = None
    ) -> DocumentStore: ...
    def close(self) -> None: ...
    def checkpoint(self) -> None: ...
    @property
    def failure(self) -> EngineError | None: ...
    @property
    def database_id(self) -> bytes: ...
    @property
    def last_etag(self) -> int: ...
    @property
    def change_vector(self) -> str: ...
    def position(self, name: str) -> int: ...
    def conflict_counts(self) -> tuple[int, int]: ...
    def counts(self) -> tuple[int, int, int, int]: ...
    def collections(self) -> list[tuple[str, int, int, int]]: ...
    def environment(self) -> dict[str, int]: ...

@final
class StoredDocument:
    collection: str
    @property
    def id(self) -> str: ...
    @property
    def change_vector(self) -> str: ...
    @property
    def last_modified(self) -> str: ...
    @property
    def etag(self) -> int: ...
    @property
    def json(self) -> bytes: ...
    @property
    def body(self) -> Document: ...
    @property
    def flags(self) -> str: ...

@final
class StreamItem:
    kind: str
    id: str
    change_vector: str
    collection: str
    last_modified: str
    etag: int
    flags: str
    transaction: int
    json: bytes
