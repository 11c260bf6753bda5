"""What the two ends of a link say to each other, as bytes; PROTOCOL.md tells when.

    Batch (1)    position u64 | flags u8 | vector size u16 | vector | items
    Accepted (2) position u64 | vector size u16 | vector
    Refused (3)  why, UTF-8
    Own (4)      vector of counters, ASCII

All integers are little endian. `items` is a frame of the engine's, which is checked where it is applied.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from pynori_core import change_vector
from pynori_core.errors import EngineError

from pynori import limits
from pynori.errors import InvalidArgument, from_engine

BATCH, ACCEPTED, REFUSED, OWN = 1, 2, 3, 4
_IS_END = 1  # flag of a batch: with it the receiver has all that the sender had when it read it
_BATCH = struct.Struct("<QBH")
_ACCEPTED = struct.Struct("<QH")


@dataclass(frozen=True, slots=True)
class Batch:
    """Items, and how far the sender's stream is told with them."""

    position: int  # etag of the sender's up to which everything is told
    vector: str  # of the sender's database, when it has told all that it had; else ""
    items: bytes  # b"": there is nothing to apply but position and vector


@dataclass(frozen=True, slots=True)
class Accepted:
    """The receiver has this on disk."""

    position: int  # of the sender's stream
    vector: str  # of the receiver's database


def encode_batch(batch: Batch) -> bytes:
    vector = batch.vector.encode("ascii")
    return b"".join((_BATCH.pack(batch.position, _IS_END if vector else 0, len(vector)), vector, batch.items))


def decode_batch(payload: bytes) -> Batch:
    """Raises: InvalidArgument."""
    if len(payload) < _BATCH.size:
        raise InvalidArgument(f"a batch of {len(payload)} bytes")
    position, flags, size = _BATCH.unpack_from(payload)
    end = _BATCH.size + size
    if end > len(payload) or flags > _IS_END or bool(size) != bool(flags & _IS_END):
        raise InvalidArgument(f"a batch of {len(payload)} bytes with flags {flags} and a vector of {size} bytes")
    return Batch(position, _vector(payload[_BATCH.size : end]), payload[end:])


def encode_accepted(accepted: Accepted) -> bytes:
    vector = accepted.vector.encode("ascii")
    return _ACCEPTED.pack(accepted.position, len(vector)) + vector


def decode_accepted(payload: bytes) -> Accepted:
    """Raises: InvalidArgument."""
    if len(payload) < _ACCEPTED.size:
        raise InvalidArgument(f"an acceptance of {len(payload)} bytes")
    position, size = _ACCEPTED.unpack_from(payload)
    if _ACCEPTED.size + size != len(payload):
        raise InvalidArgument(f"an acceptance of {len(payload)} bytes with a vector of {size} bytes")
    return Accepted(position, _vector(payload[_ACCEPTED.size :]))


def encode_refused(reason: str) -> bytes:
    return reason.encode("utf-8", "replace")[: limits.CHANNEL_REFUSAL_SIZE_BYTES_MAX]


def decode_refused(payload: bytes) -> str:
    return payload.decode("utf-8", "replace")


def encode_own(vector: str) -> bytes:
    return vector.encode("ascii")


def decode_own(payload: bytes) -> str:
    """Raises: InvalidArgument."""
    vector = _vector(payload)
    try:
        change_vector.parse(vector)
    except EngineError as error:
        raise from_engine(error) from error
    return vector


def _vector(data: bytes) -> str:
    try:
        return data.decode("ascii")
    except UnicodeDecodeError:
        raise InvalidArgument("a change vector that is not ASCII") from None
