"""Raft messages as bytes: arrays of MessagePack, checked for form when they come in."""

from __future__ import annotations

import msgspec

from pynori.cluster.raft.types import Entry, EntryKind, Membership, Message, MessageKind, Snapshot

_encode = msgspec.msgpack.Encoder().encode


class _Entry(msgspec.Struct, array_like=True):
    term: int
    index: int
    data: bytes
    kind: EntryKind


class _Membership(msgspec.Struct, array_like=True):
    voters: list[int]
    outgoing: list[int]
    learners: list[int]
    learners_next: list[int]
    auto_leave: bool


class _Snapshot(msgspec.Struct, array_like=True):
    index: int
    term: int
    membership: _Membership
    data: bytes


class _Message(msgspec.Struct, array_like=True):
    kind: MessageKind
    target: int
    source: int
    term: int
    log_term: int
    index: int
    entries: list[_Entry]
    commit: int
    vote: int
    snapshot: _Snapshot | None
    reject: bool
    reject_hint: int
    context: bytes


_decode_message = msgspec.msgpack.Decoder(_Message).decode
_decode_entry = msgspec.msgpack.Decoder(_Entry).decode
_decode_membership = msgspec.msgpack.Decoder(_Membership).decode


def encode_message(message: Message) -> bytes:
    """The bytes of a message for another node; orders to storage never travel."""
    snapshot = message.snapshot
    return _encode((
        message.kind, message.target, message.source, message.term, message.log_term, message.index,
        [(each.term, each.index, each.data, each.kind) for each in message.entries], message.commit, message.vote,
        None if snapshot is None else (snapshot.index, snapshot.term, _parts(snapshot.membership), snapshot.data),
        message.reject, message.reject_hint, message.context,
    ))  # fmt: skip


def decode_message(data: bytes) -> Message:
    """Raises: ValueError for bytes that are no message."""
    found = _decode_message(data)
    snapshot = found.snapshot
    return Message(
        found.kind, found.target, found.source, found.term, found.log_term, found.index,
        [Entry(each.term, each.index, each.data, each.kind) for each in found.entries], found.commit, found.vote,
        None if snapshot is None else Snapshot(
            snapshot.index, snapshot.term, _membership(snapshot.membership), snapshot.data
        ),
        found.reject, found.reject_hint, found.context,
    )  # fmt: skip


def encode_entry(entry: Entry) -> bytes:
    """The bytes of an entry in the stored log."""
    return _encode((entry.term, entry.index, entry.data, entry.kind))


def decode_entry(data: bytes) -> Entry:
    found = _decode_entry(data)
    return Entry(found.term, found.index, found.data, found.kind)


def encode_membership(membership: Membership) -> bytes:
    return _encode(_parts(membership))


def decode_membership(data: bytes) -> Membership:
    return _membership(_decode_membership(data))


def _parts(membership: Membership) -> tuple[list[int], list[int], list[int], list[int], bool]:
    return (
        sorted(membership.voters), sorted(membership.outgoing), sorted(membership.learners),
        sorted(membership.learners_next), membership.auto_leave,
    )  # fmt: skip


def _membership(parts: _Membership) -> Membership:
    return Membership(
        frozenset(parts.voters), frozenset(parts.outgoing), frozenset(parts.learners), frozenset(parts.learners_next),
        parts.auto_leave,
    )  # fmt: skip
