"""Types of the failing disk."""

import os
from typing import Literal

from pynori_core.disk import DiskHandle

Operation = Literal[
    "open", "write", "sync", "allocate", "rename", "unlink", "sync_dir", "read", "map", "truncate", "size", "close",
    "list", "any",
]  # fmt: skip

class FaultHandle(DiskHandle):
    failed: int
    def __init__(self, directory: str | os.PathLike[str] | None = None) -> None: ...
    def fail(
        self, operation: Operation, after: int = 1, error: str = "EIO", lasting: bool = True, part: int = 0
    ) -> None: ...
    def stall(self, operation: Operation, milliseconds: int, after: int = 1) -> None: ...
    def heal(self) -> None: ...
    def counts(self) -> dict[Operation, int]: ...
    def live(self) -> tuple[int, int]: ...
