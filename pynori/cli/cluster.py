"""`pynori cluster`: the nodes of a cluster as one of them sees it; nodes added, removed, promoted, demoted."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import click

from pynori.cli.database import URL, asked
from pynori.cli.terminal import say


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """The nodes of a cluster.

    \b
    pynori cluster status
    pynori cluster add http://10.0.0.2:8080                 a fresh node joins the cluster of --url
    pynori cluster add http://10.0.0.3:8080 --watcher       it follows, and does not vote
    pynori cluster remove C
    """


@command.command()
@URL
def status(url: str) -> None:
    """Who leads, who is a member, and who can be reached from the node that is asked."""
    known = asked(url, lambda client: client.get_json("/cluster/topology"))
    topology, reached = known["Topology"], known["Status"]
    leader = known["Leader"] or "-"
    click.echo(f"node {known['NodeTag']}, {known['CurrentState']} of term {known['CurrentTerm']}; leader {leader}")
    voters = len(topology["Members"])
    left = voters - known["Quorum"]
    failures = "one failure stops decisions" if not left else f"{left} of them may fail"
    click.echo(f"quorum {known['Quorum']} of {voters} members: {failures}")
    for role in ("Members", "Promotables", "Watchers"):
        for tag, address in topology[role].items():
            connected = "this one" if tag == known["NodeTag"] else _reached(reached.get(tag))
            click.echo(f"{tag:4} {role.removesuffix('s'):10} {address:36} {connected}")


@command.command()
@URL
@click.argument("address")
@click.option("--tag", help="1 to 4 letters from A to Z; the next free one by default.")
@click.option("--watcher", is_flag=True, help="It follows, and does not vote.")
def add(url: str, address: str, tag: str | None, watcher: bool) -> None:
    """Take the fresh node at ADDRESS into the cluster."""
    query = {"url": address, "watcher": str(watcher).lower()} | ({"tag": tag} if tag else {})
    asked(url, lambda client: client.request("PUT", f"/admin/cluster/node?{urlencode(query)}"))
    say(f"{address} has joined")


@command.command()
@URL
@click.argument("tag")
def remove(url: str, tag: str) -> None:
    """Take node TAG out of the cluster."""
    asked(url, lambda client: client.request("DELETE", f"/admin/cluster/node?{urlencode({'nodeTag': tag})}"))
    say(f"node {tag} was removed")


@command.command()
@URL
@click.argument("tag")
def promote(url: str, tag: str) -> None:
    """Make watcher TAG a member, which votes."""
    asked(url, lambda client: client.request("POST", f"/admin/cluster/promote?{urlencode({'nodeTag': tag})}"))
    say(f"node {tag} becomes a member as soon as it has caught up")


@command.command()
@URL
@click.argument("tag")
def demote(url: str, tag: str) -> None:
    """Make member TAG a watcher, which does not vote."""
    asked(url, lambda client: client.request("POST", f"/admin/cluster/demote?{urlencode({'nodeTag': tag})}"))
    say(f"node {tag} is a watcher")


@command.command()
@URL
def decisions(url: str) -> None:
    """What the supervisor has decided about databases lately, and why."""
    found = asked(url, lambda client: client.get_json("/admin/cluster/observer/decisions"))
    for each in found["ObserverLog"]:
        click.echo(f"{each['Date'][:19]} {each['Database']:20} {each['Message']}")
    if found["Suspended"]:
        say("the supervisor is suspended; go on: pynori cluster resume")


@command.command()
@URL
def suspend(url: str) -> None:
    """Have the supervisor decide nothing, such as while nodes are taken down for maintenance."""
    asked(url, lambda client: client.request("POST", "/admin/cluster/observer/suspend?value=true"))
    say("the supervisor is suspended")


@command.command()
@URL
def resume(url: str) -> None:
    """Have the supervisor go on."""
    asked(url, lambda client: client.request("POST", "/admin/cluster/observer/suspend?value=false"))
    say("the supervisor goes on")


def _reached(status: Any) -> str:
    if status and status.get("Connected"):
        return "reached"
    since = status.get("SilentForMs") if status else None
    told = "not reached" if since is None else f"not reached for {since / 1_000:.0f} s"
    return told + _others(status.get("Gossip") if status else None)


def _others(gossip: Any) -> str:
    """What the other nodes know of one that is not reached from here."""
    if not gossip:
        return ""
    names = ", ".join(gossip["ReachedBy"] if gossip["State"] == "Alive" else gossip["MissedBy"])
    if gossip["State"] == "Alive":
        return f"; reached by {names}" if names else ""
    return f"; {gossip['State'].lower()}" + (f", nor by {names}" if names else "")
