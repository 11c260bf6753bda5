"""Results that are documents as they are: entries are followed to their documents and written natively, many at a time.

What most queries ask for needs no row and no Python object for each result.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pynori_core.index_results import write_documents

from pynori.limits import QUERY_PIECES_SIZE_BYTES

if TYPE_CHECKING:
    from pynori_core.document_snapshot import DocumentSnapshot
    from pynori_core.index_store import IndexSnapshot

    from pynori.queries.access import Entries
    from pynori.queries.running import RunningQuery


class WholeResults:
    """The documents of entries, in their order. missing: of how many the document was gone, up to here."""

    __slots__ = ("_documents", "_ids", "_index", "_running", "missing")

    def __init__(
        self, index: IndexSnapshot, ids: Entries, documents: DocumentSnapshot, running: RunningQuery | None
    ) -> None:
        self._index = index
        self._ids = ids
        self._documents = documents
        self._running = running
        self.missing = 0

    def pieces(self, before: bytes, behind: bytes) -> Iterator[bytes]:
        """Some results at a time, each between two texts."""
        start = 0
        while start < len(self._ids):
            if self._running is not None:
                self._running.check()
            made, start, missing = write_documents(
                self._index, self._documents, self._ids, start, QUERY_PIECES_SIZE_BYTES, before, behind
            )
            self.missing += missing
            if made:
                yield made
