"""Answers without a thread: who gets them, and who loses them."""

from pynori.limits import QUERY_SHORT_MS, QUERY_SHORT_RUNS, QUERY_SHORT_TEXT_SIZE_MAX, QUERY_SHORT_TEXTS
from pynori.queries.pace import Pace


def test_only_texts_that_are_quick_in_the_mean_are_short() -> None:
    """It takes some answers to be known as quick; one that is far too slow ends it, a late one does not."""
    pace = Pace()
    for run in range(QUERY_SHORT_RUNS):
        assert not pace.is_short("from Orders"), run
        pace.note("from Orders", QUERY_SHORT_MS / 2)
        pace.note("from Users", QUERY_SHORT_MS * 2)
    assert pace.is_short("from Orders") and not pace.is_short("from Users")
    pace.note("from Orders", QUERY_SHORT_MS * 4)
    assert pace.is_short("from Orders")
    pace.note("from Orders", QUERY_SHORT_MS * QUERY_SHORT_RUNS * 2)
    assert not pace.is_short("from Orders")
    for _ in range(QUERY_SHORT_RUNS * 3):
        pace.note("from Orders", QUERY_SHORT_MS / 4)
    assert pace.is_short("from Orders")


def test_what_is_remembered_is_bounded() -> None:
    """The text that was asked longest ago is forgotten; long texts are never remembered."""
    pace = Pace()
    for _ in range(QUERY_SHORT_RUNS):
        pace.note("first", 0)
        pace.note("x" * (QUERY_SHORT_TEXT_SIZE_MAX + 1), 0)
    for number in range(QUERY_SHORT_TEXTS):
        pace.note(f"text {number}", 0)
    assert not pace.is_short("first")
    assert not pace.is_short("x" * (QUERY_SHORT_TEXT_SIZE_MAX + 1))
