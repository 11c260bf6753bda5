"""W1, from one node to five: Spade on two of them and Pitchfork on three. W2, two nodes, one lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.walk.stage import Refused, Stage

SPADE, PITCHFORK = "Spade", "Pitchfork"


def user(first: str, last: str) -> dict[str, object]:
    return {"FirstName": first, "LastName": last, "@metadata": {"@collection": "Users"}}


def begin(stage: Stage) -> None:
    """Steps 1 to 7: two nodes, Spade on both."""
    stage.step("1. a fresh node")
    stage.start(1)
    stage.see("its tag", "?", stage.tag(1))
    stage.see("its databases", [], stage.ask(1, "GET", "/databases?namesOnly=true")["Databases"])
    stage.step("2. its first database")
    stage.create(1, SPADE)
    stage.see("the tag now", "A", stage.tag(1))
    cluster = stage.cluster(1)
    stage.see("one node, and it leads", (["A"], "A"), (list(cluster["Topology"]["Members"]), cluster["Leader"]))
    stage.step("3. documents, and another fresh node")
    stage.put(1, SPADE, "users/1", user("John", "Doe"))
    stage.put(1, SPADE, "users/2", user("Jane", "Roe"))
    stage.start(2)
    stage.see("the other's tag", "?", stage.tag(2))
    stage.see("the first one's tag", "A", stage.tag(1))
    stage.step("4. it joins")
    stage.join(1, 2)
    stage.step("5. what it knows")
    stage.wait("node 2 is B", lambda: stage.tag(2) == "B")
    stage.wait("B lists Spade", lambda: SPADE in stage.ask(2, "GET", "/databases?namesOnly=true")["Databases"])
    stage.refused("Spade's documents on B", lambda: stage.get(2, SPADE, "users/1"), "B")
    stage.step("6. Spade grows")
    stage.ask(1, "PUT", f"/admin/databases/node?name={SPADE}&node=B")
    roles = stage.group(1, SPADE)
    stage.see("B belongs to the group", True, "B" in roles["Promotable"] + roles["Member"])
    stage.wait("B is a member", lambda: stage.group(2, SPADE)["Member"] == ["A", "B"])
    for id, name in (("users/1", "John"), ("users/2", "Jane")):
        stage.see(f"{id} on B", name, stage.field(2, SPADE, id, "FirstName"))
    stage.step("7. changes on both")
    for number in range(6):
        node, other = (1, 2) if number % 2 else (2, 1)
        stage.put(node, SPADE, f"turns/{number}", {"n": number})
        stage.wait(f"turns/{number} from node {node} is on node {other}",
                   lambda n=number, o=other: stage.field(o, SPADE, f"turns/{n}", "n") == n, 1.0)  # fmt: skip
        stage.put(node, SPADE, "users/1", user(f"John{number}", "Doe"))
        name = f"John{number}"
        stage.wait("and the change of users/1",
                   lambda o=other, n=name: stage.field(o, SPADE, "users/1", "FirstName") == n, 1.0)  # fmt: skip


def walk(stage: Stage) -> None:
    begin(stage)
    stage.step("9. three more")
    stage.start(3, 4, 5)
    stage.join(1, 3, 4, 5)
    cluster = stage.cluster(5)
    stage.see("five members", ["A", "B", "C", "D", "E"], sorted(cluster["Topology"]["Members"]))
    stage.see("one leader for all", 1, len({stage.cluster(node)["Leader"] for node in stage.running}))
    stage.step("10. each tells itself apart")
    stage.see("tags", ["A", "B", "C", "D", "E"], [stage.tag(node) for node in stage.running])
    stage.step("11. what D knows of Spade")
    stage.see("Spade is listed", True, SPADE in stage.ask(4, "GET", "/databases?namesOnly=true")["Databases"])
    stage.see("its holders", ["A", "B"], stage.group(4, SPADE)["Member"])
    stage.refused("a read there", lambda: stage.get(4, SPADE, "users/1"), "D")
    stage.step("12. Pitchfork on three nodes")
    stage.create(3, PITCHFORK, 3)
    holders = stage.group(1, PITCHFORK)["Member"]
    stage.see("distinct nodes", 3, len(set(holders)))
    for node in stage.running:
        stage.wait(f"node {node} shows two and three", lambda n=node: [
            len(stage.group(n, db)["Member"]) for db in (SPADE, PITCHFORK)] == [2, 3])  # fmt: skip
    stage.step("13. documents in Pitchfork")
    nodes = ["ABCDE".index(tag) + 1 for tag in holders]
    stage.put(nodes[0], PITCHFORK, "tools/1", {"Name": "fork"})
    for node in nodes:
        stage.wait(f"tools/1 on node {node}", lambda n=node: stage.field(n, PITCHFORK, "tools/1", "Name") == "fork")


def walk_two(stage: Stage) -> None:
    begin(stage)
    stage.step("2. A is killed")
    stage.kill(1)
    stage.wait("no leader is known on B", lambda: not stage.cluster(2)["Leader"])
    stage.see("both nodes are listed", ["A", "B"], sorted(stage.cluster(2)["Topology"]["AllNodes"]))
    stage.step("3. B takes writes alone")
    stage.put(2, SPADE, "users/3", user("Jim", "Poe"))
    stage.see("users/3 is there", "Jim", stage.field(2, SPADE, "users/3", "FirstName"))
    found = stage.ask(2, "POST", f"/databases/{SPADE}/queries", {"Query": "from Users where id() = 'users/3'"})
    stage.see("and a query finds it", ["users/3"], [each["@metadata"]["@id"] for each in found["Results"]])
    stage.step("4. what needs a majority")
    acts = acts_of_the_cluster(stage)
    stage.start(3)
    for what, act in acts.items():
        stage.refused(what, act, "majority") if what != "a new node" else stage.refused(what, act)
    stage.step("5. A comes back")
    stage.start(1)
    stage.wait("there is a leader", lambda: stage.cluster(1)["Leader"] and stage.cluster(2)["Leader"])
    stage.step("6. everything is where it should be")
    stage.wait("users/3 is on A", lambda: stage.field(1, SPADE, "users/3", "FirstName") == "Jim")
    stage.see("no database was made or deleted", [SPADE], stage.ask(1, "GET", "/databases?namesOnly=true")["Databases"])
    record = stage.ask(1, "GET", f"/admin/databases?name={SPADE}")
    stage.see("no index", {}, record["Indexes"])
    stage.see("no rule", False, record["ConflictSolverConfig"]["ResolveToLatest"])
    stage.see("no connection string", {}, record["RavenConnectionStrings"])
    for what in ("an index", "a conflict rule", "an external replication", "a new database"):
        try:
            acts[what]()
            stage.see(f"{what} now", "done", "done")
        except Refused as refused:
            stage.see(f"{what} now", "done", str(refused))


def acts_of_the_cluster(stage: Stage) -> dict[str, Callable[[], Any]]:
    """What needs a majority, asked of node 2."""
    index = {"Indexes": [{"Name": "ByName", "Maps": ["from u in docs.Users select new { u.FirstName }"]}]}
    return {
        "a new database": lambda: stage.create(2, "Other"),
        "a deletion": lambda: stage.ask(
            2, "DELETE", "/admin/databases", {"DatabaseNames": [SPADE], "HardDelete": True}),
        "a new node": lambda: stage.ask(2, "PUT", f"/admin/cluster/node?url={stage.url(3)}"),
        "an index": lambda: stage.ask(2, "PUT", f"/databases/{SPADE}/admin/indexes", index),
        "a conflict rule": lambda: stage.ask(
            2, "POST", f"/admin/replication/conflicts/solver?name={SPADE}", {"ResolveToLatest": True}),
        "an external replication": lambda: stage.ask(
            2, "PUT", f"/databases/{SPADE}/admin/connection-strings",
            {"Type": "Raven", "Name": "copy", "Database": "Copy", "TopologyDiscoveryUrls": [stage.url(1)]}),
    }  # fmt: skip
