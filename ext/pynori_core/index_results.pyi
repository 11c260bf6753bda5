"""Types of the documents of entries as JSON."""

from pynori_core.document_snapshot import DocumentSnapshot
from pynori_core.index_store import IndexSnapshot
from pynori_core.matches import Matches, Ordered

def write_documents(
    index: IndexSnapshot, documents: DocumentSnapshot, ids: Matches | Ordered, start: int, size_max: int,
    before: bytes, behind: bytes,
) -> tuple[bytes, int, int]:  # fmt: skip
    """The JSON of the documents of entries from `start` on, each between two texts.

    Ends behind the result with which it has `size_max` bytes. Gives (JSON, where to go on, how many entries had no
    document any more).
    """
