"""What the raft core itself costs: no network, no disk, three nodes in one thread.

    PYTHONPATH=ext:. python bench/bench_raft.py

`one node`: a proposal from propose to committed, on a cluster of one. `three nodes`: proposals a second through leader
and two followers, all their work included, by proposals in one round. `idle`: ticks a second of groups in which nothing
happens, heartbeats left out: what silent groups cost.
"""

import sys
import time

from pynori.cluster.raft import HardState, Membership, MemoryStorage, Options, RaftNode, Snapshot

SECONDS = 2.0
COMMAND = b"x" * 100


def create(count: int) -> list[tuple[RaftNode, MemoryStorage]]:
    """Return nodes that know one another."""
    first = Snapshot(10, 1, Membership(frozenset(range(1, count + 1))))
    nodes = []
    for node_id in range(1, count + 1):
        storage = MemoryStorage()
        storage.install_snapshot(first)
        options = Options(node_id, lambda ticks: ticks // 2, applied=10, pre_vote=True, check_quorum=True)
        nodes.append((RaftNode(options, storage), storage))
    return nodes


def work_off(nodes: list[tuple[RaftNode, MemoryStorage]]) -> int:
    """Do all that is due at all nodes; return how many entries the first one has applied."""
    applied = 0
    is_busy = True
    while is_busy:
        is_busy = False
        for node, storage in nodes:
            if not node.has_ready():
                continue
            is_busy = True
            ready = node.ready()
            storage.set_hard_state(ready.hard_state or HardState())
            storage.append(list(ready.entries))
            for message in ready.messages:
                nodes[message.target - 1][0].step(message)
            if node is nodes[0][0]:
                applied += len(ready.committed_entries)
            node.advance()
            if node.applied - storage.first_index() > 5000:
                storage.compact(node.applied - 100)
    return applied


def proposals_per_second(count: int, batch: int) -> float:
    """Measure a cluster in memory; `batch` commands are proposed in each round."""
    nodes = create(count)
    leader = nodes[0][0]
    leader.campaign()
    work_off(nodes)
    assert leader.is_leader
    commands = [COMMAND] * batch
    applied = 0
    start = time.perf_counter()
    while time.perf_counter() - start < SECONDS:
        leader.propose_many(commands)
        applied += work_off(nodes)
    return applied / (time.perf_counter() - start)


def idle_ticks_per_second(groups: int) -> float:
    """Measure followers of silent groups, whose only event is the tick."""
    followers = [create(3)[1][0] for _ in range(groups)]
    for follower in followers:
        follower.set_election_timeout(10**9)
    ticks = 0
    start = time.perf_counter()
    while time.perf_counter() - start < SECONDS:
        for follower in followers:
            follower.tick()
            follower.has_ready()
        ticks += groups
    return ticks / (time.perf_counter() - start)


def main() -> int:
    """Print all figures."""
    for batch in (1, 10, 100):
        rate = proposals_per_second(1, batch)
        print(f"one node     batch {batch:4d}   {rate:10,.0f} proposals/s   {1e6 / rate:7.2f} us each", flush=True)
    for batch in (1, 10, 100, 1000):
        rate = proposals_per_second(3, batch)
        print(f"three nodes  batch {batch:4d}   {rate:10,.0f} proposals/s   {1e6 / rate:7.2f} us each", flush=True)
    rate = idle_ticks_per_second(1000)
    print(f"idle         1000 groups  {rate:10,.0f} ticks/s       {1e6 / rate:7.2f} us each")
    return 0


if __name__ == "__main__":
    sys.exit(main())
