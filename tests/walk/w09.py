"""W7, what replication skips and keeps. W9, change vectors. W10, a conflict by hand. W11, rules instead of hands."""

from __future__ import annotations

import re
import time
from typing import Any

from pynori_core import change_vector

from tests.walk.stage import Refused, Stage

TRIAL = "ChangeVectorTrailRun"
IDS = {tag: tag * 21 + "A" for tag in "ABC"}  # database ids of invented vectors

CART_SCRIPT = """var final = docs[0];

for(var i = 1; i < docs.length; i++)
{
	var currentCart = docs[i];
	for(var j = 0; j < currentCart.Items.length; j++)
	{
		var item = currentCart.Items[j];
		var match = final.Items.find(function(i){
			return i.ProductId == item.ProductId;
		});
		if(!match)
		{
			// not in cart, add
			final.Items.push(item);
		}
		else
		{
			match.Quantity = Math.max(
				item.Quantity,
				match.Quantity);
		}
	}
}

return final;"""


def pair(stage: Stage, db: str = TRIAL) -> None:
    """Nodes A and B with a database on both."""
    stage.start(1, 2)
    stage.create(1, "First")
    stage.join(1, 2)
    stage.create(1, db, 2, ["A", "B"])
    for node in (1, 2):
        stage.wait(f"{db} is on node {node}", lambda n=node: stage.ask(n, "GET", f"/databases/{db}/stats") is not None)


def vector(stage: Stage, node: int, id: str, db: str = TRIAL) -> str:
    return str((stage.get(node, db, id) or {})["@metadata"]["@change-vector"])


def entries(text: str) -> dict[str, int]:
    return {tag: int(etag) for tag, etag in re.findall(r"([A-Z]+):(\d+)-", text)}


def walk_skipped(stage: Stage) -> None:
    stage.step("1. a hundred changes while B is away")
    pair(stage)
    stage.put(1, TRIAL, "users/1", {"n": 0})
    stage.put(1, TRIAL, "users/2", {"n": 0})
    stage.wait("both are on B", lambda: stage.field(2, TRIAL, "users/2", "n") == 0)
    before = incoming(stage, 2)
    stage.kill(2)
    for number in range(1, 101):
        stage.put(1, TRIAL, "users/1", {"n": number})
    stage.delete(1, TRIAL, "users/2")
    stage.start(2)
    stage.wait("B has the last change", lambda: stage.field(2, TRIAL, "users/1", "n") == 100)
    stage.wait("and the deletion", lambda: stage.get(2, TRIAL, "users/2") is None)
    stage.see("it received two items, not 101", 2, incoming(stage, 2))
    stage.see("vectors are equal", vector(stage, 1, "users/1"), vector(stage, 2, "users/1"))
    stage.see("it had received two before", 2, before)
    stage.step("4. ten thousand writes while B is away")
    stage.kill(2)
    begun = time.monotonic()
    for first in range(0, 10_000, 100):
        commands = [{"Type": "PUT", "Id": f"many/{first + n}", "Document": {"n": first + n}} for n in range(100)]
        stage.ask(1, "POST", f"/databases/{TRIAL}/bulk_docs", {"Commands": commands})
    stage.see(f"A took them in {time.monotonic() - begun:.1f} s", True, time.monotonic() - begun < 20)
    stage.start(2)
    stage.wait("B has all", lambda: stage.ask(2, "GET", f"/databases/{TRIAL}/stats")["CountOfDocuments"] == 10_001)


def incoming(stage: Stage, node: int) -> int:
    """Items that a node has stored from its links since it runs."""
    links = stage.ask(node, "GET", f"/databases/{TRIAL}/replication/active-connections")["IncomingConnections"]
    return sum(link["ItemsStored"] for link in links)


def walk_vectors(stage: Stage) -> None:
    stage.step("the table")
    table = [
        ("A:1", "B:2", "conflict"), ("A:3, B:1", "A:1", "newer"), ("A:3, B:1", "A:3", "newer"),
        ("A:3, B:1", "B:1", "newer"), ("A:3, B:1", "B:2", "conflict"), ("A:3, B:3, C:5", "A:1", "newer"),
        ("A:3, B:3, C:5", "B:2", "newer"), ("A:3, B:3, C:5", "A:3, B:1", "newer"), ("A:8, B:5", "A:7, B:5", "newer"),
        ("A:7, B:6", "A:7, B:5", "newer"), ("A:8, B:5", "A:7, B:6", "conflict"), ("A:8, B:5", "A:3, B:8", "conflict"),
        ("A:7, B:5", "A:7, B:5", "equal"),
    ]  # fmt: skip
    turned = {"newer": "older", "conflict": "conflict", "equal": "equal"}
    for left, right, expected in table:
        stage.see(f"{left} is to {right}", expected, change_vector.compare(full(left), full(right)))
        stage.see(f"{right} is to {left}", turned[expected], change_vector.compare(full(right), full(left)))
    stage.step("trial run")
    pair(stage)
    seen = []
    for number in range(4):
        stage.put(1, TRIAL, "users/1", {"n": number})
        seen.append(entries(vector(stage, 1, "users/1")))
        time.sleep(1)
    stage.see("A's etag grows", sorted({each["A"] for each in seen}), [each["A"] for each in seen])
    stage.see(f"B is named too, though nobody wrote there {seen}", True, all("B" in each for each in seen[2:]))
    stage.see("and grows", True, seen[2]["B"] < seen[3]["B"])
    for number in range(5):
        stage.put(2, TRIAL, f"others/{number}", {"n": number})
    time.sleep(1)
    stage.put(1, TRIAL, "users/1", {"n": 9})
    stage.see("B has moved by as many at least", True, entries(vector(stage, 1, "users/1"))["B"] >= seen[3]["B"] + 5)


