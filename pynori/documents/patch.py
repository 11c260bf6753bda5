"""A patch: a script over one document, and what came of it.

The script sees the document as `this` with its metadata, and leaves it as it shall be; what it writes beside it by
`put` and `del` belongs to the same transaction. Nothing here writes: `prepare` turns outcomes into commands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from pynori_core.blittable import Document
from pynori_core.errors import EngineError
from pynori_core.json import FLAGS, JsonCodec

from pynori.errors import from_engine
from pynori.js.bridge import Write
from pynori.js.engine import Program

if TYPE_CHECKING:
    from pynori_core.command import CommandResult

PATCHED = "Patched"
CREATED = "Created"
NOT_MODIFIED = "NotModified"
SKIPPED = "Skipped"
DOCUMENT_DOES_NOT_EXIST = "DocumentDoesNotExist"

EMPTY_DOCUMENT = b"{}"


@dataclass(frozen=True, slots=True)
class PatchScript:
    """A script and its arguments, a JSON object.

    functions: declarations that it may use. names: of `this`, then of the documents whose ids stand at `paths`: the
    aliases of a patch by query, `from Orders as o load o.Company as c update {...}`.
    """

    source: str
    arguments: bytes = b"{}"
    functions: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()

    def program(self, realm: str) -> Program:
        return Program("patch", (self.source, *self.functions), self.names, realm)


@dataclass(slots=True)
class PutCommand:
    """Write a document; expected: None, do not care; "", it must not exist."""

    id: str
    body: bytes
    expected_change_vector: str | None = None


@dataclass(slots=True)
class DeleteCommand:
    """Delete a document."""

    id: str
    expected_change_vector: str | None = None


@dataclass(slots=True)
class CheckCommand:
    """The document must have this change vector; "": there must be none. Made by preparing."""

    id: str
    change_vector: str


class DocumentPatch(Protocol):
    """How a patch changes the JSON of a document, when it is not by a script. Raises PynoriError."""

    def apply(self, document: bytes) -> bytes: ...


@dataclass(frozen=True, slots=True)
class PatchCommand:
    """Patch one document.

    if_missing: the script that makes the document when there is none; create: the document that is put then.
    skip_on_mismatch: when the expected change vector is not the current one, do nothing instead of failing.
    is_test: say what would come of it, and write nothing.
    """

    id: str
    patch: PatchScript | DocumentPatch
    if_missing: PatchScript | None = None
    create: bytes | None = None
    expected_change_vector: str | None = None
    skip_on_mismatch: bool = False
    is_test: bool = False


@dataclass(slots=True)
class PatchResult:
    """What came of a patch. Vectors and dates are those of the document after it."""

    id: str
    status: str
    change_vector: str = ""
    last_modified: str = ""
    collection: str = ""
    document: bytes | None = None  # as it is now; None: there is none
    original: bytes | None = None  # as it was
    output: Sequence[str] = ()
    writes: Sequence[Write] = field(default=())
    loads: Sequence[str] = ()
    written: CommandResult | None = None

    def complete(self, written: CommandResult) -> None:
        """Take over what the database gave the document when it was written."""
        self.id = written.id
        self.change_vector = written.change_vector
        self.last_modified = written.last_modified
        self.collection = written.collection
        self.written = written

    def modified_document(self) -> bytes | None:
        """The document as it is now, with the metadata that it has now; None: there is none."""
        if self.document is None or self.written is None:
            return self.document
        return with_metadata(self.document, self.written)


def with_metadata(document: bytes, written: CommandResult) -> bytes:
    """JSON of the document with the metadata that it was given."""
    codec = JsonCodec()
    codec.parse(document, FLAGS["document"])
    return codec.write_document(
        codec.document(), written.id.encode(), written.change_vector.encode(), written.flags.encode() or None,
        written.last_modified.encode(),
    )  # fmt: skip


def is_modified(before: bytes, after: bytes) -> bool:
    """Whether two texts of JSON are different documents."""
    if before == after:
        return False
    try:
        return Document.from_json(before) != Document.from_json(after)
    except EngineError as error:
        raise from_engine(error) from error
