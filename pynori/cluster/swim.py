"""Who is alive, seen from everybody: SWIM with Lifeguard's refinements, pure, by messages and the time.

Each period a member pings one other, in an order that is shuffled anew for each round. Who does not answer is pinged
again, then some others are asked to ping it; an answer to anybody counts. If there is none it is suspected. The
suspected has time to refute, which shortens with each member that suspects it on its own; then it is failed. News
ride on the messages that go anyway, each a bounded number of times; a member that is suspected or failed is told so
with whatever goes to it, and whoever hears of a suspicion probes the suspected next, which either confirms it or
brings the refutation. A node's own word of itself has an incarnation, which only it raises.

A node that is itself unwell waits longer: each probe without an answer raises its score, unless those that it has
asked say that they are there; an answer lowers it. While it stood still no time has passed for others.

Members are given; nothing here makes or ends a membership, and the failed are probed further on, in their turn. Who
comes back, or begins, exchanges all that is known with the first that it hears. That another one takes a member to
have failed is one more suspicion; it is taken over when as many as are needed have suspected it, each on its own. Else
one node that hears nobody would take all to have failed, for everybody.

The caller hands in messages and the time, calls `tick` at `next_ms`, and sends what `take_messages` returns. Messages
may be lost. The same calls lead to the same state: nothing here knows a clock, chance or a network.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pynori.cluster.swim_types import Counts, Kind, Member, Message, News, Options, State

ALIVE, SUSPECT, FAILED = State.ALIVE, State.SUSPECT, State.FAILED

_STEPS = 4  # of a probe: pinged, pinged again, others are asked; then half of the time is theirs
_ASK_STEP = 2
_RELAY_SHARE = 0.3  # of a period, in which a member must answer a helper, so that its word comes in time
_ROUND_TRIP_WEIGHT = 0.25  # of the last one


@dataclass(slots=True)
class _Probe:
    """The probe of this period."""

    target: int
    number: int
    begun_ms: float
    step_ms: float
    end_ms: float  # when the next one begins
    steps: int = 0  # that were taken after the first ping
    is_answered: bool = False
    helpers: int = 0  # that were asked
    nacks: int = 0  # of them

    @property
    def next_ms(self) -> float:
        """When there is something to do."""
        if self.is_answered or self.steps == _ASK_STEP:
            return self.end_ms
        return min(self.begun_ms + (self.steps + 1) * self.step_ms, self.end_ms)


@dataclass(slots=True)
class _Relay:
    """A probe for another member."""

    asker: int
    asker_number: int
    subject: int
    end_ms: float


class _Rumours:
    """News that ride on messages, each with how often it still does; those that went least come first."""

    def __init__(self) -> None:
        self._left: dict[News, int] = {}

    def put(self, news: News, times: int) -> None:
        """Add news, in place of what it outdates."""
        self.forget(news.subject, unless=news)
        self._left[news] = times

    def forget(self, subject: int, unless: News | None = None) -> None:
        """Drop what is told of a member, but for suspicions by others that stand beside the one of `unless`."""
        for each in [each for each in self._left if each.subject == subject]:
            if unless is None or each[:3] != unless[:3] or unless.state is not SUSPECT:
                del self._left[each]

    def holds(self, news: News) -> bool:
        return news in self._left

    def take(self, count_max: int) -> list[News]:
        """What goes with the next message."""
        if not self._left:
            return []
        taken = sorted(self._left, key=lambda each: -self._left[each])[:count_max]
        for each in taken:
            self._left[each] -= 1
            if not self._left[each]:
                del self._left[each]
        return taken


class Swim:
    """One node's part. `node_id` is its own id, `members` the others by id."""

    def __init__(self, options: Options, node_id: int, now_ms: float) -> None:
        self.node_id = node_id
        self.members: dict[int, Member] = {}
        self.incarnation = 0
        self.score = 0  # how unwell this node is: 0 up to score_max
        self.counts = Counts()
        self.next_ms = math.inf  # when `tick` is to be called
        self.on_change: Callable[[Member, State], None] = lambda member, before: None
        self._options = options
        self._messages: list[Message] = []
        self._rumours = _Rumours()
        self._number = 0
        self._probe: _Probe | None = None
        self._next_probe_ms = now_ms + options.random_below(max(1, int(options.period_ms)))
        self._order: list[int] = []  # of this round, those that are still to be probed
        self._urgent: dict[int, None] = {}  # to be probed before those, in turn with them
        self._was_urgent = False
        self._relays: dict[int, _Relay] = {}  # by the number of our ping
        self._suspected: set[int] = set()
        self._lacks_table = True

    # ------------------------------------------------------------ from outside

    def set_members(self, ids: Iterable[int], now_ms: float) -> None:
        """Who the others are."""
        wanted = set(ids) - {self.node_id}
        for gone in self.members.keys() - wanted:
            del self.members[gone]
            self._urgent.pop(gone, None)
            self._suspected.discard(gone)
            self._rumours.forget(gone)
            for member in self.members.values():
                member.reached_by.pop(gone, None)
        for new in sorted(wanted - self.members.keys()):
            self.members[new] = Member(new, now_ms)
            self._order.insert(self._options.random_below(len(self._order) + 1), new)
        self._relays = {number: relay for number, relay in self._relays.items() if relay.subject in wanted}
        if self._probe is not None and self._probe.target not in wanted:
            self._probe = None
        if self._probe is None:
            # Who was alone has missed nothing.
            self._next_probe_ms = max(self._next_probe_ms, now_ms)
        self._plan()

    def look_at(self, member_id: int, now_ms: float) -> None:
        """Probe a member soon."""
        if member_id in self.members and (self._probe is None or self._probe.target != member_id):
            self._urgent[member_id] = None
            if self._probe is not None and self._probe.is_answered and not self._was_urgent:
                self._probe.end_ms = min(self._probe.end_ms, now_ms)
        self._plan()

    def tick(self, now_ms: float) -> None:
        """Let time pass."""
        self._notice_pause(now_ms)
        self._end_relays(now_ms)
        self._end_suspicions(now_ms)
        probe = self._probe
        if probe is not None and now_ms >= probe.end_ms:
            self._end_probe(probe, now_ms)
            self._probe, self._next_probe_ms = None, now_ms
        elif probe is not None and now_ms >= probe.next_ms:
            self._press(probe)
        if self._probe is None and self.members and now_ms >= self._next_probe_ms:
            self._begin_probe(now_ms)
        self._plan()

    def step(self, message: Message, now_ms: float) -> None:
        """Take what another one has sent; who is no member is not heard."""
        source = self.members.get(message.source)
        if source is None:
            return
        self._notice_pause(now_ms)
        source.answered_ms = now_ms
        for news in message.news:
            self._hear(news, message.source, now_ms)
        if message.kind is Kind.PING:
            self._send(Kind.ACK, message.source, message.number)
        elif message.kind is Kind.ACK:
            self._take_ack(message, now_ms)
        elif message.kind is Kind.REQUEST:
            self._begin_relay(message, now_ms)
        elif message.kind is Kind.NACK and self._probe is not None and self._probe.number == message.number:
            self._probe.nacks += 1
        elif message.kind is Kind.TABLE:
            self._send_table(Kind.TABLE_ANSWER, message.source)
        if self._lacks_table:
            self._send_table(Kind.TABLE, message.source)
        self._plan()

    def take_messages(self) -> list[Message]:
        """What is to be sent; it is handed out once."""
        messages, self._messages = self._messages, []
        return messages

    # ------------------------------------------------------------ probing

    def _begin_probe(self, now_ms: float) -> None:
        period_ms = self._options.period_ms
        target = self._choose()
        long_ms = period_ms * (1 + self.score)
        self._number += 1
        self._probe = probe = _Probe(target, self._number, now_ms, long_ms / _STEPS, now_ms + long_ms)
        if self.members[target].state is FAILED:
            # It is asked once, and told that it is taken to be gone; nobody else is troubled.
            probe.steps, probe.end_ms = _ASK_STEP, now_ms + period_ms
        self._send(Kind.PING, target, probe.number)

    def _choose(self) -> int:
        if self._urgent and not self._was_urgent:
            self._was_urgent = True
            target = next(iter(self._urgent))
            del self._urgent[target]
            return target
        self._was_urgent = False
        while self._order:
            target = self._order.pop()
            if target in self.members:
                return target
        self._order = self._shuffled(self.members)
        return self._order.pop()

    def _press(self, probe: _Probe) -> None:
        """No answer so far: ping again, then with the help of others."""
        probe.steps += 1
        self._send(Kind.PING, probe.target, probe.number)
        if probe.steps == _ASK_STEP:
            others = [each.id for each in self.members.values() if each.state is ALIVE and each.id != probe.target]
            for helper in self._shuffled(others)[: self._options.helpers]:
                probe.helpers += 1
                self._send(Kind.REQUEST, helper, probe.number, probe.target)

    def _end_probe(self, probe: _Probe, now_ms: float) -> None:
        member = self.members[probe.target]
        if probe.is_answered or member.state is FAILED:
            return
        self.counts.missed += 1
        if not probe.helpers or probe.nacks < probe.helpers:
            self._feel(1)
        self._suspect(member, member.incarnation, self.node_id, now_ms)

    def _take_ack(self, message: Message, now_ms: float) -> None:
        relay = self._relays.get(message.number)
        if relay is not None and relay.subject == message.source:
            del self._relays[message.number]
            self._send(Kind.ACK, relay.asker, relay.asker_number, relay.subject)
            return
        subject = message.subject or message.source
        member = self.members.get(subject)
        if member is None:
            return
        member.answered_ms = now_ms
        if message.subject:
            member.reached_by[message.source] = now_ms
        probe = self._probe
        if probe is None or probe.is_answered or (probe.number, probe.target) != (message.number, subject):
            return
        probe.is_answered = True
        self._feel(-1)
        if message.subject:
            self.counts.answered_to_others += 1
        else:
            self.counts.answered += 1
            if probe.steps == 0:
                took_ms = now_ms - probe.begun_ms
                before_ms = took_ms if member.round_trip_ms is None else member.round_trip_ms
                member.round_trip_ms = before_ms + _ROUND_TRIP_WEIGHT * (took_ms - before_ms)
        # Who is unwell waits longer for an answer, but does not probe less often than it gets answers.
        hurries = self._urgent and not self._was_urgent
        probe.end_ms = min(probe.end_ms, max(now_ms, now_ms if hurries else probe.begun_ms + self._options.period_ms))

    def _begin_relay(self, message: Message, now_ms: float) -> None:
        if message.subject not in self.members or len(self._relays) >= self._options.relays_max:
            return
        self._number += 1
        end_ms = now_ms + _RELAY_SHARE * self._options.period_ms
        self._relays[self._number] = _Relay(message.source, message.number, message.subject, end_ms)
        self._send(Kind.PING, message.subject, self._number)

    def _end_relays(self, now_ms: float) -> None:
        for number, relay in list(self._relays.items()):
            if now_ms >= relay.end_ms:
                del self._relays[number]
                self._send(Kind.NACK, relay.asker, relay.asker_number, relay.subject)

    def _feel(self, change: int) -> None:
        self.score = min(max(self.score + change, 0), self._options.score_max)

    # ------------------------------------------------------------ suspicion

    def _suspect(self, member: Member, incarnation: int, accuser: int, now_ms: float) -> None:
        """Somebody has not reached a member of that incarnation."""
        if incarnation < member.incarnation or (member.state is FAILED and incarnation == member.incarnation):
            return
        if member.state is not SUSPECT or incarnation > member.incarnation:
            member.accusers = [accuser]
            self._become(member, SUSPECT, incarnation, now_ms)
            if accuser != self.node_id:
                self.look_at(member.id, now_ms)
        elif accuser in member.accusers or len(member.accusers) > self._options.confirmations:
            return
        else:
            member.accusers.append(accuser)
        self._spread(News(member.id, SUSPECT, incarnation, accuser))

    def _end_suspicions(self, now_ms: float) -> None:
        for suspected in sorted(self._suspected):
            member = self.members[suspected]
            if now_ms >= self._suspicion_end_ms(member):
                self._fail(member, now_ms)

    def _suspicion_end_ms(self, member: Member) -> float:
        options = self._options
        short_ms = options.period_ms * options.suspicion_periods * max(1.0, math.log10(len(self.members) + 1))
        if self._is_shared(member):
            return member.since_ms + short_ms
        share = math.log(len(member.accusers)) / math.log(self._confirmations() + 1)
        return member.since_ms + short_ms * max(1.0, options.suspicion_spread * (1 - share) + share)

    def _confirmations(self) -> int:
        """How many may suspect a member beside the first: in a small cluster there are no more others."""
        return min(self._options.confirmations, len(self.members) - 1)

    def _is_shared(self, member: Member) -> bool:
        """Whether so many suspect a member that nobody else needs to be waited for."""
        return len(member.accusers) > self._confirmations()

    def _fail(self, member: Member, now_ms: float) -> None:
        self._become(member, FAILED, member.incarnation, now_ms)
        self._spread(News(member.id, FAILED, member.incarnation, self.node_id))

    def _become(self, member: Member, state: State, incarnation: int, now_ms: float) -> None:
        before, member.state, member.incarnation = member.state, state, incarnation
        member.since_ms = now_ms
        (self._suspected.add if state is SUSPECT else self._suspected.discard)(member.id)
        if state is ALIVE:
            member.accusers = []
        if state is not before:
            self.on_change(member, before)

    # ------------------------------------------------------------ news

    def _hear(self, news: News, source: int, now_ms: float) -> None:
        if news.subject == self.node_id:
            self._hear_of_self(news, source)
            return
        member = self.members.get(news.subject)
        if member is None:
            return
        if news.state is not ALIVE:
            self._suspect(member, news.incarnation, news.accuser, now_ms)
            if news.state is FAILED and member.state is SUSPECT and self._is_shared(member):
                self._fail(member, now_ms)
        elif news.incarnation > member.incarnation:
            self._become(member, ALIVE, news.incarnation, now_ms)
            self._spread(news)

    def _hear_of_self(self, news: News, source: int) -> None:
        """Say that this node lives, when somebody takes it to be gone, or knows a later incarnation from before."""
        if news.state is ALIVE:
            self.incarnation = max(self.incarnation, news.incarnation)
            return
        if news.incarnation >= self.incarnation:
            self.incarnation = news.incarnation + 1
            self.counts.refuted += 1
            self._feel(1)
        word = News(self.node_id, ALIVE, self.incarnation, 0)
        if not self._rumours.holds(word):
            self._spread(word)
        if news.state is FAILED:
            self._send_table(Kind.TABLE, source)

    def _spread(self, news: News) -> None:
        times = self._options.news_repeats * math.ceil(math.log2(len(self.members) + 2))
        self._rumours.put(news, times)

    def _send_table(self, kind: Kind, target: int) -> None:
        """All that is known of members, where it is more than that they are there."""
        self._lacks_table = False
        known = [
            News(each.id, each.state, each.incarnation, each.accusers[0] if each.accusers else 0)
            for each in self.members.values()
            if each.state is not ALIVE or each.incarnation
        ]
        known.append(News(self.node_id, ALIVE, self.incarnation, 0))
        self._messages.append(Message(kind, target, self.node_id, 0, 0, tuple(known)))

    def _send(self, kind: Kind, target: int, number: int, subject: int = 0) -> None:
        member = self.members.get(target)
        if member is None:
            return
        news = []
        if member.state is not ALIVE:
            news.append(News(target, member.state, member.incarnation, member.accusers[0]))
        news += self._rumours.take(self._options.news_max)
        self._messages.append(Message(kind, target, self.node_id, number, subject, tuple(news)))

    # ------------------------------------------------------------ time

    def _notice_pause(self, now_ms: float) -> None:
        """This node stood still, or was very slow: what it waited for has not had its time."""
        late_ms = now_ms - self.next_ms
        if late_ms <= self._options.period_ms / 2:
            return
        self._feel(1)
        if self._probe is not None:
            self._probe.begun_ms += late_ms
            self._probe.end_ms += late_ms
        self._next_probe_ms += late_ms
        for relay in self._relays.values():
            relay.end_ms += late_ms
        for suspected in self._suspected:
            self.members[suspected].since_ms += late_ms
        self._plan()

    def _plan(self) -> None:
        if not self.members:
            self.next_ms = math.inf
            return
        self.next_ms = self._next_probe_ms if self._probe is None else self._probe.next_ms
        if self._relays:
            self.next_ms = min(self.next_ms, min(relay.end_ms for relay in self._relays.values()))
        if self._suspected:
            ends = (self._suspicion_end_ms(self.members[each]) for each in self._suspected)
            self.next_ms = min(self.next_ms, min(ends))

    def _shuffled(self, ids: Iterable[int]) -> list[int]:
        found = list(ids)
        for position in range(len(found) - 1, 0, -1):
            other = self._options.random_below(position + 1)
            found[position], found[other] = found[other], found[position]
        return found
