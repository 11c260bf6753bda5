"""Types of a broken environment's pages."""

import os
from collections.abc import Iterator

from pynori_core.disk import DiskHandle

class Wreck:
    env_id: bytes
    checkpoint_txn: int
    last_txn: int
    notes: list[str]
    lost_pages: list[int]
    blank_pages: list[int]
    lost_transactions: list[tuple[int, int]]
    uncertain: set[int]
    def __init__(self, directory: str | os.PathLike[str] | DiskHandle) -> None: ...
    def close(self) -> None: ...
    def page(self, page: int) -> tuple[int, bytearray] | None: ...
    def pages(self) -> Iterator[tuple[int, int, bytearray]]: ...
