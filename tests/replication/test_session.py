"""The two ends of a link without I/O: what is sent when, what is accepted, and what is refused."""

from __future__ import annotations

import pytest

from pynori.errors import InvalidArgument
from pynori.limits import REPLICATION_NEWS_MS, REPLICATION_WINDOW
from pynori.replication.messages import (
    Accepted,
    Batch,
    decode_accepted,
    decode_batch,
    decode_own,
    encode_accepted,
    encode_batch,
    encode_own,
)
from pynori.replication.session import NEVER, Receiver, Sender, SetBack, Step

NEWS_S = REPLICATION_NEWS_MS / 1_000
X, Y = "x" * 21 + "A", "y" * 21 + "A"  # database ids


def test_items_are_read_from_where_the_receiver_is() -> None:
    """A link goes on behind what the receiver has, and waits when that is everything."""
    sender = Sender(Accepted(7, f"B:3-{X}"), 9)
    assert sender.next_step(f"A:9-{Y}", 9, 0.0) is Step.READ
    batch = sender.read(2, 9, f"A:9-{Y}", b"items", 0.0)
    assert batch == Batch(9, f"A:9-{Y}", b"items")
    assert (sender.next_step(f"A:9-{Y}", 9, 0.0), sender.due_at) == (Step.WAIT, NEVER)


def test_no_more_than_the_window_is_on_its_way() -> None:
    """A sender that is not answered stops, and goes on with each answer."""
    sender = Sender(Accepted(0, ""), 100)
    for number in range(1, REPLICATION_WINDOW + 1):
        assert sender.next_step("", 100, 0.0) is Step.READ
        sender.read(1, number, "", b"items", 0.0)
    assert sender.next_step("", 100, 0.0) is Step.WAIT
    sender.accept(Accepted(1, f"B:1-{X}"))
    assert (sender.accepted, sender.vector) == (1, f"B:1-{X}")
    assert sender.next_step("", 100, 0.0) is Step.READ


def test_news_are_told_now_and_then() -> None:
    """A vector that moves without items is told after a while, once for all that moved meanwhile."""
    sender = Sender(Accepted(5, ""), 5)
    assert sender.next_step(f"A:5-{Y}", 5, 0.0) is Step.TELL
    assert sender.tell(0.0) == Batch(5, f"A:5-{Y}", b"")
    sender.accept(Accepted(5, ""))
    assert sender.next_step(f"A:5-{Y}, B:1-{X}", 5, NEWS_S / 2) is Step.WAIT
    assert sender.due_at == NEWS_S
    assert sender.next_step(f"A:5-{Y}, B:2-{X}", 5, NEWS_S) is Step.TELL
    sender.tell(NEWS_S)
    sender.accept(Accepted(5, ""))
    assert sender.next_step(f"A:5-{Y}, B:2-{X}", 5, 9 * NEWS_S) is Step.WAIT


def test_items_that_are_passed_over_move_the_position_all_the_same() -> None:
    """When the receiver has everything by another way, only the position is told, later."""
    sender = Sender(Accepted(1, ""), 1)
    assert sender.next_step(f"A:1-{Y}", 1, 0.0) is Step.TELL
    sender.tell(0.0)
    sender.accept(Accepted(1, f"A:1-{Y}"))
    assert sender.next_step(f"A:1-{Y}", 4, 0.1) is Step.READ
    assert sender.read(0, 4, f"A:1-{Y}", b"", 0.1) is None
    assert sender.next_step(f"A:1-{Y}", 4, 0.1) is Step.WAIT
    assert sender.next_step(f"A:1-{Y}", 4, NEWS_S) is Step.TELL
    assert sender.tell(NEWS_S).position == 4


def test_an_instance_that_was_set_back_sends_nothing() -> None:
    """Etags that were given once must not name other items."""
    with pytest.raises(SetBack, match="etag 12 of this instance, which is at 9"):
        Sender(Accepted(12, ""), 9)


def test_only_what_was_sent_can_be_accepted() -> None:
    """Answers come in the order of the batches."""
    sender = Sender(Accepted(0, ""), 9)
    sender.read(1, 4, "", b"items", 0.0)
    with pytest.raises(InvalidArgument, match="position 5"):
        sender.accept(Accepted(5, ""))


def test_a_receiver_takes_batches_in_order_and_within_the_window() -> None:
    """Positions never go back, and batches that wait are bounded."""
    receiver = Receiver(3)
    with pytest.raises(InvalidArgument, match="position 2 behind one at 3"):
        receiver.take(Batch(2, "", b""))
    for position in range(4, 5 + REPLICATION_WINDOW):
        receiver.take(Batch(position, "", b""))
    with pytest.raises(InvalidArgument, match="REPLICATION_WINDOW"):
        receiver.take(Batch(9, "", b""))
    first = receiver.next()
    assert first is not None and first.position == 4
    receiver.done()
    second = receiver.next()
    assert second is not None and second.position == 5


def test_messages_come_back_as_they_went() -> None:
    """What one side writes the other reads; what is cut or overlong is refused."""
    for batch in (Batch(1, "", b"items"), Batch(2**63, f"A:1-{X}, B:2-{Y}", b""), Batch(0, f"A:1-{X}", b"\0" * 70_000)):
        assert decode_batch(encode_batch(batch)) == batch
    for accepted in (Accepted(0, ""), Accepted(7, f"A:1-{X}")):
        assert decode_accepted(encode_accepted(accepted)) == accepted
    own = f"RAFT:7-{X}, TRXN:1-{Y}"
    assert decode_own(encode_own(own)) == own
    with pytest.raises(InvalidArgument):
        decode_own(b"no vector")
    whole = encode_batch(Batch(1, f"A:1-{X}", b""))
    for size in range(len(whole)):
        with pytest.raises(InvalidArgument):
            decode_batch(whole[:size])
    with pytest.raises(InvalidArgument):
        decode_batch(whole[:8] + b"\2" + whole[9:])
    with pytest.raises(InvalidArgument):
        decode_accepted(encode_accepted(Accepted(7, f"A:1-{X}")) + b"x")
    with pytest.raises(InvalidArgument, match="ASCII"):
        decode_accepted(encode_accepted(Accepted(7, f"A:1-{X}"))[:-1] + b"\xff")
