"""What must hold of SWIM in simulation, each a function of a seed: tests run some, the soak many.

A function raises AssertionError when it finds something wrong, and returns what it has measured, for the ledger.
"""

from __future__ import annotations

from collections.abc import Callable

from pynori import limits
from pynori.cluster.swim import Swim
from pynori.cluster.swim_types import Kind, Message, News, State
from tests.cluster.swim_world import PERIOD_MS, World

LARGE = 50
LOSS = 0.1
KNOWN_S = 10.0  # until a dead node is known to be
ALIVE, SUSPECT, FAILED = State.ALIVE, State.SUSPECT, State.FAILED


def killed(seed: int, count: int = LARGE, loss: float = LOSS) -> float:
    """A killed node is known failed to all, and nobody else is; it starts again and is known to live, to all.

    Returns after how many seconds the last one knew that it has failed; `KNOWN_S` is the caller's to check.
    """
    world = World(seed, count, loss)
    world.run(15)
    victim = world.chance.randrange(count)
    at_ms = world.now_ms
    world.kill(victim)
    world.run(20)
    told = [(change.at_ms, change.who) for change in world.failures()]
    assert {change.whom for change in world.failures()} <= {victim}, "a live node was taken to have failed"
    assert len({who for _, who in told}) == count - 1, "not all know of it"
    world.start(victim)
    world.run(15)
    assert len(world.believers(victim, ALIVE)) == count - 1, "it is back, and not all know of it"
    assert all(world.view(victim, other).state is ALIVE for other in range(count) if other != victim)
    return (max(at for at, _ in told) - at_ms) / 1_000


def quiet(seed: int, count: int = LARGE, seconds: float = 600, loss: float = LOSS) -> float:
    """No live node is ever taken to have failed. Returns how many suspicions were refuted, per node and hour."""
    world = World(seed, count, loss)
    world.run(seconds)
    assert not world.failures(), f"live nodes were taken to have failed: {world.failures()[:3]}"
    refuted = sum(world.node(place).counts.refuted for place in range(count))
    world.loss = 0.0
    world.run(30)
    assert not world.believed_wrongly(), "a suspicion stays although nothing is lost any more"
    return refuted / count / seconds * 3_600


def traffic(seed: int, seconds: float = 120) -> tuple[float, float]:
    """Bytes per node and second do not grow with the nodes; news end; a frame is bounded. Returns them."""
    rates = []
    for count in (10, LARGE):
        world = World(seed, count, LOSS, measures=True)
        world.run(seconds)
        rates.append(sum(world.sent_bytes.values()) / count / seconds)
        victim = world.chance.randrange(count)
        world.kill(victim)
        world.run(20)
        world.start(victim)
        assert world.largest_bytes < 100 + 22 * max(limits.SWIM_NEWS_MAX + 1, count), "a frame is too large"
        world.loss = 0.0
        world.run(60)
        before = sum(world.sent_bytes.values()), sum(world.sent.values())
        world.run(30)
        sent_bytes, sent = (later - sooner for later, sooner in zip(_totals(world), before, strict=True))
        assert sent <= 2.1 * 30 * count, "a quiet cluster sends more than a ping and an answer in a period"
        assert sent_bytes <= 24 * sent, "a quiet cluster still tells news"
    assert rates[1] < 1.2 * rates[0], f"traffic grows with the nodes: {rates}"
    return rates[0], rates[1]


def _totals(world: World) -> tuple[int, int]:
    return sum(world.sent_bytes.values()), sum(world.sent.values())


def blocked(seed: int, count: int = 5) -> None:
    """A link between two nodes that is cut, both ways or one, makes nobody fail: others bring the answers."""
    world = World(seed, count)
    one, other = world.chance.sample(range(count), 2)
    world.cut((one, other), *([(other, one)] if world.chance.random() < 0.5 else []))
    world.run(120)
    assert not world.changes, f"a cut link was taken for a failure: {world.changes[:3]}"
    member = world.view(one, other)
    assert member.answered_ms is not None and world.now_ms - member.answered_ms < 2 * count * PERIOD_MS
    assert member.reached_by, "nobody has helped"
    assert all(world.node(place).score == 0 for place in range(count) if place not in (one, other))


def deaf(seed: int, count: int = 5) -> None:
    """Who hears nobody is taken to have failed by all, and takes nobody with it; it is back when it hears again."""
    world = World(seed, count)
    victim = world.chance.randrange(count)
    world.run(10)
    world.cut(*((place, victim) for place in range(count)))
    world.run(60)
    assert len(world.believers(victim, FAILED)) == count - 1, "who hears nobody answers nobody"
    others = [change for change in world.failures() if victim not in (change.who, change.whom)]
    assert not others, f"it has taken others with it: {others[:3]}"
    assert world.node(victim).score > 0, "it does not feel unwell"
    world.heal()
    world.run(30)
    assert not world.believed_wrongly()


