"""Types of the storage of one query index.

An index maps documents to *entries* (usually one a document) and keeps for each field the entries of each *term*.
Fields are numbers; `field(name)` tells them. Values of a field are None, bool, int, float, str, or a list of these;
a field without a value is missing, which is not null. Terms order as null < false < true < numbers < strings; integers
are exact. Strings of a field are lower-cased whole unless it is `exact`; a `text` field takes tokens instead. Strings
of more than 512 bytes of UTF-8 keep their first 512 and a hash: equal ones stay equal, order and text end there.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self, final

from pynori_core.disk import DiskHandle
from pynori_core.document_snapshot import DocumentSnapshot
from pynori_core.env import PendingCommit
from pynori_core.errors import CorruptError
from pynori_core.index_feed import FeedProgram, TextAnalyzer
from pynori_core.matches import Matches, Ordered

# A value as it comes back: a string field gives its terms (lower-cased unless exact).
Scalar = None | bool | int | float | str
# What a field takes. Text fields: str (cut by the field's analyzer), or a list of (token, position).
FieldInput = Scalar | Sequence[Scalar] | Sequence[tuple[str, int]]
Ids = Matches | Ordered

@final
class IndexField:
    """How a field is kept. Compared by what it says."""

    number: int
    name: str
    exact: bool
    text: bool  # tokens with frequencies and positions, and each entry's number of tokens: it can be ranked

@final
class Fed:
    """What a `feed` did."""

    last_etag: int  # of the last item that was looked at: where to go on
    documents: int  # documents or tombstones that were looked at
    entries: int  # entries these documents have now
    deleted: int  # documents that were in the index and left it
    more: bool  # the limit ended it, not the end of the collection
    errors: list[tuple[str, str]]  # (document id, message); these documents have no entry. At most 500 are kept
    failed: int  # how many documents had an error

@final
class IndexStore:
    """One index on disk, or in memory. Any number of snapshots, one writer at a time."""

    @staticmethod
    def create(
        directory: str | os.PathLike[str] | DiskHandle | None, *, scratch_bytes_max: int = 0, checkpoint_bytes: int = 0
    ) -> IndexStore:
        """None: in memory."""

    @staticmethod
    def open(
        directory: str | os.PathLike[str] | DiskHandle, *, read_only: bool = False, scratch_bytes_max: int = 0,
        checkpoint_bytes: int = 0,
    ) -> IndexStore:  # fmt: skip
        """Raises CorruptError when the files are damaged, or hold something else than an index."""

    def close(self) -> None:
        """Busy while a snapshot or a writer is open."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None: ...
    @property
    def closed(self) -> bool: ...
    @property
    def directory(self) -> str: ...
    @property
    def id(self) -> bytes: ...
    def read(self) -> IndexSnapshot:
        """The index as of the last commit. Close it soon: it holds up checkpoints."""

    def write(self) -> IndexWriter:
        """Waits for the writer before."""

    def checkpoint(self) -> None: ...
    def statistics(self) -> dict[str, int]:
        """Of the environment; see Env.statistics."""

