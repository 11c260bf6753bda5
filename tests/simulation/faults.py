"""What goes wrong in a run, one thing after the other and some at the same time; all of it is over with `mend_all`."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.node import Node
    from tests.simulation.world import World

RATES = (0.9, 0.97, 1.03, 1.1)
JUMPS_S = (-86_400.0, -60.0, -1.0, 0.5, 60.0, 86_400.0)
LASTS_S = (0.05, 0.5, 2.0, 5.0)
LOOK_S = 0.000_5


class Faults:
    """Of one run."""

    def __init__(self, world: World, chance: random.Random) -> None:
        self.counts: Counter[str] = Counter()
        self._world = world
        self._chance = chance
        self._mends: dict[int, Callable[[], None]] = {}  # of what goes on now
        self._number = 0
        self._kinds: dict[str, Callable[[Node], Callable[[], None] | None]] = {
            "partition": self._partition, "one-way": self._one_way, "delay": self._delay,
            "kill": lambda node: self._crash([node], False), "power": lambda node: self._crash([node], True),
            "blackout": self._black_out, "stop": self._stop, "pause": self._pause,
            "drift": self._drift, "jump": self._jump, "slow disk": self._slow,
            "break": lambda node: self._break(False), "hang": lambda node: self._break(True),
        }  # fmt: skip

    def strike(self) -> None:
        """Something goes wrong, for some time."""
        armed = self._world.plan.armed
        if not armed:
            return
        kind, node = self._chance.choice(armed), self._chance.choice(self._world.nodes)
        mend = self._kinds[kind](node)
        self.counts[kind] += 1
        if mend is not None:
            self._mend_later(mend)

    def _mend_later(self, mend: Callable[[], None]) -> None:
        self._number += 1
        number = self._number
        self._mends[number] = mend
        lasts_s = self._chance.choice(LASTS_S) * (0.5 + self._chance.random())
        self._world.time.after(lasts_s, lambda: self._mend(number))

    def mend_all(self) -> None:
        for number in list(self._mends):
            self._mend(number)

    def _mend(self, number: int) -> None:
        mend = self._mends.pop(number, None)
        if mend is not None:
            mend()

    # ---- kinds

    def _partition(self, node: Node) -> Callable[[], None]:
        names = [each.name for each in self._world.nodes]
        apart = {node.name, *self._chance.sample(names, self._chance.choice((1, 1, 2)))}
        return self._cut({(a, b) for a in names for b in names if (a in apart) != (b in apart)})

    def _one_way(self, node: Node) -> Callable[[], None]:
        others = [each.name for each in self._world.nodes if each is not node]
        others = self._chance.sample(others, self._chance.randrange(1, len(others) + 1))
        if self._chance.random() < 0.5:
            return self._cut({(node.name, other) for other in others})
        return self._cut({(other, node.name) for other in others})

    def _cut(self, ways: set[tuple[str, str]]) -> Callable[[], None]:
        network = self._world.network
        fresh = ways - network.cuts
        network.cuts |= fresh
        self._world.note("network", "cut: " + ", ".join(f"{a}>{b}" for a, b in sorted(fresh)))

        def mend() -> None:
            network.cuts -= fresh
            self._world.note("network", "free: " + ", ".join(f"{a}>{b}" for a, b in sorted(fresh)))
            network.wake()

        return mend

    def _crash(self, nodes: list[Node], lost_power: bool) -> None:
        """Now, or as soon as the first of them is about to write something: that is when a crash can do harm."""
        looks = self._chance.choice((0, 2_000))
        first, starts = nodes[0], nodes[0].starts

        def crash(looks: int) -> None:
            if not first.is_started or first.starts != starts or self._world.is_quiet:
                return
            if looks and not first.is_writing:
                self._world.time.after(LOOK_S, lambda: crash(looks - 1))
                return
            for node in nodes:
                if node.is_started:
                    node.crash(lost_power)
                    self._mend_later(node.want_up)

        crash(looks)

    def _black_out(self, node: Node) -> None:
        """Several nodes lose their power at the same moment."""
        others = [each for each in self._world.nodes if each is not node]
        self._crash([node, *self._chance.sample(others, self._chance.randrange(1, len(others) + 1))], True)

    def _stop(self, node: Node) -> Callable[[], None] | None:
        if not node.is_up or node.is_paused:
            return None
        node.stop()
        return node.want_up

    def _pause(self, node: Node) -> Callable[[], None] | None:
        if not node.is_started or node.is_paused:
            return None
        node.pause()
        starts = node.starts
        return lambda: node.resume() if node.starts == starts and node.is_paused else None

    def _drift(self, node: Node) -> Callable[[], None]:
        return self._set_rate(node, self._chance.choice(RATES))

    def _set_rate(self, node: Node, rate: float) -> Callable[[], None]:
        node.set_rate(rate)
        return lambda: node.set_rate(1.0)

    def _jump(self, node: Node) -> None:
        node.jump_s += self._chance.choice(JUMPS_S)
        self._world.note(node.name, f"its time of day is off by {node.jump_s} s")

    def _slow(self, node: Node) -> Callable[[], None]:
        node.storage.slow_factor = self._chance.choice((20.0, 200.0))
        self._world.note(node.name, "its disk is slow")

        def mend() -> None:
            node.storage.slow_factor = 1.0

        return mend

    def _break(self, hangs: bool) -> None:
        what = self._world.network.break_one(hangs)
        self._world.note("network", f"{'hangs' if hangs else 'breaks'}: {what}")

    def _delay(self, node: Node) -> Callable[[], None]:
        network = self._world.network
        network.late_share, network.late_s = 0.3, self._chance.choice((0.1, 0.8))
        self._world.note("network", "is slow")

        def mend() -> None:
            network.late_share, network.late_s = 0.02, 0.05

        return mend