def halves(seed: int, count: int = 9) -> None:
    """Two sides that do not hear each other each take the other to have failed; healed, all live again for all."""
    world = World(seed, count)
    world.run(10)
    places = list(range(count))
    world.chance.shuffle(places)
    left, right = places[:4], places[4:]
    world.cut(*((a, b) for a in left for b in right), *((b, a) for a in left for b in right))
    world.run(90)
    for side, others in ((left, right), (right, left)):
        for place in side:
            assert all(world.view(place, other).state is FAILED for other in others), "the other side is gone"
            assert all(world.view(place, other).state is ALIVE for other in side if other != place)
    world.heal()
    healed_ms = world.now_ms
    world.run(60)
    assert not world.believed_wrongly()
    late = [change for change in world.failures() if change.at_ms > healed_ms + 5_000]
    assert not late, f"somebody was taken to have failed after the heal: {late[:3]}"


def paused(seed: int, count: int = 10) -> None:
    """A node that stands still for a while suspects nobody when it goes on, and refutes what was told of it."""
    world = World(seed, count)
    world.run(10)
    victim = world.chance.randrange(count)
    world.pause(victim)
    world.run(30)
    assert len(world.believers(victim, FAILED)) == count - 1, "who stands still does not answer"
    world.changes.clear()
    world.resume(victim)
    world.run(15)
    by_itself = [change for change in world.changes if change.who == victim]
    assert not by_itself, f"it blames others for the time that it lost: {by_itself[:3]}"
    assert not world.believed_wrongly() and world.node(victim).counts.refuted


def slow(seed: int, count: int = 10) -> None:
    """A node that is hardly reached by anything, in either direction, makes others fail for nobody but itself."""
    world = World(seed, count)
    world.run(10)
    victim = world.chance.randrange(count)
    for _ in range(40):
        world.pause(victim)
        world.run(1.2)
        world.resume(victim)
        world.run(0.3)
    assert not [change for change in world.failures() if victim not in (change.who, change.whom)]
    assert not [change for change in world.failures() if change.who == victim], "it blames others"
    world.run(40)
    assert not world.believed_wrongly() and world.node(victim).score == 0


def scripted(seed: int) -> None:
    """A single node hears made-up news: what is old, repeated, of nobody, or of itself, does what it must."""
    world = World(seed, 4)
    node = world.node(0)
    one, two, three = world.ids[1:]

    def tell(*news: News, source: int = two, kind: Kind = Kind.PING) -> list[Message]:
        node.step(Message(kind, node.node_id, source, 7, 0, news), world.now_ms)
        return node.take_messages()

    tell()
    for repeated in range(3):
        answer = tell(News(one, SUSPECT, 0, two))
        assert [each.kind for each in answer] == [Kind.ACK] and answer[0].number == 7, f"at {repeated}"
    assert node.members[one].state is SUSPECT and node.members[one].accusers == [two]
    tell(News(one, SUSPECT, 0, three))
    assert node.members[one].accusers == [two, three]
    told = tell(source=one)[0].news
    assert told[0] == News(one, SUSPECT, 0, two), "the suspected is told before anything else"
    tell(News(one, ALIVE, 0, 0))
    assert node.members[one].state is SUSPECT, "only a later incarnation refutes"
    told = tell(News(one, ALIVE, 1, 0), source=one)[0].news
    assert {news for news in told if news.subject == one} == {News(one, ALIVE, 1, 0)}, "what is outdated is told on"
    assert node.members[one].state is ALIVE and not node.members[one].accusers
    tell(News(one, SUSPECT, 0, three), News(one, FAILED, 0, three))
    assert node.members[one].state is ALIVE, "an old suspicion of an earlier incarnation"
    tell(News(one, FAILED, 1, three))
    assert node.members[one].state is SUSPECT, "another one's failure is one more suspicion"
    tell(News(node.node_id, SUSPECT, 4, three))
    assert node.incarnation == 5 and node.counts.refuted == 1
    tell(News(node.node_id, SUSPECT, 3, three))
    assert node.incarnation == 5 and node.counts.refuted == 1
    tell(News(12345, FAILED, 0, two), source=12345)
    assert 12345 not in node.members
    tell(News(three, SUSPECT, 0, two))
    tables = tell(News(node.node_id, FAILED, 5, three), kind=Kind.TABLE)
    assert [each.kind for each in tables] == [Kind.TABLE, Kind.TABLE_ANSWER] and tables[1].news[-1].incarnation == 6
    assert three in {news.subject for each in tables for news in each.news}
    _forget(node, world, [one, two])
    _relays(node, world, one, two)


def _forget(node: Swim, world: World, ids: list[int]) -> None:
    """Who is no member any more leaves nothing."""
    gone = world.ids[3]
    node.set_members(ids, world.now_ms)
    assert sorted(node.members) == sorted(ids)
    node.step(Message(Kind.PING, node.node_id, ids[0], 1), world.now_ms)
    assert gone not in {news.subject for each in node.take_messages() for news in each.news}