@final
class IndexWriter:
    """One write transaction: all of it is durable after `commit`, or nothing. Leaving the `with` block without an
    exception commits. What was put is seen by the writer's own `entries_of` and `meta` only."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None: ...
    def field(
        self, name: str, *, exact: bool = False, text: bool = False,
        analyzer: Callable[[str], Sequence[tuple[str, int]]] | TextAnalyzer | None = None,
    ) -> int:  # fmt: skip
        """The number of a field; it is made when there is none of that name.

        ValueError when it is there with other options. `analyzer` is for this writer only: it cuts the strings of a
        text field that come as str; `feed` needs a TextAnalyzer.
        """

    def fields(self) -> list[IndexField]: ...
    def put(
        self, document_id: str, entries: Sequence[Mapping[int, FieldInput]],
        stored: Sequence[bytes | None] | None = None,
    ) -> None:  # fmt: skip
        """Replace what the document has in the index. Only terms that changed are written; entry ids are kept.

        `stored`: for each entry bytes of the caller's that `IndexSnapshot.stored` gives back.
        """

    def put_object(
        self, document_id: str, row: bytes, fields: Sequence[tuple[bytes, int]], stored: bytes | None
    ) -> bool:  # fmt: skip
        """As put, one entry of the properties of a blittable object, natively. False: nothing was put, since the object
        holds objects or arrays in one of the fields, or a field is a text field."""

    def delete(self, document_id: str) -> bool:
        """Whether it had entries."""

    def entries_of(self, document_id: str) -> list[int]: ...
    def feed(
        self, documents: DocumentSnapshot, collection: str | None, since_etag: int, program: FeedProgram, *,
        documents_max: int = ..., bytes_max: int = ...,
    ) -> Fed:  # fmt: skip
        """Put the documents of a collection (None: of all) with a higher etag, in etag order, natively.

        Ends after `documents_max` documents or when what they gave takes more than `bytes_max` of memory.
        """

    def feed_tombstones(
        self, documents: DocumentSnapshot, collection: str | None, since_etag: int, *, documents_max: int = ...
    ) -> Fed:
        """Delete the documents that tombstones with a higher etag name."""

    def meta(self, key: str) -> bytes | None: ...
    def set_meta(self, key: str, value: bytes | None) -> None:
        """Up to 64 MB under any key of 1 to 500 bytes; None removes it. For definition, state, last etags."""

    def commit(self) -> None: ...
    def seal(self) -> PendingCommit:
        """As commit, but returns before it is durable, which the PendingCommit tells; the next writer may begin at
        once, on top of this one. Snapshots see it when it is durable."""

    def abort(self) -> None:
        """Undo everything. Ending twice does no harm."""

@final
class IndexSnapshot:
    """The index as of one commit. May be used by several threads; long calls give up the interpreter's lock.

    Wherever `within` is given, only entries of it are answered, and what is cheaper is done: reading the terms, or
    looking at each entry of `within`. `field` is a field's number; ValueError when there is none.
    """

    # Called with damage that was met, before it is raised; may raise something else in its place.
    on_damage: Callable[[CorruptError], object] | None

    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    # What there is.

    @property
    def txn_id(self) -> int:
        """Grows with each commit: for ETags of answers."""

    @property
    def entry_count(self) -> int: ...
    @property
    def document_count(self) -> int: ...
    def fields(self) -> list[IndexField]: ...
    def field(self, name: str) -> IndexField | None: ...
    def meta(self, key: str) -> bytes | None: ...

    # Sets of entries.

    def all(self) -> Matches: ...
    def exists(self, field: int, *, within: Matches | None = None) -> Matches:
        """Entries that have a value, null included."""

    def equal(self, field: int, value: Scalar, *, within: Matches | None = None) -> Matches:
        """A string is lower-cased as the field's own values are; for text fields it is one token, as it is."""

    def in_(self, field: int, values: Sequence[Scalar], *, within: Matches | None = None) -> Matches: ...
    def range(
        self, field: int, low: Scalar, high: Scalar, *, include_low: bool = True, include_high: bool = True,
        within: Matches | None = None,
    ) -> Matches:  # fmt: skip
        """Values between two of the same kind. None: open, to the end of the other one's kind. ValueError when both
        are None or the kinds differ."""

    def ranges(self, field: int, bounds: Sequence[tuple[Scalar, Scalar]]) -> Matches:
        """Entries with a value in one of these ranges, from the low one on to below the high one."""

    def prefix(self, field: int, text: str, *, within: Matches | None = None) -> Matches: ...
    def suffix(self, field: int, text: str, *, within: Matches | None = None) -> Matches:
        """Looks at every string term of the field; so do contains, wildcard and terms_matching."""

    def contains(self, field: int, text: str, *, within: Matches | None = None) -> Matches: ...
    def wildcard(self, field: int, pattern: str, *, within: Matches | None = None) -> Matches:
        """`*` any text, `?` any one character. What stands before the first of them narrows the walk."""

    def terms_matching(
        self, field: int, predicate: Callable[[str], object], *, prefix: str = "", within: Matches | None = None
    ) -> Matches:
        """String terms for which the predicate is true, as for regular expressions."""

    def documents_in(self, ids: Sequence[str]) -> Matches:
        """Entries of these documents; ids that are not there are passed over."""

    def documents_with_prefix(self, prefix: str) -> Matches: ...

    # Terms.

    def count_of(self, field: int, value: Scalar) -> int:
        """len(equal(field, value)) without reading all of it."""

    def count_estimate(self, field: int, low: Scalar, high: Scalar, *, limit: int = ...) -> int:
        """About how many entries `range` would give, counted up to `limit`; for planning."""

    def terms(
        self, field: int, *, after: Scalar | object = ..., prefix: str = "", limit: int = 1024
    ) -> list[tuple[Scalar, int]]:
        """Terms in their order with the number of their entries, from behind `after` on."""

    def term_counts(self, field: int, within: Matches) -> list[tuple[Scalar, int]]:
        """Terms that entries of `within` have, in their order, with how many of these have each: facets."""

    # Order.

    def ordered(
        self, field: int, *, descending: bool = False, within: Matches | None = None, skip: int = 0, limit: int = ...
    ) -> Ordered:
        """Entries in the field's order, by walking its terms: for sorting much with a small limit.

        Entries with several values stand where their lowest value does (descending: the highest), those without any
        value before all others (descending: behind them). Entries that are equal stand in the order of their ids.
        """

    def sort(
        self, within: Ids | None, keys: Sequence[tuple[int, bool]], *, skip: int = 0, limit: int = ...
    ) -> Ordered:
        """As `ordered`, for several (field, descending) keys. Both walk terms or look at entries, as costs less."""

    # Entries.

    def documents(self, ids: Ids) -> list[str]:
        """Ids of their documents as they are spelt, one for each entry."""

    def distinct_documents(self, ids: Ids, *, limit: int = ...) -> Ordered:
        """The first entry of each document, in the order given."""

    def stored(self, ids: Ids) -> list[bytes | None]: ...
    def values(self, ids: Ids, field: int) -> list[list[Scalar]]:
        """The terms of a field of each entry, in the order of terms (not that of the document)."""

    def numbers(self, ids: Ids, field: int) -> memoryview:
        """The first number of each entry as doubles (format "d"), NaN where there is none."""

    def aggregate(self, within: Matches, field: int) -> tuple[int, float, float, float]:
        """(count, sum, min, max) of all numbers of the field; NaN for min and max of nothing."""

    # Full text. A token that is not there is passed over.

    def postings(self, field: int, token: str) -> list[tuple[int, list[int]]]:
        """(entry, positions) of a token in a text field; the number of positions is the frequency."""

    def text_statistics(self, field: int) -> tuple[int, int]:
        """(entries with the field, tokens in all of them)."""

    def phrase(
        self, field: int, tokens: Sequence[tuple[str, int]], *, slop: int = 0, within: Matches | None = None
    ) -> Matches:
        """Entries where the tokens stand as far from each other as in the query; `slop`: their places, each less its
        position in the query, may lie so far apart."""

    def rank(
        self, field: int, tokens: Sequence[tuple[str, float]], *, within: Matches | None = None, skip: int = 0,
        limit: int = ..., required: bool = False,
    ) -> Ordered:  # fmt: skip
        """The best entries by BM25 (k1 1.2, b 0.75) of (token, boost), highest score first, with scores.

        `required`: only entries that have all tokens.
        """

    def scores(
        self, field: int, tokens: Sequence[tuple[str, float]], ids: Ids, *, average: float = 0
    ) -> memoryview:
        """The BM25 scores of these entries, format "d"; 0 where no token matches. To add up over several fields.

        average: how many tokens an entry has that is neither long nor short; 0: as many as the field's on average.
        """
