"""Documents as embedding programs see them: a dict on the way out, almost anything that is an object on the way in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from pynori_core.items import StoredDocument

from pynori.errors import InvalidArgument

METADATA = "@metadata"
# Properties of the metadata that say what the attributes of a Document say; the database sets them itself.
OWN_METADATA = ("@id", "@change-vector", "@last-modified")


class Document(dict[str, Any]):
    """A document as read: a dict of its properties; as attributes, what the database knows of it.

    `metadata` holds the collection and what else was stored there; it goes back with the document when that is put.
    """

    __slots__ = ("change_vector", "collection", "etag", "id", "last_modified", "metadata")

    id: str
    change_vector: str
    collection: str
    etag: int
    last_modified: str
    metadata: dict[str, Any]

    @classmethod
    def of(cls, stored: StoredDocument) -> Document:
        """From what the engine read."""
        made = cls(msgspec.json.decode(stored.json))
        made.metadata = made.pop(METADATA)
        for name in OWN_METADATA:
            made.metadata.pop(name, None)
        made.id = stored.id
        made.change_vector = stored.change_vector
        made.collection = stored.collection
        made.etag = stored.etag
        made.last_modified = stored.last_modified
        return made

    def __repr__(self) -> str:
        return f"Document({self.id!r}, {super().__repr__()})"


def encode(value: Any, collection: str | None) -> bytes | bytearray | memoryview:
    """The JSON text of a value: a mapping, a dataclass, a msgspec struct, or JSON text as it is.

    Raises: InvalidArgument, when it is no object or holds what JSON cannot say.
    """
    if isinstance(value, bytes | bytearray | memoryview | str):
        if collection is not None:
            raise InvalidArgument('the collection of a document given as JSON stands in it: {"@metadata":{...}}')
        return value.encode() if isinstance(value, str) else value
    try:
        body = dict(value) if isinstance(value, Mapping) else msgspec.to_builtins(value)
        if not isinstance(body, dict):
            raise InvalidArgument(f"a document is a JSON object; this is a {type(value).__name__}")
        if isinstance(value, Document) and value.metadata:
            body[METADATA] = value.metadata
        if collection is not None:
            body[METADATA] = {**body.get(METADATA, {}), "@collection": collection}
        return msgspec.json.encode(body)
    except (TypeError, ValueError) as error:
        raise InvalidArgument(f"the value cannot be written as JSON: {error}") from error
