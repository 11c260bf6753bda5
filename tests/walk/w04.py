"""W4, a client, the preferred node and its fate. W5, write assurance. W6, sharing the reads."""

from __future__ import annotations

import threading
import time
from collections import Counter
from datetime import timedelta

from ravendb import DocumentStore
from ravendb.exceptions.exceptions import AllTopologyNodesDownException

from tests.walk.node_client import NodeClient
from tests.walk.stage import Stage


class Chore:
    """A task of the to-do list."""

    def __init__(self, Title: str = "", Due: str = "") -> None:
        self.Title = Title
        self.Due = Due


def store_of(stage: Stage, db: str, *nodes: int) -> DocumentStore:
    store = DocumentStore([stage.url(node) for node in nodes], db)
    store.initialize()
    return store


def save(store: DocumentStore, id: str, title: str) -> None:
    with store.open_session() as session:
        session.store(Chore(title), id)
        session.save_changes()


def title(store: DocumentStore, id: str) -> str | None:
    with store.open_session() as session:
        found = session.load(id, Chore)
        return None if found is None else found.Title


def written_at(stage: Stage, node: int) -> int:
    """How many batches a node has answered."""
    for line in stage_text(stage, node, "/metrics").splitlines():
        if line.startswith('kv_requests_total{operation="batch"}'):
            return int(float(line.split()[1]))
    return 0


def stage_text(stage: Stage, node: int, path: str) -> str:
    import urllib.request

    with urllib.request.urlopen(stage.url(node) + path, timeout=10) as answer:
        return str(answer.read().decode())


def walk(stage: Stage) -> None:
    stage.step("1. a group on B, A, and a store that knows all nodes")
    stage.start(1, 2, 3, 4, 5)
    stage.create(1, "First")
    stage.join(1, 2, 3, 4, 5)
    stage.create(1, "Spade", 2, ["B", "A"])
    store = DocumentStore([stage.url(2), "http://127.0.0.9:1", *(stage.url(n) for n in (1, 2, 3, 4, 5))], "Spade")
    store.initialize()
    save(store, "chores/1", "Buy milk")
    stage.see("its topology", ["B", "A"], [node.cluster_tag for node in store.get_request_executor().topology_nodes])
    stage.step("2. a store that knows E alone")
    other = store_of(stage, "Spade", 5)
    before = written_at(stage, 5)
    save(other, "chores/2", "Buy bread")
    stage.see("E got no document", before, written_at(stage, 5))
    stage.step("3. a hundred saves")
    client = NodeClient([stage.url(number) for number in (1, 2, 3, 4, 5)], "Spade")
    client.save("chores/0", "n0")
    at_b, at_a = written_at(stage, 2), written_at(stage, 1)
    for number in range(100):
        client.save(f"chores/{number}", f"n{number}")
    stage.see("all went to B", (100, 0), (written_at(stage, 2) - at_b, written_at(stage, 1) - at_a))
    client.close()
    stage.kill(1)
    save(store, "chores/without-a", "yes")
    stage.see("the client sees nothing of A's end", "yes", title(store, "chores/without-a"))
    stage.start(1)
    three = under_saves(stage)
    other.close()
    store.close()
    stage.step("7. everything is killed")
    stage.kill(1, 2, 3, 4, 5)
    try:
        save(three, "chores/lost", "no")
        seen = "it was saved"
    except AllTopologyNodesDownException as error:
        seen = str(error)
    except Exception as error:
        seen = repr(error)
    stage.see("one error names all nodes", [], [tag for tag in (1, 2, 3) if stage.url(tag) not in seen])
    stage.start(1, 2, 3, 4, 5)
    stage.wait("the same store works again", lambda: _works(three))
    three.close()


def under_saves(stage: Stage) -> DocumentStore:
    """Steps 4 and 5; the store of the group of three."""
    stage.step("4. the preferred node is killed under saves")
    stage.create(1, "Three", 3, ["A", "B", "C"])
    three = store_of(stage, "Three", 1, 2, 3, 4)
    save(three, "chores/0", "n0")
    failures: list[str] = []
    saved: list[str] = []
    stop = threading.Event()

    def keep_saving() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            try:
                save(three, f"chores/{number}", f"n{number}")
                saved.append(f"chores/{number}")
            except Exception as error:
                failures.append(repr(error))

    writer = threading.Thread(target=keep_saving)
    writer.start()
    time.sleep(1)
    stage.kill(1)
    stage.wait("A is set aside", lambda: stage.group(2, "Three") == {
        "Member": ["B", "C"], "Rehab": ["A"], "Promotable": []})  # fmt: skip
    time.sleep(1)
    stop.set()
    writer.join()
    stage.see(f"no save of {len(saved)} failed", [], failures[:3])
    stage.see("all nodes agree", 1, len({str(stage.group(node, "Three")) for node in (2, 3, 4, 5)}))
    stage.step("5. A comes back, five times")
    for _ in range(5):
        stage.start(1)
        stage.wait("A is last", lambda: stage.group(2, "Three")["Member"] == ["B", "C", "A"], 30)
        stage.see("B is first", "B", stage.group(3, "Three")["Member"][0])
        stage.kill(1)
        stage.wait("A is set aside", lambda: stage.group(2, "Three")["Rehab"] == ["A"])
    stage.start(1)
    stage.wait("A is last", lambda: stage.group(2, "Three")["Member"] == ["B", "C", "A"], 30)
    stage.wait("A has every save", lambda: all(stage.field(1, "Three", id, "Title") for id in saved), 10)
    return three


