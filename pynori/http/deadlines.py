"""Deadlines of a connection, looked at with every tick: slow heads, slow bodies, silence, answers nobody reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pynori.errors import RequestTimeout
from pynori.limits import BODY_RATE_BYTES_PER_SECOND_MIN

if TYPE_CHECKING:
    from pynori.http.protocol import Connection


def check_time(connection: Connection, now: float) -> None:
    """End what takes longer than its limit; now: seconds of the loop's clock."""
    limits = connection.listener.limits
    silent = now - connection.active_at > limits.idle_timeout_ms / 1_000
    if connection.closing:
        if silent or (connection.close_deadline and now > connection.close_deadline):
            connection.abort()
    elif connection.write_paused:
        if silent:
            connection.abort()
    elif connection.in_head:
        if now - connection.window_at > limits.header_timeout_ms / 1_000:
            name = f"HEADER_TIMEOUT_MS ({limits.header_timeout_ms})"
            connection.reject(RequestTimeout(f"the request head took longer than {name}"))
    elif connection.in_body:
        check_body(connection, now, silent)
    elif connection.current is None and silent:
        connection.close(linger=False)


def check_body(connection: Connection, now: float, silent: bool) -> None:
    limits = connection.listener.limits
    elapsed = now - connection.window_at
    if connection.reading_paused or connection.continue_due:
        connection.window_at = now
        connection.window_size = 0
    elif connection.request is not None and connection.request.stream is not None:
        # A stream may pause, as a bulk insert does while its client computes; it may not fall silent.
        if silent:
            name = f"IDLE_TIMEOUT_MS ({limits.idle_timeout_ms})"
            connection.reject(RequestTimeout(f"the request body was silent for {name}"))
    elif elapsed > limits.header_timeout_ms / 1_000:
        if connection.window_size < elapsed * BODY_RATE_BYTES_PER_SECOND_MIN:
            name = f"BODY_RATE_BYTES_PER_SECOND_MIN ({BODY_RATE_BYTES_PER_SECOND_MIN})"
            connection.reject(RequestTimeout(f"the request body came slower than {name}"))
        connection.window_at = now
        connection.window_size = 0
