"""One result in the making: which document or group it is, why it is there, and the documents loaded for it.

A row is made by matching, filled by projection and includes, and gone when it is written out. Its document is read when
somebody asks for it, from the one snapshot that the whole query sees.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pynori.queries.paths import METADATA, RawObject, cut, decode, fields_of

if TYPE_CHECKING:
    from pynori_core.document_snapshot import DocumentSnapshot
    from pynori_core.items import StoredDocument

NOT_READ: Any = object()


class Row:
    """One result. A group of map-reduce has no id; its `json` is what the reduce gave."""

    __slots__ = (
        "_fields", "_json", "_kept", "_snapshot", "_stored", "distance", "entry", "id", "kept", "loaded", "score",
    )  # fmt: skip

    def __init__(
        self, snapshot: DocumentSnapshot, id: str, *, stored: Any = NOT_READ, json: bytes | None = None, entry: int = 0
    ) -> None:
        self._snapshot = snapshot
        self._stored = stored
        self._json = json
        self._fields: RawObject | None = None
        self._kept: RawObject | None = None
        self.kept: bytes | None = None  # JSON of the fields that the index itself keeps of the entry
        self.id = id
        self.entry = entry  # in the index; 0: none
        self.score: float | None = None
        self.distance: float | None = None  # from the point of `order by spatial.distance`
        self.loaded: dict[str, RawObject | list[RawObject] | None] = {}  # by the alias of `load`

    @property
    def is_group(self) -> bool:
        """Whether it comes from a reduce and stands for no document."""
        return self._json is not None and not self.id

    @property
    def stored(self) -> StoredDocument | None:
        """The document; None when it is gone since it was indexed."""
        if self._stored is NOT_READ:
            self._stored = self._snapshot.get(self.id) if self.id else None
        found: StoredDocument | None = self._stored
        return found

    @property
    def json(self) -> bytes | None:
        """The JSON of the document or the group; None when the document is gone."""
        if self._json is None:
            stored = self.stored
            self._json = None if stored is None else stored.json
        return self._json

    @property
    def fields(self) -> RawObject:
        """The properties of the document, each as its text. The row must not be gone."""
        if self._fields is None:
            json = self.json
            self._fields = {} if json is None else fields_of(json)
        return self._fields

    def kept_field(self, name: str) -> bytes | None:
        """The JSON of a field that the index keeps; None when it does not keep it."""
        if self._kept is None:
            self._kept = fields_of(self.kept) if self.kept is not None else {}
        found = self._kept.get(name)
        return None if found is None else bytes(found)

    def values_at(self, path: str) -> list[Any]:
        """The values that a path names; of an array its items."""
        text = cut(self.fields, path.split("."))
        found = None if text is None else decode(text)
        return found if isinstance(found, list) else [] if found is None else [found]

    def load(self, id: str) -> RawObject | None:
        """The properties of another document."""
        found = self._snapshot.get(id)
        return None if found is None else fields_of(found.json)

    def metadata(self) -> dict[str, Any]:
        """The document's metadata as values; {} for a group."""
        raw = self.fields.get(METADATA)
        found: dict[str, Any] = {} if raw is None else decode(raw)
        return found