def _works(store: DocumentStore) -> bool:
    try:
        save(store, "chores/again", "yes")
    except Exception:
        return False
    return title(store, "chores/again") == "yes"


def walk_assurance(stage: Stage) -> None:
    stage.step("1. one replica is asked for")
    stage.start(1, 2)
    stage.create(1, "First")
    stage.join(1, 2)
    stage.create(1, "Spade", 2, ["B", "A"])
    store = store_of(stage, "Spade", 1, 2)
    assured(store, "chores/1", Chore("Buy milk", "tomorrow"), 1, 10)
    stage.kill(1, 2)
    stage.start(1, 2)
    for node in (1, 2):
        stage.wait(f"the task is on node {node}",
                   lambda n=node: stage.field(n, "Spade", "chores/1", "Title") == "Buy milk")  # fmt: skip
    stage.step("2. nobody is there to confirm")
    stage.kill(1)
    stage.see("the caller is told", True, "replicated to 0" in failure(store, "chores/2", 1, 2))
    stage.see("the task is on B", "t", stage.field(2, "Spade", "chores/2", "Title"))
    stage.step("3. A comes back")
    stage.start(1)
    stage.wait("the task is on A", lambda: stage.field(1, "Spade", "chores/2", "Title") == "t")
    stage.step("4. more than there are")
    stage.see("the caller is told", True, "replicated to" in failure(store, "chores/3", 2, 2))
    stage.see("the task is kept", "t", stage.field(2, "Spade", "chores/3", "Title"))
    store.close()


def assured(store: DocumentStore, id: str, task: Chore, replicas: int, timeout_s: int) -> None:
    with store.open_session() as session:
        session.store(task, id)
        session.advanced.wait_for_replication_after_save_changes(
            lambda options: options.with_timeout(timedelta(seconds=timeout_s)).number_of_replicas(replicas)
        )
        session.save_changes()


def failure(store: DocumentStore, id: str, replicas: int, timeout_s: int) -> str:
    try:
        assured(store, id, Chore("t"), replicas, timeout_s)
    except Exception as error:
        return str(error)
    return "it was confirmed"


def walk_reads(stage: Stage) -> None:
    stage.step("1. a group of three")
    stage.start(1, 2, 3)
    stage.create(1, "First")
    stage.join(1, 2, 3)
    stage.create(1, "Spade", 3, ["A", "B", "C"])
    stage.put(1, "Spade", "chores/1", {"Title": "t"})
    for node in (2, 3):
        stage.wait(f"it is on node {node}", lambda n=node: stage.field(n, "Spade", "chores/1", "Title") == "t")
    store = NodeClient([stage.url(1)], "Spade")
    store.load("chores/1")
    stage.see("reads go to the first node", (300, 0, 0), reads(stage, store))
    stage.step("2. the server says round robin")
    stage.ask(1, "PUT", "/admin/configuration/client", {"ReadBalanceBehavior": "RoundRobin"})
    store.load("chores/1")
    time.sleep(0.5)
    spread = reads(stage, store)
    stage.see(f"each node gets a third {spread}", True, all(90 <= count <= 110 for count in spread))
    at = [written_at(stage, node) for node in (1, 2, 3)]
    store.save("chores/2", "t")
    gained = [written_at(stage, node) - at[node - 1] for node in (1, 2, 3)]
    stage.see("writes stay", [1, 0, 0], gained)
    store.close()


def reads(stage: Stage, store: NodeClient) -> tuple[int, ...]:
    """Where 300 reads go: how many to each node."""

    def counts() -> Counter[int]:
        found: Counter[int] = Counter()
        for node in (1, 2, 3):
            for line in stage_text(stage, node, "/metrics").splitlines():
                if line.startswith('kv_requests_total{operation="get"}'):
                    found[node] = int(float(line.split()[1]))
        return found

    before = counts()
    store.load("chores/1", 300)
    after = counts()
    return tuple(after[node] - before[node] for node in (1, 2, 3))