def full(vector: str) -> str:
    return ", ".join(f"{each}-{IDS[each[0]]}" for each in vector.split(", "))


def split(stage: Stage, db: str, change_a: Any, change_b: Any) -> None:
    """Both sides change something without knowing of each other; then both run."""
    stage.kill(2)
    change_a()
    stage.kill(1)
    stage.start(2)
    change_b()
    stage.start(1)


def named(stage: Stage, node: int, name: str, db: str = TRIAL) -> None:
    stage.put(node, db, "users/1", {"Name": name, "@metadata": {"@collection": "Users"}})


def conflict_count(stage: Stage, node: int, db: str = TRIAL) -> int:
    return int(stage.ask(node, "GET", f"/databases/{db}/replication/conflicts")["TotalResults"])


def refusal(stage: Stage, node: int, id: str, db: str = TRIAL) -> str:
    try:
        return f"a document: {stage.get(node, db, id)}"
    except Refused as refused:
        return f"{refused.status} {refused.body.get('Type')}"


def in_users(stage: Stage, node: int, db: str = TRIAL) -> int:
    return int(stage.ask(node, "GET", f"/databases/{db}/collections/stats")["Collections"].get("Users", 0))


def walk_conflict(stage: Stage) -> None:
    stage.step("1. one document on A and B")
    pair(stage)
    named(stage, 1, "Nobody")
    stage.wait("it is on B", lambda: stage.field(2, TRIAL, "users/1", "Name") == "Nobody")
    for ending in ("the conflict's page", "a plain put"):
        stage.step("2, 3. both are changed while the other is away")
        split(stage, TRIAL, lambda: named(stage, 1, "John"), lambda: named(stage, 2, "Doe"))
        stage.step("4. they meet")
        for node in (1, 2):
            stage.wait(f"a conflict on node {node}", lambda n=node: conflict_count(stage, n) == 1)
            stage.see("Users is empty", 0, in_users(stage, node))
            stage.see("loading it says so", "409 Raven.Client.Exceptions.Documents.DocumentConflictException",
                      refusal(stage, node, "users/1"))  # fmt: skip
        stage.step("5. the versions")
        versions = stage.ask(1, "GET", f"/databases/{TRIAL}/replication/conflicts?docId=users/1")["Results"]
        stage.see("John's and Doe's", ["John", "Doe"], [each["Doc"]["Name"] for each in versions])
        stage.step(f"6. it is ended by {ending}")
        named(stage, 1 if ending == "a plain put" else 2, "John Doe")
        for node in (1, 2):
            stage.wait(f"none on node {node}", lambda n=node: conflict_count(stage, n) == 0)
            stage.wait("the name", lambda n=node: stage.field(n, TRIAL, "users/1", "Name") == "John Doe")
            stage.see("it is in Users", 1, in_users(stage, node))
            merged = vector(stage, node, "users/1")
            for each in versions:
                stage.see("newer than the version", "newer", change_vector.compare(merged, each["ChangeVector"]))


