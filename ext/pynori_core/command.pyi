"""Types of batches and their results."""

from collections.abc import Sequence
from typing import Any, final

@final
class Batch:
    count: int
    @property
    def size_bytes(self) -> int: ...
    def __len__(self) -> int: ...
    def put(
        self, id: str, body: bytes | bytearray | memoryview, expected_change_vector: str | None = None, *,
        source_change_vector: str | None = None, exact: bool = False, ticks: int = 0,
    ) -> None: ...  # fmt: skip
    def put_value(
        self, id: str, value: Any, expected_change_vector: str | None = None, *, source_change_vector: str | None = None
    ) -> None: ...
    def delete(
        self, id: str, expected_change_vector: str | None = None, *, source_change_vector: str | None = None,
        exact: bool = False, ticks: int = 0,
    ) -> None: ...  # fmt: skip
    def check(self, id: str, expected_change_vector: str) -> None: ...
    def set_position(self, name: str, position: int) -> None: ...
    def resolve(
        self, id: str, body: bytes | bytearray | memoryview | None, versions: Sequence[str]
    ) -> None: ...  # fmt: skip
    def purge_tombstones(self, etag_max: int, count_max: int) -> None: ...

@final
class CommandResult:
    @property
    def kind(self) -> str: ...
    @property
    def id(self) -> str: ...
    @property
    def collection(self) -> str: ...
    @property
    def change_vector(self) -> str: ...
    @property
    def etag(self) -> int: ...
    @property
    def last_modified(self) -> str: ...
    @property
    def flags(self) -> str: ...
    @property
    def deleted(self) -> bool: ...
    @property
    def purged(self) -> int: ...
    @property
    def transaction(self) -> int: ...

@final
class Applied:
    stored: int
    ignored: int
    conflicts: list[str]
