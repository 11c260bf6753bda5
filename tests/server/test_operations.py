"""Long operations: their ids, states, ends, and how long they are remembered."""

import asyncio

import pytest

from pynori import limits
from pynori.errors import InvalidArgument, InvalidQuery, OperationCanceled, OperationFailed, Overloaded
from pynori.runtime.clock import ManualClock
from pynori.server.operations import Operations


def test_states_of_an_operation() -> None:
    """An operation is in progress until it completes, and then keeps its result whatever is said later."""
    operations = Operations(ManualClock())
    operation = operations.start(operations.next_id(), "BulkInsert", "of a test")
    operation.progress = {"Total": 3}
    assert operations.state(1) == {"Status": "InProgress", "Result": None, "Progress": {"Total": 3}}
    operation.complete({"Total": 5})
    operation.fail(OperationFailed("too late"))
    assert operations.state(1) == {"Status": "Completed", "Result": {"Total": 5}, "Progress": {"Total": 3}}
    assert operations.state(2) is None


def test_a_failure_has_the_shape_of_an_error() -> None:
    """What a client reads of a failed operation is the error's wire name, status and message."""
    operations = Operations(ManualClock())
    operations.start(1, "Patch", "").fail(InvalidQuery("no such field"))
    name = "Raven.Client.Exceptions.InvalidQueryException"
    assert operations.state(1) == {
        "Status": "Faulted",
        "Result": {"Type": name, "StatusCode": 400, "Message": "no such field", "Error": f"{name}: no such field"},
        "Progress": None,
    }


def test_killing() -> None:
    """A killed operation learns of it and counts as canceled; killing what is unknown is an error."""

    async def main() -> None:
        operations = Operations(ManualClock())
        operation = operations.start(operations.next_id(), "Patch", "")
        operation.check_killed()
        operations.kill(1)
        await asyncio.wait_for(operation.killed.wait(), 1)
        with pytest.raises(OperationCanceled) as canceled:
            operation.check_killed()
        operation.fail(canceled.value)
        state = operations.state(1)
        assert state is not None and state["Status"] == "Canceled"
        operations.kill(1)
        with pytest.raises(OperationFailed):
            operations.kill(77)

    asyncio.run(main())


def test_ids_are_used_once() -> None:
    """An id that runs, or has ended, cannot be started again; ids given by clients are not given to others."""
    operations = Operations(ManualClock())
    operations.start(5, "Patch", "").complete({})
    assert operations.next_id() == 6
    for id in (5, 0, -1):
        with pytest.raises(InvalidArgument):
            operations.start(id, "Patch", "")


def test_ended_operations_are_forgotten_in_time() -> None:
    """A result is readable for OPERATION_KEPT_MS, at most OPERATIONS_KEPT_MAX of them; running ones stay."""
    clock = ManualClock()
    operations = Operations(clock)
    operations.start(operations.next_id(), "Restore", "runs on")
    for _ in range(limits.OPERATIONS_KEPT_MAX + 10):
        operations.start(operations.next_id(), "Patch", "").complete({})
    assert operations.state(2) is None and operations.state(12) is not None
    assert len(operations.details()) == limits.OPERATIONS_KEPT_MAX + 1
    clock.advance(limits.OPERATION_KEPT_MS - 1)
    assert operations.state(12) is not None
    clock.advance(1)
    assert operations.state(12) is None
    assert [entry["Id"] for entry in operations.details()] == [1]


def test_running_operations_are_bounded() -> None:
    """One more than OPERATIONS_RUNNING_MAX is refused by the limit's name."""
    operations = Operations(ManualClock())
    for _ in range(limits.OPERATIONS_RUNNING_MAX):
        operations.start(operations.next_id(), "Patch", "")
    with pytest.raises(Overloaded, match="OPERATIONS_RUNNING_MAX"):
        operations.start(operations.next_id(), "Patch", "")
