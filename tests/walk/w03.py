"""W3, the garden shed: eight databases on five nodes, of which any one may go. W12, majorities and watchers."""

from __future__ import annotations

from urllib.parse import quote

from tests.walk.stage import Refused, Stage

NODES = (1, 2, 3, 4, 5)


def walk(stage: Stage) -> None:
    stage.step("1. five nodes, eight databases")
    stage.start(*NODES)
    stage.create(1, "Big0", 1)  # the first act of all makes a cluster
    stage.join(1, 2, 3, 4, 5)
    for number in range(1, 5):
        stage.create(1, f"Big{number}", 3)
    stage.create(1, "Small1", 2)
    stage.create(1, "Small2", 2)
    stage.create(1, "Spade", 2, ["B", "A"])
    stage.see("Spade's order", ["B", "A"], stage.group(3, "Spade")["Member"])
    databases = ["Big1", "Big2", "Big3", "Big4", "Small1", "Small2", "Spade"]
    stage.step("2. each node in turn")
    for lost in NODES:
        stage.kill(lost)
        for db in databases:
            stage.wait(f"without node {lost}, {db} reads and writes", lambda d=db, n=lost: works(stage, d, f"x/{n}"))
        stage.wait(f"without node {lost} the cluster decides", lambda n=lost: decides(stage, f"Extra{n}"))
        stage.start(lost)
        stage.wait("all is green", lambda: all(
            not roles["Rehab"] and not roles["Promotable"]
            for roles in (stage.group(node, db) for node in NODES for db in databases)))  # fmt: skip
    stage.step("3. A and B together")
    stage.kill(1, 2)
    stage.see("Spade cannot be reached", False, works(stage, "Spade", "y/1"))
    nodes = stage.group(3, "Spade")
    stage.see("and its nodes are told", ["A", "B"], sorted(nodes["Member"] + nodes["Rehab"]))
    for db in databases[:4]:
        stage.wait(f"{db} works", lambda d=db: works(stage, d, "y/1"))
    stage.wait("three of five decide", lambda: decides(stage, "ExtraThree"))
    stage.step("4. both come back")
    stage.start(1, 2)
    stage.wait("Spade works", lambda: works(stage, "Spade", "y/2"))
    for db in databases:
        holders = ["ABCDE".index(tag) + 1 for tag in stage.group(3, db)["Member"]]
        for lost in NODES:
            for node in holders:
                stage.wait(f"{db} has x/{lost} on node {node}",
                           lambda n=node, d=db, i=lost: stage.field(n, d, f"x/{i}", "n") == 1)  # fmt: skip


def works(stage: Stage, db: str, id: str) -> bool:
    """A document can be written to and read from some node that runs."""
    for node in stage.running:
        try:
            stage.put(node, db, id, {"n": 1})
            return stage.field(node, db, id, "n") == 1
        except (Refused, OSError):
            continue
    return False


def decides(stage: Stage, db: str) -> bool:
    try:
        stage.create(stage.running[0], db, 1)
    except Refused as refused:
        return "already exists" in str(refused)
    return True


def walk_majorities(stage: Stage) -> None:
    stage.step("1. how many make a majority")
    from pynori.cluster.topology import quorum

    table = {2: 2, 3: 2, 4: 3, 5: 3, 7: 4, 9: 5, 15: 8, 21: 11, 51: 26}
    stage.see("the table", table, {count: quorum(count) for count in table})
    stage.step("2. five members and three watchers")
    stage.start(*range(1, 9))
    stage.create(1, "First")
    stage.join(1, 2, 3, 4, 5)
    for node in (6, 7, 8):
        stage.ask(1, "PUT", f"/admin/cluster/node?url={quote(stage.url(node), safe='')}&watcher=true")
    stage.wait("three watchers", lambda: sorted(stage.cluster(1)["Topology"]["Watchers"]) == ["F", "G", "H"])
    stage.create(1, "Watched", 2, ["G", "H"])
    stage.put(7, "Watched", "x/1", {"n": 1})
    stage.wait("a database on watchers works", lambda: stage.field(8, "Watched", "x/1", "n") == 1)
    stage.step("3. members are killed")
    stage.kill(1, 2)
    stage.wait("three of five members decide", lambda: decides(stage, "WithThree"))
    stage.kill(3)
    stage.wait("nobody leads", lambda: not stage.cluster(4)["Leader"])
    stage.refused("a decision with five nodes alive", lambda: stage.create(4, "WithTwo"), "majority")
    stage.put(7, "Watched", "x/2", {"n": 2})
    stage.wait("databases go on", lambda: stage.field(8, "Watched", "x/2", "n") == 2)
    stage.step("4. one comes back")
    stage.start(1)
    stage.wait("decisions again", lambda: decides(stage, "Again"))
    stage.start(2, 3)
    stage.wait("a member leads", lambda: stage.cluster(1)["Leader"] in "ABCDE" and stage.cluster(1)["Leader"])
    stage.step("5. roles change")
    stage.ask(1, "POST", "/admin/cluster/demote?nodeTag=E")
    stage.wait("E watches", lambda: "E" in stage.cluster(1)["Topology"]["Watchers"])
    stage.ask(1, "POST", "/admin/cluster/promote?nodeTag=F")
    stage.wait("F votes", lambda: "F" in stage.cluster(1)["Topology"]["Members"])
