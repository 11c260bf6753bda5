"""Types of the state of a map-reduce index.

What a map yields is *rows*: bytes of the caller's, each under the *key* of its group. A group's rows are reduced in
chunks of 256, the results of 256 chunks in one more step, and so on, so that a change of one row reduces its chunk and
the path above it again. So a reduce function takes its own results as rows.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import final

from pynori_core.document_snapshot import DocumentSnapshot
from pynori_core.index_store import Fed, IndexWriter

# Takes (key, rows) of several jobs, returns for each the row that they become, or the exception that it failed with.
ReduceFunction = Callable[[list[tuple[bytes, list[bytes]]]], Sequence[bytes | BaseException]]

class RowProgram:
    """A map without the interpreter: gives the rows of documents."""

class RowReduce:
    """A reduce without the interpreter."""

@final
class ReducedGroup:
    """A group that changed."""

    id: str  # 32 hexadecimal digits, from the key alone: for use as the document id of its entry
    key: bytes
    result: bytes | None  # None: the group has no rows any more, or it failed
    error: str | None

@final
class ReduceStore:
    """The rows and partial results of an index, within one of its writers: they are committed together."""

    def __init__(self, writer: IndexWriter) -> None: ...
    def put(self, document_id: str, rows: Sequence[tuple[bytes, bytes]]) -> bool:
        """Replace the (key, row) pairs that a document gives. Whether anything changed.

        A key has 1 to 65,535 bytes, a row up to 64 MB. Only groups whose rows change are reduced again.
        """

    def delete(self, document_id: str) -> bool: ...
    def feed(
        self, documents: DocumentSnapshot, collection: str | None, since_etag: int, program: RowProgram, *,
        documents_max: int = ...,
    ) -> Fed:  # fmt: skip
        """As IndexWriter.feed, natively; reduce with the same program's `reduce`. `entries` counts rows."""

    def feed_tombstones(
        self, documents: DocumentSnapshot, collection: str | None, since_etag: int, *, documents_max: int = ...
    ) -> Fed: ...
    def reduce(self, function: ReduceFunction | RowReduce) -> Iterator[ReducedGroup]:
        """Reduce all groups that changed since this object was made or last reduced; go through all of it before the
        commit. A group whose function failed is reduced as a whole when it changes again."""

    def rows(self, key: bytes) -> list[bytes]:
        """All rows of a group, in the order in which they came."""

    @property
    def group_count(self) -> int: ...
    @property
    def row_count(self) -> int: ...
