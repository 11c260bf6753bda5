"""Requests that clients give an id of their own: what is asked for twice under one id is done once.

A client whose answer got lost asks again, of any node. The command is then wrapped in `once`, which notes index and
result under the id and gives them again for REQUESTS_WINDOW indexes. A command that was refused has left no trace, and
is tried anew. Both tables are large ones: `requests` (by id) and `requests_order` (by index, "/" and the id).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from pynori import limits
from pynori.cluster.compare_exchange import Outcome
from pynori.errors import InvalidArgument

if TYPE_CHECKING:
    from pynori.cluster.commands import View

TABLE = "requests"
ORDER = "requests_order"
_FORGOTTEN = ("cluster", "requests_forgotten")  # the index at which old ones were forgotten last


class _Answer(msgspec.Struct, array_like=True, frozen=True):
    """What was answered."""

    index: int
    outcome: Outcome | None = None
    number: int | None = None


_decode = msgspec.json.Decoder(_Answer).decode


def check_id(request: str) -> str:
    """The id itself when it may be one. Raises: InvalidArgument."""
    if len(request.encode("utf-8", "surrogatepass")) > limits.REQUEST_ID_SIZE_BYTES_MAX:
        raise InvalidArgument(
            f"A raft-request-id has at most REQUEST_ID_SIZE_BYTES_MAX = {limits.REQUEST_ID_SIZE_BYTES_MAX} bytes"
        )
    return request


def recall(view: View, request: str) -> tuple[int, Any] | None:
    """Index and result of the command that was applied under this id; None: none was, or it is long ago."""
    data = view.get(TABLE, request)
    if data is None:
        return None
    answer = _decode(data)
    return answer.index, answer.number if answer.outcome is None else answer.outcome


def remember(view: View, request: str, index: int, result: Outcome | int | None) -> None:
    """A command was applied under this id."""
    _forget_old(view, index)
    answer = _Answer(index, result) if isinstance(result, Outcome) else _Answer(index, None, result)
    view.put(TABLE, request, msgspec.json.encode(answer))
    view.put(ORDER, f"{index:016x}/{request}", b"1")


def _forget_old(view: View, index: int) -> None:
    """Every REQUESTS_FORGET_STEP indexes, twice as many as can have come since: what was left is caught up with."""
    if index - (view.get(*_FORGOTTEN) or 0) < limits.REQUESTS_FORGET_STEP:
        return
    view.put(*_FORGOTTEN, index)
    for key in view.first_keys(ORDER, "", 2 * limits.REQUESTS_FORGET_STEP):
        at, _, request = key.partition("/")
        if int(at, 16) >= index - limits.REQUESTS_WINDOW:
            return
        view.delete(TABLE, request)
        view.delete(ORDER, key)
