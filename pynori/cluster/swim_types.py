"""What the members of SWIM say to each other, what each knows of the others, and the settings of one: plain values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple


class State(IntEnum):
    """What is believed of a member. The numbers are on the wire."""

    ALIVE = 0
    SUSPECT = 1  # it did not answer somebody; it has some time to say that it lives
    FAILED = 2  # it did not say so


class Kind(IntEnum):
    """Kinds of messages. The numbers are on the wire."""

    PING = 1  # answer me
    ACK = 2  # an answer; with a subject: this one has answered, whom you could not reach
    REQUEST = 3  # ping the subject for me
    NACK = 4  # it has not answered me either, but you see that I am here
    TABLE = 5  # all that I know of the members; tell me what you know
    TABLE_ANSWER = 6  # that


class News(NamedTuple):
    """Something that was found out about a member."""

    subject: int
    state: State
    incarnation: int  # of the subject, to which this applies
    accuser: int  # who has not reached it; 0 of the living


@dataclass(frozen=True, slots=True)
class Message:
    """What goes to one member; ids are the raft ids of nodes."""

    kind: Kind
    target: int
    source: int
    number: int  # of a question, the same in its answer; 0 of tables
    subject: int = 0  # of whom the question is, if not the target; 0: of the target itself
    news: tuple[News, ...] = ()


@dataclass(slots=True)
class Member:
    """What one node knows of another."""

    id: int
    since_ms: float  # when it was taken to be in this state
    state: State = State.ALIVE
    incarnation: int = 0
    accusers: list[int] = field(default_factory=list)  # who has not reached it, of the SUSPECT and FAILED; bounded
    answered_ms: float | None = None  # when it was last seen to live: by its own word, or by an answer to another one
    reached_by: dict[int, float] = field(default_factory=dict)  # whom it answered when it did not answer us, and when
    round_trip_ms: float | None = None  # of probes that were answered at the first try, smoothed


@dataclass(slots=True)
class Counts:
    """Probes since the start, by how they ended, and suspicions of this node that it has refuted."""

    answered: int = 0
    answered_to_others: int = 0
    missed: int = 0
    refuted: int = 0


@dataclass(frozen=True, slots=True)
class Sight:
    """What one node says of another one, by the tags of nodes: evidence."""

    state: State
    since_ms: float  # on the clock of this node, as all here
    incarnation: int
    answered_ms: float | None  # when it was last seen to live, by this node or through another one
    is_fresh: bool  # whether that is so lately that it says something about now
    reached_by: tuple[str, ...]  # others that have reached it lately when this node did not
    missed_by: tuple[str, ...]  # others that have not reached it, of the SUSPECT and FAILED
    round_trip_ms: float | None


@dataclass(frozen=True, slots=True)
class Options:
    """How a member behaves.

    random_below: returns a number from 0 up to its argument, exclusive; the only chance, so that a seed repeats a run.
    period_ms: between two probes; a whole probe takes as long, if this node is well.
    helpers: members that are asked to probe one that does not answer.
    confirmations: who suspect a member beside the first one, until its time is at its shortest.
    suspicion_periods: that shortest time in periods, for 10 members; it grows with the logarithm of their number.
    suspicion_spread: how many times as long it is while nobody confirms.
    news_repeats: how often news is sent on by each member, times the logarithm (base 2) of their number.
    news_max: news that ride on one message.
    score_max: how unwell a node can be; its probes take up to so many periods more.
    relays_max: probes for others that are under way.
    """

    random_below: Callable[[int], int]
    period_ms: float
    helpers: int
    confirmations: int
    suspicion_periods: float
    suspicion_spread: float
    news_repeats: int
    news_max: int
    score_max: int
    relays_max: int
