"""Reads of what the cluster agreed on: no older than the question, one for many, refused without a majority."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pynori.cluster.reads import ReadBarriers
from pynori.errors import NoLeader
from tests.cluster.cluster_of_nodes import Cluster, run

VALUE = b'{"Object":1}'


def test_every_node_reads_what_was_confirmed_before(tmp_path: Path) -> None:
    """A value that one node has confirmed is seen by a read that begins on any other node behind it."""

    async def steps(cluster: Cluster) -> None:
        nodes = await cluster.of(3)
        await nodes[0].server.databases.create({"DatabaseName": "db"}, 1)
        for number in range(60):
            writer, reader = nodes[number % 3], nodes[(number + 1) % 3]
            await writer.state.put_compare_exchange("db", f"k/{number}", 0, VALUE)
            await reader.state.read_barrier()
            assert reader.state.compare_exchange_value("db", f"k/{number}") is not None

    run(tmp_path, steps)


def test_a_node_without_a_majority_does_not_answer_with_old_values(tmp_path: Path) -> None:
    """What is left of the cluster cannot know what the others agree on, and says so."""

    async def steps(cluster: Cluster) -> None:
        nodes = await cluster.of(2)
        await nodes[1].state.read_barrier()
        await cluster.stop(nodes[0])
        with pytest.raises(NoLeader):
            await nodes[1].state.read_barrier()

    run(tmp_path, steps)


def test_reads_share_a_question_and_later_ones_need_another() -> None:
    """Those that came before the question are answered by it; one that was lost is asked again for all."""

    async def main() -> None:
        asked: list[bytes] = []
        barriers = ReadBarriers(b"me", asked.append)
        loop = asyncio.get_running_loop()
        first, second, late = (loop.create_future() for _ in range(3))
        barriers.add(first)
        barriers.add(second)
        barriers.ask(0.0, 1.0)
        barriers.add(late)
        barriers.ask(0.5, 1.0)
        assert len(asked) == 1
        barriers.answered(asked[0], 7)
        assert (first.result(), second.result(), late.done()) == (7, 7, False)
        barriers.ask(0.6, 1.0)
        barriers.ask(1.7, 1.0)  # the question was lost
        assert len(asked) == 3
        barriers.answered(asked[1], 8)
        assert not late.done()
        barriers.answered(asked[2], 9)
        assert late.result() == 9 and not barriers.has_any

    asyncio.run(main())
