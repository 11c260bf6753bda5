"""Types of frames."""

from typing import final

from pynori_core.command import Batch
from pynori_core.items import DocumentStore

EMPTY_FRAME: bytes

@final
class Outgoing:
    frame: bytes
    items: int
    skipped: int
    last_etag: int
    ended: bool
    vector: str

def outgoing(
    store: DocumentStore, since: int, skip: str, items_max: int, bytes_max: int, own: str = ""
) -> Outgoing: ...  # fmt: skip
def add_frame(batch: Batch, frame: bytes | bytearray | memoryview, vector: str = "") -> None: ...
