"""Reads that must see everything that was agreed on before they began: one question to the leader for all that wait.

The leader answers with an index once a majority has said that it still leads; the read may go on as soon as that index
is applied here. Reads that come while a question is on its way need a new one: the answer may be older than they are.
A question may be lost with its message, and is asked again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pynori.errors import Overloaded
from pynori.limits import READ_BARRIERS_MAX


class ReadBarriers:
    """Of one node. Belongs to one event loop."""

    __slots__ = ("_ask", "_asked", "_asked_at", "_context", "_number", "_prefix", "_waiting")

    def __init__(self, prefix: bytes, ask: Callable[[bytes], None]) -> None:
        """prefix: tells this process from all others; ask: put a question with a context to the leader."""
        self._prefix = prefix
        self._ask = ask
        self._number = 0
        self._waiting: list[asyncio.Future[int]] = []  # not asked for yet
        self._asked: list[asyncio.Future[int]] = []  # behind the question that is on its way
        self._asked_at = 0.0
        self._context = b""

    def add(self, future: asyncio.Future[int]) -> None:
        """`future` gets the index that must be applied. Raises: Overloaded."""
        if len(self._waiting) >= READ_BARRIERS_MAX:
            raise Overloaded(f"READ_BARRIERS_MAX: {READ_BARRIERS_MAX} reads wait for the cluster's leader")
        self._waiting.append(future)

    def ask(self, now: float, again_after_s: float) -> None:
        """Ask for those that wait, unless a question is on its way that is not lost."""
        if self._asked and now - self._asked_at < again_after_s:
            return
        self._asked = [future for future in (*self._asked, *self._waiting) if not future.done()]
        self._waiting.clear()
        if self._asked:
            self._number += 1
            self._context = self._prefix + self._number.to_bytes(8, "big")
            self._asked_at = now
            self._ask(self._context)

    def answered(self, context: bytes, index: int) -> None:
        """The leader's answer to a question; one that was asked again since is passed over."""
        if context != self._context:
            return
        answered, self._asked = self._asked, []
        for future in answered:
            if not future.done():
                future.set_result(index)

    def fail(self, error: Exception) -> None:
        """Nobody can answer."""
        failed = [*self._asked, *self._waiting]
        self._asked, self._waiting = [], []
        for future in failed:
            if not future.done():
                future.set_exception(error)

    @property
    def has_any(self) -> bool:
        return bool(self._asked or self._waiting)
