"""How clients find out where they are: build, topologies, node, TCP addresses, licence."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from pynori.cluster.topology import PROMOTABLE, WATCHER
from pynori.errors import DatabaseDoesNotExist
from pynori.http.request import Request
from pynori.http.response import SERVER_VERSION, Response, encode_json, json_response

BUILD = {
    "BuildVersion": 72000,
    "ProductVersion": "7.2",
    "CommitHash": "",
    "FullVersion": f"{SERVER_VERSION}-pynori",
}
BUILD_BODY = encode_json(BUILD)
LICENSE_BODY = encode_json({"Type": "None", "Version": "7.2", "Expired": False, "Attributes": {}, "LicensedTo": None})


def build_version(request: Request) -> Response:
    """What this server says it is."""
    return Response(200, BUILD_BODY)


def license_status(request: Request) -> Response:
    """There are no licences; clients and tools that ask get a well-formed no."""
    return Response(200, LICENSE_BODY)


def database(request: Request) -> Response:
    """The nodes of a database, from which a client chooses."""
    name = request.required("name")
    state = request.server.state
    if state.record(name) is None:
        raise DatabaseDoesNotExist(name)
    return json_response(state.database_topology(name, request.base_url()))


def cluster(request: Request) -> Response:
    """The nodes of the cluster and their leader."""
    return json_response(request.server.state.cluster_topology(request.base_url()))


async def add_node(request: Request) -> Response:
    """Take the node at an address into the cluster."""
    tag = request.text("tag") or None
    url = request.required("url")
    await request.server.nodes.add(url, tag, request.flag("watcher"))
    return Response(204)


async def remove_node(request: Request) -> Response:
    """Take a node out of the cluster."""
    await request.server.nodes.remove(request.required("nodetag"))
    return Response(204)


async def promote_node(request: Request) -> Response:
    """Make a watcher a member."""
    await request.server.nodes.set_role(request.required("nodetag"), PROMOTABLE)
    return Response(204)


async def demote_node(request: Request) -> Response:
    """Make a member a watcher."""
    await request.server.nodes.set_role(request.required("nodetag"), WATCHER)
    return Response(204)


def node_info(request: Request) -> Response:
    """What this node is and runs on."""
    return json_response(request.server.state.node_info())


def tcp(request: Request) -> Response:
    """The TCP address of this node."""
    return json_response(tcp_address(request))


def tcp_of_database(request: Request) -> Response:
    """The TCP address for streams of this database."""
    request.open_database()
    return json_response(tcp_address(request))


def tcp_of_task(request: Request) -> Response:
    """The node that is responsible for a subscription: this one."""
    if request.flag("verify-database"):
        request.server.databases.find(request.required("database"))
    return json_response(tcp_address(request))


def tcp_address(request: Request) -> dict[str, Any]:
    server = request.server
    port = urlsplit(server.tcp_url).port if server.tcp_url else None
    return {
        "Url": server.tcp_url,
        "Port": port,
        "Urls": [server.tcp_url] if server.tcp_url else [],
        "Certificate": None,
        "NodeTag": server.node_tag,
        "ServerId": server.server_id,
    }
