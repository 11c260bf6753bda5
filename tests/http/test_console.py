"""The scripts by which the clients' test drivers build clusters: these and no others, on servers started for it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from tests.cluster.cluster_of_nodes import Cluster, Node, roles, run, until
from tests.http.test_groups import call

STORE = "server.ServerStore"


async def script(node: Node, text: str) -> tuple[int, Any]:
    status, answer, _ = await call(node, "POST", "/admin/console?serverScript=true", {"Script": text})
    return status, answer


def test_a_driver_builds_a_cluster(tmp_path: Path) -> None:
    """Passive nodes become a cluster of three; a leader stops answering and hands its lead on; one is asked to stop."""

    async def steps(cluster: Cluster) -> None:
        nodes = [await cluster.add() for _ in range(3)]
        assert (await script(nodes[0], f'{STORE}.EnsureNotPassiveAsync(null, "A").Wait();'))[0] == 200
        for node, tag in zip(nodes[1:], "BC", strict=True):
            add = (
                f'{STORE}.ValidateFixedPort = false;{STORE}.AddNodeToClusterAsync("{node.server.url}", "{tag}", '
                f"false, false, {STORE}.ServerShutdown).Wait();"
            )
            assert (await script(nodes[0], add))[0] == 200
        for node in nodes:
            assert (await script(node, f"{STORE}.WaitForTopology(0, {STORE}.ServerShutdown).Wait();"))[0] == 200
            valid = f"return {STORE}.LicenseManager.LicenseStatus.Type !== 'Invalid'"
            assert await script(node, valid) == (200, {"Result": True})
            index = nodes[0].state.raft_index
            assert (await script(node, f'{STORE}.Cluster.WaitForIndexNotification("{index}").Wait()'))[0] == 200
        await until(lambda: all(len(roles(node, "Members")) == 3 for node in nodes))
        stuck = (
            f"{STORE}.InitializationCompleted.Reset(true); {STORE}.Initialized = false; "
            f"var leader = {STORE}.Engine.CurrentLeader; if (leader) leader.StepDown();"
        )
        assert (await script(nodes[0], stuck))[0] == 200
        await until(lambda: nodes[1].state.leader_tag in ("B", "C"))
        await asyncio.sleep(0.1)
        asked = asyncio.ensure_future(call(nodes[0], "GET", "/build/version"))
        await asyncio.sleep(0.3)
        assert not asked.done(), "it hangs"
        nodes[0].listener.close()
        await asyncio.wait([asked])
        asked.exception()
        stopped: list[bool] = []
        nodes[1].server.want_stop = lambda: stopped.append(True)
        assert (await script(nodes[1], "server.Dispose()"))[0] == 200 and stopped == [True]

    run(tmp_path, steps, features_availability="Experimental")


def test_what_the_console_refuses(tmp_path: Path) -> None:
    """Any other script, and every script on a server that was not started for it."""

    async def steps(cluster: Cluster) -> None:
        node = await cluster.add()
        assert (await script(node, "server.Dispose()"))[0] == 403
        open_one = await Node(tmp_path / "open", {"features_availability": "Experimental"}).start()
        cluster.nodes.append(open_one)
        for text in ("server.Dispose(); 1", "return 1", "", f"{STORE}.EnsureNotPassiveAsync(null, 'A').Wait();"):
            assert (await script(open_one, text))[0] == 400
        outside = await Node(
            tmp_path / "outside", {"features_availability": "Experimental", "server_url": "http://0.0.0.0:8080"}
        ).start()
        cluster.nodes.append(outside)
        assert (await script(outside, "server.Dispose()"))[0] == 403

    run(tmp_path, steps)
