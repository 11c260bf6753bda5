"""What becomes of versions in conflict by the rules of a database."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import msgspec
import pytest

from pynori.errors import JavaScriptError
from pynori.js.bridge import Input, load_nothing
from pynori.js.engine import Program, ScriptEngine
from pynori.js.scripts import Scripts
from pynori.replication.conflicts import ConflictRules, ordered, script_of, winner
from pynori.replication.resolver import merged_by

X, Y, Z = ("x" * 21 + "A", "y" * 21 + "A", "z" * 21 + "A")  # database ids


@dataclass
class Side:
    """One version."""

    change_vector: str
    last_modified: str = "2026-01-01T00:00:00.0000000Z"
    collection: str = "Users"
    json: bytes | None = b"{}"


A = Side(f"A:7-{X}, B:3-{Y}", "2026-01-01T00:00:01.0000000Z", json=b'{"Name":"John"}')
B = Side(f"A:5-{X}, B:8-{Y}", "2026-01-01T00:00:02.0000000Z", json=b'{"Name":"Doe"}')
C = Side(f"A:5-{X}, B:3-{Y}, C:1-{Z}", json=None)


def test_versions_are_in_one_order_everywhere() -> None:
    """They are sorted by who made each, which is whose entry is the greatest there, not by how the vectors read."""
    for given in itertools.permutations([A, B, C]):
        assert ordered(given) == [A, B, C]


def test_without_rules_a_conflict_stays() -> None:
    """Nobody loses a change unless somebody has said which."""
    assert ConflictRules().is_empty
    assert winner(ConflictRules(), [A, B]) is None


def test_the_latest_wins_and_equal_times_have_one_winner() -> None:
    """By the time of the change; when that is equal, the vector decides, in any order."""
    rules = ConflictRules(to_latest=True)
    assert winner(rules, [A, B]) is B
    twin = Side(A.change_vector, B.last_modified)
    assert winner(rules, [twin, B]) == winner(rules, [B, twin])


def test_the_authoritative_node_wins_when_it_has_a_version() -> None:
    """Its version is the one that it made itself; without one the next rule holds."""
    assert winner(ConflictRules(authoritative_node="A"), [B, A]) is A
    assert winner(ConflictRules(authoritative_node="A"), [B, C]) is None  # what B has of A, C has as well
    assert winner(ConflictRules(authoritative_node="D"), [A, B]) is None
    assert winner(ConflictRules(authoritative_node="D", to_latest=True), [A, B]) is B


def test_a_script_is_for_one_collection() -> None:
    """It merges when all documents among the versions are in its collection, whatever its case."""
    rules = ConflictRules(scripts={"users": "return docs[0];"})
    assert script_of(rules, [A, C, B]) == ("users", "return docs[0];")
    assert script_of(rules, [A, Side(B.change_vector, collection="Orders")]) is None
    assert script_of(rules, [C]) is None


def test_rules_come_from_the_record() -> None:
    """Collections in any case, scripts that are empty are none."""
    record = {"ConflictSolverConfig": {
        "ResolveByCollection": {"Users": {"Script": "return null;"}, "Orders": {"Script": ""}, "Carts": None},
        "ResolveToLatest": True, "AuthoritativeNode": None}}  # fmt: skip
    assert ConflictRules.of_record(record) == ConflictRules({"users": "return null;"}, True, "")
    assert ConflictRules.of_record({}).is_empty


def run(script: str, *documents: str, tombstone: str = "false") -> object:
    fields = {"docs": f"[{','.join(documents)}]".encode(), "has_tombstone": tombstone.encode()}
    outcome = Scripts().call_short(Program("resolve", (script,)), Input(fields), load_nothing)
    assert outcome is not None
    merged = merged_by(outcome)
    return merged if merged is None or merged.body is None else msgspec.json.decode(merged.body)


CART = """var final = docs[0];
for(var i = 1; i < docs.length; i++)
{
    for (var j = 0; j < docs[i].Items.length; j++)
    {
        var item = docs[i].Items[j];
        var match = final.Items.find(function(i){ return i.ProductId == item.ProductId; });
        if(!match) final.Items.push(item);
        else match.Quantity = Math.max(item.Quantity, match.Quantity);
    }
}
return final;"""


def test_a_script_merges_carts() -> None:
    """The versions come as `docs`, and what is returned is the document."""
    one = '{"Items":[{"ProductId":"p/2","Quantity":2},{"ProductId":"p/9","Quantity":1}]}'
    other = '{"Items":[{"ProductId":"p/2","Quantity":1},{"ProductId":"p/8","Quantity":2}]}'
    assert run(CART, one, other) == {"Items": [
        {"ProductId": "p/2", "Quantity": 2}, {"ProductId": "p/9", "Quantity": 1}, {"ProductId": "p/8", "Quantity": 2},
    ]}  # fmt: skip


def test_a_script_may_leave_the_conflict_or_delete() -> None:
    """Nothing returned leaves it to the rules behind; `resolveToTombstone` deletes; anything else is an error."""
    assert run("", "{}", "{}") is None
    assert run("return null;", "{}", "{}") is None
    deleted = run("if (hasTombstone) return resolveToTombstone;", "{}", tombstone="true")
    assert deleted is not None and getattr(deleted, "body", b"") is None
    with pytest.raises(JavaScriptError, match="must return a document"):
        run("return 7;", "{}", "{}")
    with pytest.raises(JavaScriptError, match="line 1"):
        run("return nobody();", "{}", "{}")


def test_a_script_that_does_not_compile_is_refused() -> None:
    """The error names line and column of the script as it was given."""
    with pytest.raises(JavaScriptError, match="line 2"):
        ScriptEngine().define(Program("resolve", ("var a = 1;\nreturn a b;",)))
