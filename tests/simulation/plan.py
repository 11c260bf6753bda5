"""What a seed is made of: the cluster, its databases, which acts of clients and which kinds of faults there are.

Each run arms a part of the faults and of the rarer acts only: many at once hide one another.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

FAULTS = (
    "partition", "one-way", "kill", "power", "blackout", "stop", "pause", "drift", "jump", "slow disk", "break", "hang",
    "delay",
)  # fmt: skip
UNION = """
const seen = new Set();
for (const doc of docs) for (const n of doc.n) seen.add(n);
if (docs.length === 0) return resolveToTombstone;
return { n: [...seen].sort((a, b) => a - b), '@metadata': { '@collection': 'Docs' } };
"""


@dataclass(frozen=True)
class Plan:
    """One run."""

    machines: int
    nodes: int  # of the cluster at its begin; the other machines are spare
    nodes_min: int
    factor: int  # instances of the database that is always there
    rule: str  # for conflicts: "none", "script", "latest"
    is_dynamic: bool  # its group may move by itself
    armed: tuple[str, ...]
    weights: dict[str, float]  # of acts
    active_s: float
    acts_per_s: float
    faults_per_s: float
    purge_ms: int  # between two purges of tombstones
    log_kept: int  # entries of the Raft log that are kept; who lacks more gets the whole state

    @classmethod
    def draw(cls, chance: random.Random) -> Plan:
        machines = chance.choice((3, 3, 4, 5))
        nodes = machines if machines == 3 else chance.choice((3, machines))
        weights: dict[str, float] = {"write": 8, "read value": 2, "write value": 3, "transact": 2}
        for name, weight in (("delete", 1.0), ("create", 0.3), ("drop", 0.2), ("add instance", 0.3),
                             ("delete instance", 0.25), ("add node", 0.4), ("remove node", 0.15)):  # fmt: skip
            if chance.random() < 0.4:
                weights[name] = weight
        return cls(
            machines, nodes, min(nodes, 3), chance.choice((2, 3, 3)), chance.choice(("none", "script", "latest")),
            chance.random() < 0.5, tuple(kind for kind in FAULTS if chance.random() < 0.35), weights,
            chance.choice((6.0, 12.0, 20.0)), chance.choice((3.0, 8.0, 16.0)), chance.choice((0.3, 0.6, 1.2)),
            chance.choice((300_000, 3_000)), chance.choice((8_192, 8_192, 60)),
        )  # fmt: skip

    def record(self, name: str) -> dict[str, Any]:
        """What a client gives as the record of a new database."""
        solver: dict[str, Any] = {"ResolveByCollection": {}, "ResolveToLatest": self.rule == "latest"}
        if self.rule == "script":
            solver["ResolveByCollection"]["Docs"] = {"Script": UNION}
        return {
            "DatabaseName": name, "ConflictSolverConfig": solver,
            "Topology": {"DynamicNodesDistribution": self.is_dynamic},
        }  # fmt: skip
