"""SWIM over the channels of the transport: time, chance, bytes and wake-ups for the pure part in `swim.py`.

What it finds out is evidence and nothing else: for the supervisor and for people. A node of which nobody but this one
is a member is silent. A message to a node without a channel is dropped, so that the probe is not answered; and whoever
is heard of, or is said to live again, is connected to at once in place of after the transport's pause.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import msgspec
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from pynori import limits
from pynori.cluster.swim import Swim
from pynori.cluster.swim_types import Kind, Member, Message, News, Options, State
from pynori.cluster.transport import Transport
from pynori.runtime import log
from pynori.runtime.clock import Clock
from pynori.runtime.rand import Rand


class _News(msgspec.Struct, array_like=True, frozen=True):
    """One piece of news on the wire."""

    subject: int
    state: State
    incarnation: int
    accuser: int


class _Frame(msgspec.Struct, array_like=True, frozen=True):
    """One message on the wire. What later versions add comes behind this, and is passed over here."""

    kind: Kind
    number: int
    source: int
    subject: int
    news: list[_News]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Frame)


def encode(message: Message) -> bytes:
    """The payload of a frame. Whom it is for is known by the channel."""
    return _encoder.encode((message.kind, message.number, message.source, message.subject, message.news))


def decode(payload: bytes, target: int) -> Message:
    """The message of a frame that came to `target`. Raises: ValueError, msgspec.DecodeError."""
    frame = _decoder.decode(payload)
    if len(frame.news) > limits.CLUSTER_NODES_MAX:
        raise ValueError(f"{len(frame.news)} pieces of news in one message")
    news = tuple(News(each.subject, each.state, each.incarnation, each.accuser) for each in frame.news)
    return Message(frame.kind, target, frame.source, frame.number, frame.subject, news)


def options(random_below: Callable[[int], int], period_ms: float) -> Options:
    """What `limits` says for all nodes, with this one's period."""
    return Options(
        random_below, period_ms, limits.SWIM_HELPERS, limits.SWIM_CONFIRMATIONS, limits.SWIM_SUSPICION_PERIODS,
        limits.SWIM_SUSPICION_SPREAD, limits.SWIM_NEWS_REPEATS, limits.SWIM_NEWS_MAX, limits.SWIM_SCORE_MAX,
        limits.SWIM_RELAYS_MAX,
    )  # fmt: skip
