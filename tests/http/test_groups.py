"""Groups over HTTP: databases made with a factor, on named nodes, added to, modified, deleted from, and their views."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.cluster.cluster_of_nodes import Cluster, Node, run, until


async def call(node: Node, method: str, target: str, body: Any = None, headers: Any = None) -> tuple[int, Any, Any]:
    """Status, body and headers of one request to a node."""

    def ask() -> tuple[int, Any, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(node.server.url + target, data, headers or {}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, json.loads(answer.read() or b"null"), answer.headers
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"null"), error.headers

    return await asyncio.get_running_loop().run_in_executor(None, ask)


def test_a_group_over_http(tmp_path: Path) -> None:
    """Made with a factor, seen from every node, grown, reordered, modified, and deleted from one node after another."""

    async def steps(cluster: Cluster) -> None:
        nodes = await cluster.of(3)
        a, b, c = nodes
        status, made, _ = await call(b, "PUT", "/admin/databases?name=db&replicationFactor=2", {"DatabaseName": "db"})
        assert status == 201 and len(made["Topology"]["Members"]) == 2 == len(made["NodesAddedTo"])
        assert (await call(a, "PUT", "/admin/databases?name=x&replicationFactor=4", {"DatabaseName": "x"}))[0] == 400
        missing = next(tag for tag in "ABC" if tag not in made["Topology"]["Members"])
        status, grown, _ = await call(a, "PUT", "/admin/databases/node?name=db")
        assert status == 201 and grown["NodesAddedTo"] == [nodes["ABC".index(missing)].server.url]
        assert grown["Topology"]["Promotables"] == [missing]
        status, refused, _ = await call(c, "PUT", "/admin/databases/node?name=db")
        assert status == 400 and "already exists on all the nodes of the cluster" in refused["Message"]
        _, seen, _ = await call(c, "GET", "/topology?name=db")
        assert [each["ServerRole"] for each in seen["Nodes"]] == ["Member", "Member"]
        assert [each["ClusterTag"] for each in seen["Promotables"]] == [missing]
        assert (await call(a, "POST", f"/admin/databases/promote?name=db&node={missing}"))[0] == 200
        order = ["C", "A", "B"]
        body: dict[str, Any] = {"MembersOrder": order, "Fixed": True}
        assert (await call(a, "POST", "/admin/databases/reorder?name=db", body))[0] == 200
        await until(lambda: all(node.topology()["Members"] == order for node in nodes))
        assert a.topology()["PriorityOrder"] == order
        _, seen, _ = await call(b, "GET", "/topology?name=db")
        assert [each["ClusterTag"] for each in seen["Nodes"]] == order
        asked = {"Members": ["A", "B"], "Rehabs": ["C"]}
        status, changed, _ = await call(b, "POST", "/admin/databases/topology/modify?name=db", asked)
        assert status == 200 and changed["RaftCommandIndex"] == changed["Topology"]["Stamp"]["Index"]
        assert (await call(a, "POST", "/admin/databases/dynamic-node-distribution?name=db&enabled=true"))[0] == 200
        body = {"DatabaseNames": ["db"], "HardDelete": True, "FromNodes": ["C"], "TimeToWaitForConfirmation": "0:0:5"}
        status, deleted, _ = await call(a, "DELETE", "/admin/databases", body)
        assert status == 200 and deleted["PendingDeletes"] == []
        assert a.topology()["Rehabs"] == [] and a.topology()["DynamicNodesDistribution"] is True
        assert not (c.directory / "Databases" / "db").exists()

    run(tmp_path, steps)


def test_what_nodes_show_of_a_database_elsewhere(tmp_path: Path) -> None:
    """Every node lists every database: online here, or offline and on which nodes; asked for it, it says 410."""

    async def steps(cluster: Cluster) -> None:
        nodes = await cluster.of(2)
        record = {"DatabaseName": "Spade", "Topology": {"Members": ["A"]}}
        await call(nodes[1], "PUT", "/admin/databases?name=Spade", record)
        _, there, _ = await call(nodes[0], "GET", "/databases?name=Spade")
        _, elsewhere, _ = await call(nodes[1], "GET", "/databases?name=Spade")
        assert (there["IsHere"], there["State"]) == (True, "online")
        assert (elsewhere["IsHere"], elsewhere["State"]) == (False, "offline (not on this node)")
        holder = {"NodeTag": "A", "NodeUrl": nodes[0].server.url, "ResponsibleNode": None}
        assert elsewhere["NodesTopology"]["Members"] == [holder] and "LoadError" not in elsewhere
        assert (await call(nodes[1], "GET", "/databases?namesOnly=true"))[1]["Databases"] == ["Spade"]
        assert (await call(nodes[1], "GET", "/databases/Spade/docs?id=users/1"))[0] == 410

    run(tmp_path, steps)


def test_a_stale_client_is_told(tmp_path: Path) -> None:
    """A request with the etag of an older topology is answered with Refresh-Topology; with the new one it is not."""

    async def steps(cluster: Cluster) -> None:
        nodes = await cluster.of(2)
        await call(nodes[0], "PUT", "/admin/databases?name=db", {"DatabaseName": "db", "Topology": {"Members": ["A"]}})
        _, before, _ = await call(nodes[0], "GET", "/topology?name=db")

        async def is_stale(etag: int) -> bool:
            _, _, headers = await call(nodes[0], "GET", "/databases/db/stats", headers={"Topology-Etag": f'"{etag}"'})
            return headers["Refresh-Topology"] == "true"

        assert not await is_stale(before["Etag"])
        await call(nodes[0], "PUT", "/admin/databases/node?name=db&node=B")
        assert await is_stale(before["Etag"])
        _, after, _ = await call(nodes[0], "GET", "/topology?name=db")
        assert after["Etag"] > before["Etag"] and not await is_stale(after["Etag"])

    run(tmp_path, steps)
