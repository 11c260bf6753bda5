"""Long operations that a client starts, polls and may end: bulk inserts, patches by query, exports, restores.

A client takes an id first, then starts the work under it, then asks for its state until it is over; the state stays
readable for OPERATION_KEPT_MS afterwards. There is one `Operations` for each database and one for the server.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from datetime import datetime
from typing import Any

from pynori import limits
from pynori.errors import InvalidArgument, OperationCanceled, OperationFailed, Overloaded, PynoriError
from pynori.runtime.clock import Clock, wire_time


class Operation:
    """One operation. Whoever runs it sets `progress`, watches `killed`, and ends with `complete` or `fail`."""

    __slots__ = (
        "_clock",
        "_finished",
        "_result",
        "_started",
        "description",
        "id",
        "killed",
        "kind",
        "progress",
        "status",
    )

    def __init__(self, id: int, kind: str, description: str, clock: Clock) -> None:
        self.id = id
        self.kind = kind
        self.description = description
        self.progress: dict[str, Any] | None = None
        self.killed = asyncio.Event()
        self.status = "InProgress"
        self._clock = clock
        self._result: dict[str, Any] | None = None
        self._started = clock.now()
        self._finished: datetime | None = None

    def complete(self, result: dict[str, Any]) -> None:
        """The work is done; `result` is what the client reads. An operation ends once: a later end changes nothing."""
        self._end("Completed", result)

    def fail(self, error: BaseException) -> None:
        """The work has failed. One that was killed, or fails with OperationCanceled, counts as canceled."""
        wire_name = error.wire_name if isinstance(error, PynoriError) else "System.InvalidOperationException"
        status_code = error.status if isinstance(error, PynoriError) else 500
        message = str(error) or type(error).__name__
        result = {"Type": wire_name, "StatusCode": status_code, "Message": message, "Error": f"{wire_name}: {message}"}
        canceled = self.killed.is_set() or isinstance(error, OperationCanceled | asyncio.CancelledError)
        self._end("Canceled" if canceled else "Faulted", result)

    def check_killed(self) -> None:
        """Raise OperationCanceled when somebody has asked for the end."""
        if self.killed.is_set():
            raise OperationCanceled(f"Operation {self.id} was ended on request")

    def _end(self, status: str, result: dict[str, Any]) -> None:
        if self.status == "InProgress":
            self.status = status
            self._result = result
            self._finished = self._clock.now()

    def state(self) -> dict[str, Any]:
        """What `/operations/state` answers."""
        return {"Status": self.status, "Result": self._result, "Progress": self.progress}

    def details(self) -> dict[str, Any]:
        """The entry of `/operations`: id, description and state."""
        return {
            "Id": self.id,
            "Description": {
                "TaskType": self.kind,
                "Description": self.description,
                "StartTime": wire_time(self._started),
                "EndTime": None if self._finished is None else wire_time(self._finished),
            },
            "Killable": self.status == "InProgress",
            "State": self.state(),
        }


class Operations:
    """The operations of one database, or of the server."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last_id = 0
        self._running: dict[int, Operation] = {}
        # Ended ones, oldest first, with the moment of their end in milliseconds.
        self._ended: OrderedDict[int, tuple[float, Operation]] = OrderedDict()

    def next_id(self) -> int:
        """An id that no other operation here has."""
        self._last_id += 1
        return self._last_id

    def start(self, id: int, kind: str, description: str) -> Operation:
        """Register an operation under an id that a client took before."""
        self._sweep()
        if id < 1 or id in self._running or id in self._ended:
            raise InvalidArgument(f"Operation {id} exists already")
        if len(self._running) >= limits.OPERATIONS_RUNNING_MAX:
            raise Overloaded(f"OPERATIONS_RUNNING_MAX: {limits.OPERATIONS_RUNNING_MAX} operations are running")
        self._last_id = max(self._last_id, id)
        operation = self._running[id] = Operation(id, kind, description, self._clock)
        return operation

    def state(self, id: int) -> dict[str, Any] | None:
        """The state to answer with, or None when there is no such operation (any more)."""
        self._sweep()
        operation = self._find(id)
        return None if operation is None else operation.state()

    def kill(self, id: int) -> None:
        """Ask an operation to end. One that is over stays as it is. Raises: OperationFailed when there is none."""
        self._sweep()
        operation = self._find(id)
        if operation is None:
            raise OperationFailed(f"Operation {id} was not found")
        operation.killed.set()

    def details(self) -> list[dict[str, Any]]:
        """Details of all operations, running ones first."""
        self._sweep()
        return [operation.details() for operation in self._running.values()] + [
            operation.details() for _, operation in reversed(self._ended.values())
        ]

    def running(self) -> int:
        self._sweep()
        return len(self._running)

    def kill_all(self) -> None:
        """Ask all to end; the database or the server is closing."""
        for operation in self._running.values():
            operation.killed.set()

    def _find(self, id: int) -> Operation | None:
        operation = self._running.get(id)
        if operation is None and id in self._ended:
            operation = self._ended[id][1]
        return operation

    def _sweep(self) -> None:
        """Move what has ended, and forget what ended long ago or is too much to keep."""
        now_ms = self._clock.monotonic_ms()
        for id in [id for id, operation in self._running.items() if operation.status != "InProgress"]:
            self._ended[id] = (now_ms, self._running.pop(id))
        while self._ended:
            ended_ms, _ = next(iter(self._ended.values()))
            if len(self._ended) <= limits.OPERATIONS_KEPT_MAX and now_ms - ended_ms < limits.OPERATION_KEPT_MS:
                break
            self._ended.popitem(last=False)