def _relays(node: Swim, world: World, one: int, two: int) -> None:
    """A probe for another one is answered by yes, or in time by no; more than SWIM_RELAYS_MAX are not begun."""
    now_ms = world.now_ms
    for number in range(limits.SWIM_RELAYS_MAX + 9):
        node.step(Message(Kind.REQUEST, node.node_id, one, number, two), now_ms)
    pings = [each for each in node.take_messages() if each.kind is Kind.PING and each.target == two]
    assert len(pings) == limits.SWIM_RELAYS_MAX
    node.step(Message(Kind.ACK, node.node_id, two, pings[0].number), now_ms)
    answer = [each for each in node.take_messages() if each.target == one]
    assert [(each.kind, each.number, each.subject) for each in answer] == [(Kind.ACK, 0, two)]
    node.tick(now_ms + PERIOD_MS / 2)
    nacks = [each for each in node.take_messages() if each.kind is Kind.NACK]
    assert [each.number for each in nacks] == list(range(1, limits.SWIM_RELAYS_MAX))


def fair(seed: int, count: int = 9) -> None:
    """Each round every other node is probed once, the failed too, in an order that differs from round to round."""
    world = World(seed, count)
    node = world.node(0)
    gone = node.members[world.ids[1]]
    gone.state, gone.accusers = FAILED, [world.ids[2]]
    rounds: list[list[int]] = []
    for _ in range(3):
        targets: list[int] = []
        while len(targets) < count - 1:
            now_ms = node.next_ms
            node.tick(now_ms)
            for message in node.take_messages():
                targets.append(message.target)
                node.step(Message(Kind.ACK, node.node_id, message.target, message.number), now_ms + 1)
            node.take_messages()
        rounds.append(targets)
    assert all(sorted(each) == sorted(world.ids[1:]) for each in rounds), "somebody is left out, or comes twice"
    assert rounds[0] != rounds[1] or rounds[1] != rounds[2], "the order is always the same"


def thawed(seed: int) -> None:
    """What was under way when a node stood still goes on where it was: nobody is blamed for the time between."""
    world = World(seed, 5)
    node, one = world.node(0), world.ids[1]
    now_ms = node.next_ms
    node.tick(now_ms)
    probed = node.take_messages()[0].target
    node.step(Message(Kind.PING, node.node_id, world.ids[2], 1, 0, (News(one, SUSPECT, 0, world.ids[2]),)), now_ms)
    now_ms += 60 * PERIOD_MS
    node.tick(now_ms)
    node.tick(now_ms + 1)
    assert node.members[one].state is SUSPECT, "it had no time to refute"
    assert probed == one or node.members[probed].state is ALIVE, "it had no time to answer"
    assert node.score == 1
    alone = World(seed, 1).node(0)
    alone.set_members([one], now_ms)
    alone.tick(now_ms)
    assert alone.score == 0 and alone.take_messages(), "who was alone was not unwell"


def slow_to_judge(seed: int) -> None:
    """The time of a suspicion grows with the logarithm of the nodes, and shrinks with each other that shares it."""
    times = {count: [_suspicion_s(seed, count, others) for others in range(4)] for count in (2, 3, 5, 10, 50)}
    for count, by_others in times.items():
        assert by_others == sorted(by_others, reverse=True), f"{count}: {by_others}"
    assert times[2][0] == times[10][3] == limits.SWIM_SUSPICION_PERIODS
    assert times[10][0] == limits.SWIM_SUSPICION_PERIODS * limits.SWIM_SUSPICION_SPREAD > times[10][1] > times[10][2]
    assert 1.6 < times[50][0] / times[10][0] < 1.8 and 1.6 < times[50][3] / times[10][3] < 1.8


def _suspicion_s(seed: int, count: int, others: int) -> float:
    """How long a node that was suspected by one, and so many others, has to refute it."""
    world = World(seed, count)
    node, ids = world.node(0), world.ids
    accusers = [node.node_id, *ids[2:]][: others + 1]
    source = ids[-1] if count > 2 else ids[1]
    news = tuple(News(ids[1], SUSPECT, 0, each) for each in accusers)
    node.step(Message(Kind.NACK, node.node_id, source, 0, 0, news), 0.0)
    now_ms = 0.0
    for _ in range(1_000):
        now_ms = max(now_ms, node.next_ms)
        node.tick(now_ms)
        if node.members[ids[1]].state is FAILED:
            break
    return round(now_ms / PERIOD_MS, 6)


CHECKS: dict[str, Callable[[int], object]] = {
    "scripted": scripted, "fair": fair, "thawed": thawed, "slow to judge": slow_to_judge, "blocked": blocked,
    "deaf": deaf, "halves": halves, "paused": paused,
    "slow": slow, "killed": lambda seed: killed(seed, 10), "quiet": lambda seed: quiet(seed, 20, 300),
    "traffic": lambda seed: traffic(seed, 60),
}  # fmt: skip
