"""Types of reads."""

from collections.abc import Callable, Iterator
from typing import Any, final

from pynori_core.errors import EngineError
from pynori_core.items import DocumentStore, StoredDocument

@final
class LoadedDocuments:
    body: bytes
    etag: str
    found: int

@final
class DocumentReader:
    def __init__(
        self, store: DocumentStore, translate: Callable[[EngineError], Exception] | None = None
    ) -> None: ...
    def get(self, id: str, metadata_only: bool = False) -> StoredDocument | None: ...
    def head(self, id: str) -> StoredDocument | None: ...
    def answer(self, head: bytes, id: str) -> bytes | None: ...
    def load(self, ids: list[str], includes: list[str], metadata_only: bool = False) -> LoadedDocuments: ...
    def list_by_prefix(
        self, prefix: str, *, matches: str = "", exclude: str = "", start_after: str = "", start: int = 0,
        page_size: int = ..., metadata_only: bool = False,
    ) -> bytes: ...  # fmt: skip
    def list_recent(self, *, start: int = 0, page_size: int = ..., metadata_only: bool = False) -> bytes: ...
    def list_collection(
        self, collection: str, *, start: int = 0, page_size: int = ..., descending: bool = False,
        metadata_only: bool = False,
    ) -> bytes: ...  # fmt: skip

@final
class DocumentStream(Iterator[Any]):
    @staticmethod
    def by_prefix(
        store: DocumentStore, prefix: str, matches: str = "", exclude: str = "", start_after: str = "", start: int = 0,
        page_size: int = ...,
    ) -> DocumentStream: ...  # fmt: skip
    @staticmethod
    def recent(store: DocumentStore, start: int = 0, page_size: int = ...) -> DocumentStream: ...
    @staticmethod
    def of_collection(
        store: DocumentStore, collection: str, start: int = 0, page_size: int = ..., descending: bool = False
    ) -> DocumentStream: ...
    @staticmethod
    def items_since(store: DocumentStore, etag: int, count: int = ...) -> DocumentStream: ...
    def __next__(self) -> Any: ...
    def close(self) -> None: ...
