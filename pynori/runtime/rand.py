"""Randomness comes in through one object, so that a run can be replayed from its seed."""

from __future__ import annotations

import os
import random
import uuid
from base64 import b64encode
from collections.abc import Sequence
from typing import Protocol, TypeVar

T = TypeVar("T")


class Rand(Protocol):
    """What the rest of the program knows of randomness."""

    def random_bytes(self, count: int) -> bytes:
        """`count` bytes; unpredictable in production."""
        ...

    def below(self, bound: int) -> int:
        """A whole number from 0 up to `bound`, exclusive."""
        ...


class SystemRand:
    """The kernel's randomness."""

    __slots__ = ()

    def random_bytes(self, count: int) -> bytes:
        return os.urandom(count)

    def below(self, bound: int) -> int:
        return random.randrange(bound)


class SeededRand:
    """The same bytes for the same seed; for tests and simulations only."""

    __slots__ = ("_random",)

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def random_bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)

    def below(self, bound: int) -> int:
        return self._random.randrange(bound)

    def between(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included."""
        return self._random.randint(low, high)

    def pick(self, choices: Sequence[T]) -> T:
        """One of `choices`."""
        return self._random.choice(choices)

    def sample(self, choices: Sequence[T], count: int) -> list[T]:
        """`count` different ones of `choices`."""
        return self._random.sample(choices, count)


def guid(rand: Rand) -> str:
    """A random version 4 GUID in lower case with dashes."""
    return str(uuid.UUID(bytes=rand.random_bytes(16), version=4))


def base64_id(rand: Rand) -> str:
    """16 random bytes as 22 characters of base64 without padding, the form of ids in change vectors."""
    return b64encode(rand.random_bytes(16)).decode("ascii").rstrip("=")
