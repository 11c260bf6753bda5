"""What a node wants done, as one value, and the storage messages that carry it when writes are asynchronous."""

from collections.abc import Sequence
from dataclasses import dataclass

from pynori.cluster.raft.types import (
    APPEND_THREAD,
    APPLY_THREAD,
    Entry,
    HardState,
    Message,
    MessageKind,
    ReadState,
    Snapshot,
    SoftState,
)


@dataclass(slots=True, frozen=True)
class Ready:
    """The work of one round; None and empty mean: nothing of this kind.

    soft_state: leader or role changed. hard_state: to be stored. read_states: reads that wait for this much applied.
    entries: to be appended to the stored log, over what stands there from the first of them on. snapshot: replaces log
    and state machine. committed_entries: to be applied. messages: to be sent.
    must_sync: hard state and entries must be durable, not only written, before messages are sent.
    """

    soft_state: SoftState | None
    hard_state: HardState | None
    read_states: Sequence[ReadState]
    entries: Sequence[Entry]
    snapshot: Snapshot | None
    committed_entries: Sequence[Entry]
    messages: Sequence[Message]
    must_sync: bool


def storage_append(
    own_id: int,
    hard_state: HardState | None,
    entries: Sequence[Entry],
    snapshot: Snapshot | None,
    responses: Sequence[Message],
) -> Message:
    """Return the order to store hard state, entries and snapshot durably, and then to deliver the responses.

    Term, vote and commit are all 0 when there is no hard state to store.
    """
    state = hard_state or HardState()
    return Message(
        MessageKind.STORAGE_APPEND, APPEND_THREAD, own_id, state.term, entries=entries, commit=state.commit,
        vote=state.vote, snapshot=snapshot, responses=responses,
    )  # fmt: skip


def storage_append_response(
    own_id: int, term: int, unstable_end: tuple[int, int] | None, snapshot: Snapshot | None
) -> Message:
    """Return the answer that everything handed out so far is durable.

    unstable_end: (index, term) of the log's last entry while any entry is unstable, whether this very order writes it
    or an older one. The answer counts only at the term at which it was made: a later term may have overwritten the
    same entries, that write may still be on its way, and letting go of them now would show what is about to be
    overwritten. Each new term makes a new order, so an answer that counts always comes.
    """
    message = Message(MessageKind.STORAGE_APPEND_RESPONSE, own_id, APPEND_THREAD, term, snapshot=snapshot)
    if unstable_end is not None:
        message.index, message.log_term = unstable_end
    return message


def storage_apply(own_id: int, entries: Sequence[Entry]) -> Message:
    """Return the order to apply entries, and then to deliver its response. It belongs to no term."""
    return Message(
        MessageKind.STORAGE_APPLY, APPLY_THREAD, own_id, entries=entries,
        responses=(storage_apply_response(own_id, entries),),
    )  # fmt: skip


def storage_apply_response(own_id: int, entries: Sequence[Entry]) -> Message:
    """Return the answer that the entries are applied."""
    return Message(MessageKind.STORAGE_APPLY_RESPONSE, own_id, APPLY_THREAD, entries=entries)
