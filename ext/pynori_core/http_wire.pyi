from collections.abc import Callable
from typing import Any

from pynori_core.completion import WriteStart, WriteWaiter

def now_us() -> float: ...


class Moment:
    now: float
    read_head: bytes
    write_head: bytes
    draining: bool


class Wire(WriteWaiter):
    moment: Moment
    transport: Any
    current: Any
    queue: Any
    last_request: bool
    closing: bool
    active_at: float
    requests: int
    in_head: bool
    in_body: bool
    target: bytes
    fields: dict[bytes, bytes]
    head_size: int
    known_size: int
    known: dict[bytes, bytes]
    def __init__(self, moment: Moment) -> None: ...
    def data_received(self, data: bytes) -> None: ...
    def remember(self, data: bytes, body_size: int) -> None: ...
    def remember_read(self, prefix: bytes, answer: Callable[..., Any], state: Any, index: Any) -> None: ...
    def remember_write(self, prefix: bytes, start: WriteStart, state: Any, index: Any) -> None: ...
    def take_durations(self) -> tuple[tuple[list[int], float], tuple[list[int], float]]: ...
