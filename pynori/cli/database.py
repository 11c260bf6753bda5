"""`pynori database`: databases and their groups: made, listed, on which nodes, in which roles and order."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import click

from pynori.cli.terminal import end_for, say
from pynori.client.http import HttpClient, RequestFailed, ServerNotReachable

URL = click.option(
    "--url", default="http://127.0.0.1:8080", envvar="PYNORI_URL", show_default=True, help="A node of the cluster."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Databases and the nodes that hold them.

    \b
    pynori database list
    pynori database create crm --replication-factor 3
    pynori database create crm --node A --node C            on these nodes, A preferred
    pynori database add-node crm                            one more instance, on the node with the fewest
    pynori database remove-node crm C                       that instance goes, with its files
    """


@command.command("list")
@URL
def list_all(url: str) -> None:
    """All databases: what they are on the node that is asked, and on which nodes in which roles they lie."""
    found = asked(url, lambda client: client.get_json("/databases"))["Databases"]
    for each in found:
        groups = each["NodesTopology"]
        roles = [
            f"{name}: {', '.join(node['NodeTag'] for node in groups[field])}"
            for field, name in (("Members", "members"), ("Promotables", "promotables"), ("Rehabs", "rehabs"))
            if groups[field]
        ]
        click.echo(f"{each['Name']:24} {each['State']:28} {'; '.join(roles)}")
        for tag, status in groups["Status"].items():
            if status["LastError"]:
                click.echo(f"{'':24} {tag}: {status['LastError']}")


@command.command()
@URL
@click.argument("name")
@click.option("--replication-factor", default=1, show_default=True, help="How many nodes hold it.")
@click.option("--node", "nodes", multiple=True, help="A node that holds it, the preferred one first; may be repeated.")
@click.option("--dynamic", is_flag=True, help="Another node takes the place of one that stays away.")
def create(url: str, name: str, replication_factor: int, nodes: tuple[str, ...], dynamic: bool) -> None:
    """Make database NAME."""
    topology = {"Members": list(nodes), "DynamicNodesDistribution": dynamic}
    body = json.dumps({"DatabaseName": name, "Topology": topology}).encode()
    query = urlencode({"name": name, "replicationFactor": replication_factor})
    made = json.loads(asked(url, lambda client: client.request("PUT", f"/admin/databases?{query}", body)))
    say(f"{name} is on {', '.join(made['Topology']['Members'])}")


@command.command()
@URL
@click.argument("name")
@click.option("--keep-files", is_flag=True, help="Its files stay; a new database of the name takes them over.")
def delete(url: str, name: str, keep_files: bool) -> None:
    """Delete database NAME on all nodes."""
    _delete(url, name, None, not keep_files)
    say(f"{name} was deleted")


@command.command("add-node")
@URL
@click.argument("name")
@click.argument("node", required=False)
@click.option("--mentor", help="The member that feeds the new instance.")
def add_node(url: str, name: str, node: str | None, mentor: str | None) -> None:
    """Give database NAME an instance on NODE, or on the node that has the fewest."""
    query = {"name": name} | ({"node": node} if node else {}) | ({"mentor": mentor} if mentor else {})
    answer = asked(url, lambda client: client.request("PUT", f"/admin/databases/node?{urlencode(query)}"))
    promotables = ", ".join(json.loads(answer)["Topology"]["Promotables"])
    say(f"{name} is being copied to {promotables}; a member as soon as it has everything")


@command.command("remove-node")
@URL
@click.argument("name")
@click.argument("node")
@click.option("--keep-files", is_flag=True, help="Its files on that node stay.")
def remove_node(url: str, name: str, node: str, keep_files: bool) -> None:
    """Take the instance of database NAME on NODE away."""
    _delete(url, name, [node], not keep_files)
    say(f"{name} is on {node} no more")


@command.command()
@URL
@click.argument("name")
@click.argument("node")
def promote(url: str, name: str, node: str) -> None:
    """Make NODE a member of database NAME at once, whether it has everything or not."""
    query = urlencode({"name": name, "node": node})
    asked(url, lambda client: client.request("POST", f"/admin/databases/promote?{query}"))
    say(f"{node} is a member of {name}")


@command.command()
@URL
@click.argument("name")
@click.argument("order", nargs=-1, required=True)
@click.option("--fixed", is_flag=True, help="Restore this order when a node is back after a failure.")
def reorder(url: str, name: str, order: tuple[str, ...], fixed: bool) -> None:
    """Have clients of database NAME prefer its members in this ORDER, such as: B A C."""
    body = json.dumps({"MembersOrder": list(order), "Fixed": fixed}).encode()
    query = urlencode({"name": name})
    asked(url, lambda client: client.request("POST", f"/admin/databases/reorder?{query}", body))
    say(f"{name} is on {', '.join(order)}")


def _delete(url: str, name: str, nodes: list[str] | None, hard: bool) -> None:
    body = json.dumps({"DatabaseNames": [name], "HardDelete": hard, "FromNodes": nodes}).encode()
    answer = asked(url, lambda client: client.request("DELETE", "/admin/databases", body))
    pending = json.loads(answer)["PendingDeletes"]
    if pending:
        say(f"node {', '.join(pending)} cannot be reached, and removes its files when it is back")


def asked(url: str, ask: Callable[[HttpClient], Any]) -> Any:
    """What a server answers; what is wrong ends the program."""
    try:
        with HttpClient(url) as client:
            return ask(client)
    except (RequestFailed, ServerNotReachable) as error:
        end_for(error)
