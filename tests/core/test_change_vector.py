"""Change vectors: text and binary form, and the algebra of comparing and merging, exhaustively over small vectors."""

import base64
import itertools
import random

import pytest
from pynori_core import change_vector
from pynori_core.errors import InvalidArgument

IDS = [base64.b64encode(bytes([number]) * 16).decode().rstrip("=") for number in range(6)]


def text_of(etags: tuple[int, ...]) -> str:
    """Entries A, B, C ... of databases 0, 1, 2 ...; 0 leaves an entry out."""
    return ", ".join(f"{'ABC'[i]}:{etag}-{IDS[i]}" for i, etag in enumerate(etags) if etag)


def expected_order(left: tuple[int, ...], right: tuple[int, ...]) -> str:
    ahead = any(a > b for a, b in zip(left, right, strict=True))
    behind = any(a < b for a, b in zip(left, right, strict=True))
    if ahead:
        return "conflict" if behind else "newer"
    return "older" if behind else "equal"


SMALL = list(itertools.product(range(4), repeat=3))


def test_compare_is_the_order_of_counters() -> None:
    """Every pair of vectors over three databases and etags 0 to 3 compares as its counters do."""
    for left, right in itertools.product(SMALL, SMALL):
        assert change_vector.compare(text_of(left), text_of(right)) == expected_order(left, right), (left, right)


def test_merge_is_the_least_upper_bound() -> None:
    """Merging is the maximum per database: commutative, idempotent, associative, and never older than a part."""
    joins = {}
    for left, right in itertools.product(SMALL, SMALL):
        merged = joins[text_of(left), text_of(right)] = change_vector.merge(text_of(left), text_of(right))
        assert merged == text_of(tuple(map(max, left, right)))
        assert merged == change_vector.merge(text_of(right), text_of(left))
        assert change_vector.compare(merged, text_of(left)) in ("equal", "newer")
    for a, b, c in itertools.product(map(text_of, SMALL), repeat=3):
        assert joins[joins[a, b], c] == joins[a, joins[b, c]]


def test_text_is_canonical_and_survives() -> None:
    """Entries come back sorted by tag and id, with ", " between them, whatever order and blanks they came with."""
    canonical = f"A:1-{IDS[1]}, A:2-{IDS[2]}, B:18446744073709551615-{IDS[0]}, RAFT:7-{IDS[3]}"
    for entries in itertools.permutations(canonical.split(", ")):
        assert change_vector.canonical(",".join(entries)) == canonical
        assert change_vector.canonical("  ,  ".join(entries) + " ") == canonical
    assert change_vector.canonical("") == ""
    assert change_vector.parse(canonical)[0] == ("A", 1, bytes([1]) * 16)


def test_counters_of_the_cluster_survive_beside_the_node() -> None:
    """RAFT, TRXN, SINK and MOVE entries are counters of their own even when they carry a node's database id."""
    vector = f"A:5-{IDS[0]}, MOVE:4-{IDS[0]}, RAFT:1-{IDS[0]}, SINK:2-{IDS[0]}, TRXN:3-{IDS[0]}"
    assert change_vector.canonical(vector) == vector
    raised = change_vector.merge(vector, f"TRXN:9-{IDS[0]}")
    assert raised == vector.replace("TRXN:3", "TRXN:9")
    assert change_vector.compare(raised, vector) == "newer"


def test_a_node_that_changed_its_tag_is_the_same_database() -> None:
    """One database id under two tags is one entry: the higher etag wins with its tag, at a tie the lower tag."""
    a, b = f"A:5-{IDS[0]}", f"B:7-{IDS[0]}"
    assert change_vector.merge(a, b) == change_vector.merge(b, a) == b
    assert change_vector.compare(a, b) == "older"
    assert change_vector.compare(f"B:5-{IDS[0]}", a) == "equal"
    assert change_vector.merge(f"B:5-{IDS[0]}", a) == change_vector.merge(a, f"B:5-{IDS[0]}") == a


@pytest.mark.parametrize(
    "text",
    [
        "A", "A:", "A:1", "A:1-", "A:-" + IDS[0], ":1-" + IDS[0], "ABCDE:1-" + IDS[0], "A:1-" + IDS[0][:-1],
        "A:1-" + IDS[0] + "A", "A:01-" + IDS[0], "A:18446744073709551616-" + IDS[0], "A:1-" + IDS[0][:-1] + "B",
        "A:1-" + IDS[0] + ",", "," + "A:1-" + IDS[0], "A:1-" + IDS[0] + ";B:1-" + IDS[1], "A :1-" + IDS[0],
        "A:1-" + IDS[0][:-1] + "=", "A:-1-" + IDS[0], "Ä:1-" + IDS[0], "A:1-" + "é" * 11, "null", "\0",
        ", ".join(f"A:{i + 1}-{base64.b64encode(i.to_bytes(16, 'big')).decode()[:22]}" for i in range(257)),
        "A:1-" + IDS[0] + " " * 13000,
    ],
)  # fmt: skip
def test_what_is_no_change_vector_is_refused(text: str) -> None:
    """Broken tags, etags, ids, separators and excess are refused, not read as something else."""
    with pytest.raises(InvalidArgument):
        change_vector.canonical(text)


def test_the_largest_vector_is_accepted_and_no_larger() -> None:
    """A vector may have VECTOR_ENTRIES_MAX entries; merging beyond that is refused."""
    ids = [base64.b64encode(i.to_bytes(16, "big")).decode()[:22] for i in range(257)]
    largest = ", ".join(f"ABCD:18446744073709551615-{id}" for id in ids[:256])
    assert change_vector.canonical(largest) == largest
    with pytest.raises(InvalidArgument):
        change_vector.merge(largest, f"A:1-{ids[256]}")


def test_mutated_text_never_does_harm() -> None:
    """Ten thousand mutations of a vector are either refused or reach a fixed point of canonical()."""
    seed = 20261
    dice = random.Random(seed)
    base = f"A:17-{IDS[0]}, B:3-{IDS[1]}, RAFT:12-{IDS[2]}"
    accepted = 0
    for _ in range(10_000):
        text = list(base)
        for _ in range(dice.randrange(1, 5)):
            at = dice.randrange(len(text))
            text[at : at + dice.randrange(3)] = dice.choice([*"AB:-, 019=+/z", "", ", ", "é", "\x00", "A:1-"])
        try:
            first = change_vector.canonical("".join(text))
        except InvalidArgument:
            continue
        accepted += 1
        assert change_vector.canonical(first) == first, f"seed {seed}"
    assert accepted > 100


def test_database_ids() -> None:
    """16 bytes are 22 characters of base64 and back."""
    for number in range(256):
        raw = bytes((number + i * 37) % 256 for i in range(16))
        text = change_vector.format_database_id(raw)
        assert text == base64.b64encode(raw).decode().rstrip("=") and change_vector.parse_database_id(text) == raw
    for wrong in ("", "A" * 21, "A" * 23, "A" * 21 + "B", "*" * 22):
        with pytest.raises(InvalidArgument):
            change_vector.parse_database_id(wrong)