def walk_rules(stage: Stage) -> None:
    pair(stage)
    stage.step("1. what needs no rule")
    named(stage, 1, "Nobody")
    stage.wait("it is on B", lambda: stage.field(2, TRIAL, "users/1", "Name") == "Nobody")
    split(stage, TRIAL, lambda: named(stage, 1, "Same"), lambda: named(stage, 2, "Same"))
    settled(stage, "the same edit on both", lambda n: stage.field(n, TRIAL, "users/1", "Name") == "Same")
    split(stage, TRIAL, lambda: stage.delete(1, TRIAL, "users/1"), lambda: stage.delete(2, TRIAL, "users/1"))
    settled(stage, "deleted on both", lambda n: stage.get(n, TRIAL, "users/1") is None)
    named(stage, 1, "Again")
    stage.wait("it is on B", lambda: stage.field(2, TRIAL, "users/1", "Name") == "Again")
    split(stage, TRIAL, lambda: stage.delete(1, TRIAL, "users/1"), lambda: named(stage, 2, "Edited"))
    for node in (1, 2):
        stage.wait(f"delete against edit is a conflict on node {node}", lambda n=node: conflict_count(stage, n) == 1)
    named(stage, 1, "Over")
    settled(stage, "ended by a put", lambda n: stage.field(n, TRIAL, "users/1", "Name") == "Over")
    stage.step("2. authoritative node, latest")
    for rule, winner in (({"AuthoritativeNode": "A"}, "John"), ({"ResolveToLatest": True}, "Doe")):
        stage.ask(1, "POST", f"/admin/replication/conflicts/solver?name={TRIAL}", rule)
        split(stage, TRIAL, lambda: named(stage, 1, "John"), lambda: named(stage, 2, "Doe"))
        settled(stage, f"{rule} wins", lambda n, w=winner: stage.field(n, TRIAL, "users/1", "Name") == w)
    walk_scripts(stage)


def walk_scripts(stage: Stage) -> None:
    """W11 from step 3 on."""
    stage.step("3. a script for carts")
    rule = {"ResolveByCollection": {"ShoppingCarts": {"Script": CART_SCRIPT}}}
    stage.ask(1, "POST", f"/admin/replication/conflicts/solver?name={TRIAL}", rule)
    cart(stage, 1, [])
    stage.wait("the cart is on B", lambda: stage.get(2, TRIAL, "carts/1") is not None)
    milk, bread, eggs = (("products/2134-B", "Milk"), ("products/9231-C", "Bread"), ("products/8412-B", "Eggs"))
    split(stage, TRIAL, lambda: cart(stage, 1, [(milk, 2), (bread, 1)]), lambda: cart(stage, 2, [(milk, 1), (eggs, 2)]))
    expected = {"Name": "Oren Eini", "Items": [line(milk, 2), line(bread, 1), line(eggs, 2)]}
    settled(stage, "merged", lambda n: content(stage, n) == expected)
    stage.step("4. nothing goes on behind it")
    vectors = [vector(stage, node, "carts/1") for node in (1, 2)]
    stage.see("both vectors are equal", 1, len(set(vectors)))
    time.sleep(5)
    stage.see("and stay", vectors, [vector(stage, node, "carts/1") for node in (1, 2)])
    stage.step("6. others keep their own rule; a script that fails leaves the conflict")
    split(stage, TRIAL, lambda: named(stage, 1, "John"), lambda: named(stage, 2, "Doe"))
    stage.wait("a conflict of Users stays", lambda: conflict_count(stage, 1) == 1)
    failing = {"ResolveByCollection": {"Users": {"Script": "throw 'no';"}}}
    stage.ask(1, "POST", f"/admin/replication/conflicts/solver?name={TRIAL}", failing)
    time.sleep(1)
    stage.see("it stays", 1, conflict_count(stage, 1))
    failures = stage.ask(1, "GET", f"/databases/{TRIAL}/replication/conflicts/solver")["Failures"]
    stage.see("and why is told", True, "no" in str(failures.get("users")))
    stage.step("5. a script that comes later resolves it")
    good = {"ResolveByCollection": {"Users": {"Script": "return docs[0];"}}}
    stage.ask(1, "POST", f"/admin/replication/conflicts/solver?name={TRIAL}", good)
    settled(stage, "resolved", lambda n: stage.field(n, TRIAL, "users/1", "Name") == "John")


def settled(stage: Stage, what: str, holds: Any) -> None:
    """Both have heard everything of each other, and it is so on both."""
    stage.wait("both know the same", lambda: known(stage, 1) == known(stage, 2))
    for node in (1, 2):
        stage.wait(f"{what}, on node {node}", lambda n=node: holds(n) and conflict_count(stage, n) == 0)


def known(stage: Stage, node: int) -> dict[str, int]:
    return entries(stage.ask(node, "GET", f"/databases/{TRIAL}/stats")["DatabaseChangeVector"])


def line(product: tuple[str, str], quantity: int) -> dict[str, Any]:
    return {"ProductId": product[0], "Quantity": quantity, "Name": product[1]}


def cart(stage: Stage, node: int, lines: list[tuple[tuple[str, str], int]]) -> None:
    items = [line(*each) for each in lines]
    metadata = {"@collection": "ShoppingCarts"}
    stage.put(node, TRIAL, "carts/1", {"Name": "Oren Eini", "Items": items, "@metadata": metadata})


def content(stage: Stage, node: int) -> dict[str, Any]:
    return {key: value for key, value in (stage.get(node, TRIAL, "carts/1") or {}).items() if key != "@metadata"}
