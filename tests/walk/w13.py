"""W13, external replication. W15, promotion, demotion, rehabilitation."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from tests.walk.stage import Refused, Stage

SPADE, COPY = "Spade", "SpadeCopy"


def walk(stage: Stage) -> None:
    stage.step("1. a copy on node E")
    stage.start(1, 2, 3, 4, 5)
    stage.create(1, "First")
    stage.join(1, 2, 3, 4, 5)
    stage.create(1, SPADE, 3, ["A", "B", "C"])
    stage.create(1, COPY, 1, ["E"])
    for number in range(20):
        stage.put(1, SPADE, f"users/{number}", {"n": number})
    string = {"Type": "Raven", "Name": "copy", "Database": COPY, "TopologyDiscoveryUrls": [stage.url(5), stage.url(4)]}
    stage.ask(1, "PUT", f"/databases/{SPADE}/admin/connection-strings", string)
    watcher = {"Watcher": {"ConnectionStringName": "copy", "Name": "to the copy", "Database": COPY}}
    task = stage.ask(1, "POST", f"/databases/{SPADE}/admin/tasks/external-replication", watcher)
    stage.step("2. everything arrives, by one member")
    stage.wait("twenty documents", lambda: documents(stage) == 20)
    stage.put(1, SPADE, "users/1", {"n": "changed"})
    stage.delete(1, SPADE, "users/2")
    stage.wait("a change", lambda: stage.field(5, COPY, "users/1", "n") == "changed")
    stage.wait("a deletion", lambda: stage.get(5, COPY, "users/2") is None)
    responsible = shown(stage, 1, task["TaskId"])["ResponsibleNode"]["NodeTag"]
    links = [tag for node, tag in ((1, "A"), (2, "B"), (3, "C")) if external_links(stage, node)]
    stage.see("only the responsible node has a link", [responsible], links)
    stage.step("3. the responsible node is killed")
    lost = "ABC".index(responsible) + 1
    stage.kill(lost)
    left = next(node for node in (1, 2, 3) if node != lost)
    for number in range(100):
        stage.put(left, SPADE, f"more/{number}", {"n": number})
    stage.wait("all hundred arrive", lambda: documents(stage) == 119)
    stage.wait("another is responsible", lambda: shown(stage, left, task["TaskId"])["ResponsibleNode"]["NodeTag"]
               not in (None, responsible))  # fmt: skip
    stage.start(lost)
    stage.step("4. definitions stay where they are")
    index = {"Indexes": [{"Name": "Own", "Maps": ["from u in docs select new { u.n }"]}]}
    stage.ask(5, "PUT", f"/databases/{COPY}/admin/indexes", index)
    stage.see("an index of the copy is there alone", ([], ["Own"]), (
        list(stage.ask(left, "GET", f"/admin/databases?name={SPADE}")["Indexes"]),
        list(stage.ask(left, "GET", f"/admin/databases?name={COPY}")["Indexes"]),
    ))  # fmt: skip
    stage.step("6. the target is away for a while")
    stage.kill(5)
    for number in range(50):
        stage.put(left, SPADE, f"late/{number}", {"n": number})
    stage.start(5)
    stage.wait("it catches up", lambda: documents(stage) == 169)


def documents(stage: Stage) -> int:
    return int(stage.ask(5, "GET", f"/databases/{COPY}/stats")["CountOfDocuments"])


def shown(stage: Stage, node: int, task_id: int) -> dict[str, Any]:
    found: dict[str, Any] = stage.ask(node, "GET", f"/databases/{SPADE}/task?key={task_id}&type=Replication")
    return found


def external_links(stage: Stage, node: int) -> int:
    found = stage.ask(node, "GET", f"/databases/{SPADE}/replication/active-connections")["OutgoingConnections"]
    return sum(link["Type"] == "External" and link["State"] == "Connected" for link in found)


def walk_promotion(stage: Stage) -> None:
    stage.step("a. growing: 20,000 documents and an index")
    stage.start(1, 2, 3, 4, 5)
    stage.create(1, "First")
    stage.join(1, 2, 3, 4, 5)
    stage.create(1, SPADE, 2, ["A", "B"])
    index = {"Indexes": [{"Name": "ByN", "Maps": ["from u in docs select new { u.n }"]}]}
    stage.ask(1, "PUT", f"/databases/{SPADE}/admin/indexes", index)
    fill(stage, 1, "users", 20_000)
    stage.ask(1, "PUT", f"/admin/databases/node?name={SPADE}&node=C")
    roles = stage.group(1, SPADE)
    stage.see("C is not offered to clients", True, "C" not in roles["Member"])
    stage.wait("C is the last member", lambda: stage.group(1, SPADE)["Member"] == ["A", "B", "C"], 60)
    stage.see("with everything", 20_000, stage.ask(3, "GET", f"/databases/{SPADE}/stats")["CountOfDocuments"])
    stage.step("b. falling: B is frozen")
    stage.freeze(2)
    stage.wait("B is in rehabilitation", lambda: stage.group(1, SPADE) == {
        "Member": ["A", "C"], "Rehab": ["B"], "Promotable": []}, 30)  # fmt: skip
    fill(stage, 1, "more", 10_000)
    stage.thaw(2)
    stage.wait("B is last", lambda: stage.group(1, SPADE)["Member"] == ["A", "C", "B"], 60)
    stage.see("with everything", 30_000, stage.ask(2, "GET", f"/databases/{SPADE}/stats")["CountOfDocuments"])
    stage.step("c. two up, one rehab, one promotable")
    stage.create(1, "Four", 4, ["A", "B", "C", "D"])
    fill(stage, 1, "x", 100, "Four")
    stage.ask(1, "POST", "/admin/databases/dynamic-node-distribution?name=Four&enabled=false")
    stage.kill(4)
    stage.wait("D is set aside", lambda: stage.group(1, "Four")["Rehab"] == ["D"], 30)
    stage.step("e. the decisions")
    leader = "ABCDE".index(stage.cluster(1)["Leader"]) + 1
    told = str(stage.ask(leader, "GET", "/admin/cluster/observer/decisions"))
    stage.see("they name B's fall and rise", True, "Demote of node B" in told and "Promote of node B" in told)
    stage.step("e. a supervisor that is suspended")
    stage.ask(leader, "POST", "/admin/cluster/observer/suspend?value=true")
    stage.start(4)
    stage.see("D stays", ["D"], stage.group(1, "Four")["Rehab"])
    stage.ask(leader, "POST", "/admin/cluster/observer/suspend?value=false")
    stage.wait("D is a member again", lambda: "D" in stage.group(1, "Four")["Member"], 60)
    stage.step("d. a member is taken out by hand")
    try:
        stage.ask(1, "DELETE", "/admin/databases", {"DatabaseNames": ["Four"], "HardDelete": True, "FromNodes": ["D"]})
    except Refused as refused:
        stage.see("removal", "done", str(refused))
    stage.wait("three are left", lambda: sum(map(len, stage.group(1, "Four").values())) == 3)
    stage.ask(1, "DELETE", f"/admin/cluster/node?nodeTag={quote('E')}")
    stage.wait("a removed node is passive", lambda: stage.tag(5) == "?")


def fill(stage: Stage, node: int, prefix: str, count: int, db: str = SPADE) -> None:
    for first in range(0, count, 500):
        commands = [
            {"Type": "PUT", "Id": f"{prefix}/{n}", "Document": {"n": n}} for n in range(first, min(first + 500, count))
        ]
        stage.ask(node, "POST", f"/databases/{db}/bulk_docs", {"Commands": commands})
