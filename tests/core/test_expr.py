"""Programs from bytes: what is refused, what bounds an evaluation, values with given answers, other documents."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from pynori_core.blittable import Document
from pynori_core.command import Batch
from pynori_core.document_snapshot import DocumentSnapshot
from pynori_core.document_writer import DocumentWriter
from pynori_core.errors import ExpressionError
from pynori_core.expr import FUNCTIONS, OPERATIONS, Program
from pynori_core.index_program import ExpressionFeed
from pynori_core.index_store import IndexStore
from pynori_core.items import DocumentStore

from pynori.expr import tree
from pynori.expr.compile import compile, program_bytes
from pynori.expr.tree import Arithmetic, Array, Call, Cast, Compare, Literal, Member, Sequence, Variable
from pynori.linq.lower import parse_map

ITEM = Variable(tree.INPUT)
EMPTY = Document.from_python({})


def value(node: tree.Expression, document: Document = EMPTY, **options: Any) -> Any:
    return compile(node).value(document, **options)


def literals(*values: Any) -> tuple[tree.Expression, ...]:
    return tuple(Literal(each) for each in values)


def date(text: str) -> tree.Expression:
    return Cast("date", Literal(text))


# ---- values with given answers

VALUES: list[tuple[tree.Expression, Any]] = [
    (Arithmetic("+", Literal((1 << 63) - 1), Literal(1)), float(1 << 63)),
    (Arithmetic("/", Literal(-7), Literal(2)), -3),
    (Arithmetic("%", Literal(-7), Literal(2)), -1),
    (Arithmetic("/", Literal(-(1 << 63)), Literal(-1)), float(1 << 63)),
    (Arithmetic("/", Literal(1.0), Literal(0)), float("inf")),
    (Arithmetic("+", Literal(Decimal("0.1")), Literal(Decimal("0.2"))), 0.3),
    (Compare("==", Arithmetic("+", Literal(Decimal("0.1")), Literal(Decimal("0.2"))), Literal(Decimal("0.3"))), True),
    (Compare("==", Arithmetic("+", Literal(0.1), Literal(0.2)), Literal(0.3)), False),
    (Call("to_string", (Arithmetic("/", Literal(Decimal(1)), Literal(Decimal(3))),)), "0.333333333333333333"),
    (Call("to_string", (Arithmetic("*", Literal(Decimal("-1.50")), Literal(Decimal("2"))),)), "-3"),
    (Call("to_string", (Cast("decimal", Literal(0.1)),)), "0.1"),
    (Arithmetic("*", Cast("decimal", Literal(36)), Arithmetic("-", Literal(1), Literal(0.05))), 34.2),
    (Call("to_string", literals(12.0)), "12"),
    (Call("to_string", literals(0.1)), "0.1"),
    (Cast("integer", Literal(-3.9)), -3),
    (Cast("integer", Literal("12")), 12),
    (Cast("double", Literal("1.5e2")), 150.0),
    (Cast("bool", Literal("true")), True),
    (Compare("<", Literal(1 << 53), Literal((1 << 53) + 1)), True),
    (Compare("==", Literal((1 << 53) + 1), Literal(float(1 << 53))), False),
    (Compare("==", Literal("Äb"), Literal("äB"), True), True),
    (Compare("<", Literal(None), Literal(1)), False),
    (Compare(">", Literal("d"), Literal("b")), True),  # two apart
    (Compare("<", Literal("2020-01-12"), Literal("2020-01-14")), True),
    (date("2020-02-29T23:59:59.5Z"), "2020-02-29T23:59:59.5000000Z"),
    (date("2020-02-29T12:00:00+02:00"), "2020-02-29T10:00:00.0000000Z"),
    (date("2020-02-29"), "2020-02-29T00:00:00.0000000"),
    (Compare("==", date("2020-01-01T01:00:00+01:00"), Literal("2020-01-01T00:00:00Z")), True),
    (Arithmetic("-", date("2020-03-01"), date("2020-02-28")), 2 * 864_000_000_000),
    (Arithmetic("-", Literal("2020-03-01"), Literal("2020-02-28T00:00:00.0000001")), 2 * 864_000_000_000 - 1),
    (Call("to_string", (Arithmetic("-", date("2020-03-01"), date("2020-02-28T23:30:00.25")),)), "1.00:29:59.7500000"),
    (Cast("span", Literal("-1.02:03:04.5")), -(26 * 3600 + 184) * 10_000_000 - 5_000_000),
    (Compare(">", Arithmetic("-", date("2020-03-01"), date("2020-02-28")), Literal(10_800 * 10_000_000)), True),
    (Member(date("2024-12-31"), "DayOfYear"), 366),
    (Member(date("2024-12-31"), "DayOfWeek"), 2),
    (Member(date("0001-01-01"), "Ticks"), 0),
    (Member(date("9999-12-31T23:59:59.9999999"), "Ticks"), 3155378975999999999),
    (Call("add_months", (date("2020-01-31"), Literal(1))), "2020-02-29T00:00:00.0000000"),
    (Call("add_months", (date("2020-01-31"), Literal(-2))), "2019-11-30T00:00:00.0000000"),
    (Call("add_years", (date("2020-02-29"), Literal(1))), "2021-02-28T00:00:00.0000000"),
    (Call("add_days", (Literal("2020-12-31"), Literal(1.5))), "2021-01-01T12:00:00.0000000"),
    (Call("date", literals(2020, 2, 29)), "2020-02-29T00:00:00.0000000"),
    (Call("round", literals(2.5)), 2.0),
    (Call("round", literals(2.125, 2)), 2.12),
    (Call("split", literals("a,b;;c", ",", ";")), ["a", "b", "", "c"]),
    (Call("replace", literals("aXbXX", "X", "yy")), "ayybyyyy"),
    (Call("last_index_of", literals("a/b/c", "/")), 3),
    (Call("index_of", literals("😀a", "a")), 2),
    (Call("substring", literals("x😀yz", 3, 1)), "y"),
    (Call("to_upper", literals("straße ǆ")), "STRAßE Ǆ"),
    (Call("join", (Literal("-"), Array(literals(1, None, "x")))), "1--x"),
    (Call("union", (Array(literals(1, 2, 1.0)), Array(literals(2, 3)))), [1, 2, 3]),
    (Call("intersect", (Array(literals(1, 2, 2)), Array(literals(2, 3)))), [2]),
    (Call("except", (Array(literals(1, 2, 1)), Array(literals(2, 3)))), [1]),
    (Call("in", (Literal("B"), Literal("a"), Array(literals("b"))), True), True),
    (Call("all_in", (Array(literals("a", "b")), Array(literals("B", "A"))), True), True),
    (Sequence("order_descending", Array(literals(2, "x", None, 1, True, 2.5)), ("i", "", ""), Variable("i")),
     ["x", 2.5, 2, 1, True, None]),
]  # fmt: skip


@pytest.mark.parametrize(("node", "wanted"), VALUES, ids=range(len(VALUES)))
def test_values(node: tree.Expression, wanted: Any) -> None:
    """Numbers, dates, spans, strings and sequences have the values that C# gives them."""
    found = value(node)
    assert found == wanted and type(found) is type(wanted)


@pytest.mark.parametrize(
    "text", ["2020-13-01", "2020-02-30", "2020-1-1", "2020-01-01 10:00", "2020-01-01T25:00", "20200101", "", "x" * 60]
)
def test_strings_that_are_no_dates(text: str) -> None:
    """A cast to a date fails; a property of a date is missing."""
    with pytest.raises(ExpressionError, match="not a date"):
        value(date(text))
    assert value(Member(Literal(text), "Year")) is None


@pytest.mark.parametrize("seed", range(3))
def test_decimals_agree_with_pythons(seed: int) -> None:
    """Sums, differences and products that 18 digits hold are exact; others are the nearest double."""
    rand = random.Random(seed)
    for _ in range(300):
        left, right = (Decimal(rand.randrange(-(10**9), 10**9)).scaleb(-rand.randrange(6)) for _ in range(2))
        for operator, wanted in (("+", left + right), ("-", left - right), ("*", left * right)):
            digits = len(wanted.normalize().as_tuple().digits)
            found = value(Call("to_string", (Arithmetic(operator, Literal(left), Literal(right)),)))
            if digits <= 18:
                assert Decimal(found) == wanted, (left, operator, right)
            else:
                assert abs(Decimal(found) - wanted) <= abs(wanted) * Decimal("1e-15")


# ---- bytes

def some_program() -> bytes:
    text = """from x in docs.A let n = x.a + 1 where n > 0 from i in x.list
        select new { i, t = x.list.Select(y => y * n), r = new { n }, l = LoadDocument(x.id, "B").name }"""
    return parse_map(text).program.data


def test_random_bytes_are_refused_or_run() -> None:
    """A program with any bytes changed is refused, or it runs within its bounds."""
    rand = random.Random(5)
    data = some_program()
    document = Document.from_python({"a": 1, "list": [1, 2], "id": "b/1"})
    accepted = 0
    for _ in range(4000):
        broken = bytearray(data)
        for _ in range(rand.randrange(1, 4)):
            broken[rand.randrange(len(broken))] = rand.choice((0, 1, 2, 255, rand.randrange(256)))
        try:
            program = Program(bytes(broken))
        except (ValueError, UnicodeDecodeError):
            continue
        accepted += 1
        try:
            program.run(document) if program.is_map else program.value(document)
        except ExpressionError:
            continue
    assert accepted > 100
    for size in range(0, len(data), 7):
        with pytest.raises(ValueError):
            Program(data[:size])


def test_a_program_is_its_bytes() -> None:
    """Programs travel as bytes; equal trees give equal bytes; the tables have no gaps."""
    assert Program(some_program()).data == some_program()
    node = Arithmetic("+", Member(ITEM, "a"), Literal(1))
    assert program_bytes(node) == program_bytes(node)
    assert sorted(number for number, _ in OPERATIONS.values()) == list(range(1, len(OPERATIONS) + 1))
    assert sorted(number for number, _, _ in FUNCTIONS.values()) == list(range(1, len(FUNCTIONS) + 1))
    with pytest.raises(TypeError):
        compile(node).run(EMPTY)


def test_arguments_of_any_kind_are_safe() -> None:
    """Every function with arguments of every kind gives a value or an ExpressionError."""
    rand = random.Random(3)
    marked = tree.Mark("boost", Literal("a"), Literal(2))
    kinds = [
        *literals(None, True, 7, -1, 1.5, "", "äb{0}", "2020-01-01", Decimal("1.5")), date("2020-01-01"), Array(()),
        Call("span_days", literals(1)), Array(literals(1, "a", None)), tree.Record((("a", Literal(1)),)), marked, ITEM,
        Member(ITEM, "n"), Member(ITEM, "gone"), Array((Array(literals(1)), marked)), Member(ITEM, "o"),
        Sequence("group", Member(ITEM, "n"), ("g", "", ""), Variable("g")), Sequence("select", ITEM, ("e", "", ""),
                                                                                   Variable("e")),
    ]  # fmt: skip
    document = Document.from_python({"n": [1, 2, 2], "o": {"x": 1, "y": [2]}})
    values = 0
    for name, (_, least, most) in FUNCTIONS.items():
        for _ in range(150):
            arguments = tuple(rand.choice(kinds) for _ in range(rand.randrange(least, min(most, 5) + 1)))
            flags = rand.random() < 0.5
            node: tree.Expression = Call(name, arguments, flags, flags)
            if rand.random() < 0.3:
                node = Compare(rand.choice(("==", "<")), node, rand.choice(kinds), flags, flags)
            elif rand.random() < 0.3:
                node = Arithmetic(rand.choice("+-*/%"), node, rand.choice(kinds))
            try:
                compile(node).value(document)
                values += 1
            except ExpressionError:
                continue
    assert values > 1000


# ---- bounds

def numbers(count: int) -> Document:
    return Document.from_python({"n": list(range(count))})


def test_steps_are_bounded() -> None:
    """Loops within loops end with an error, not with the patience of who waits."""
    node: tree.Expression = Literal(1)
    for level in range(5):
        node = Sequence("sum", Member(ITEM, "n"), (f"x{level}", "", ""), node)
    with pytest.raises(ExpressionError, match="more steps"):
        value(node, numbers(100))


def test_memory_is_bounded() -> None:
    """A string that doubles with each step ends with an error."""
    text: tree.Stage = tree.Output((("a", Variable("v40")),))
    for level in range(40, 0, -1):
        doubled = Arithmetic("+", Variable(f"v{level - 1}"), Variable(f"v{level - 1}"))
        text = tree.Let(f"v{level}", doubled, text)
    program = compile(tree.Let("v0", Member(ITEM, "s"), text))
    with pytest.raises(ExpressionError, match="more memory"):
        program.run(Document.from_python({"s": "x" * 1000}))
    # And what it had taken is free for the next document.
    assert program.run(Document.from_python({})) == [{}]


def test_entries_are_bounded() -> None:
    """A fan-out of millions ends with an error."""
    inner = tree.Each("b", Member(ITEM, "n"), tree.Output((("a", Variable("b")),)))
    program = compile(tree.Each("a", Member(ITEM, "n"), inner))
    with pytest.raises(ExpressionError, match=r"more (steps|memory|entries)"):
        program.run(numbers(1100))


def test_depth_is_bounded() -> None:
    """A tree deeper than a program may be is refused when it is compiled."""
    node: tree.Expression = Literal(True)
    for _ in range(160):
        node = tree.Conditional(ITEM, node, ITEM)
    with pytest.raises(ValueError, match="deeper"):
        compile(node)


# ---- other documents


@pytest.fixture
def document_store() -> Iterator[DocumentStore]:
    """Two people and three pets."""
    store = DocumentStore.create("", bytes(16), "A", in_memory=True)
    writer = DocumentWriter(store)
    batch = Batch()
    for id, document in (
        ("people/1", {"name": "Ida", "@metadata": {"@collection": "People"}}),
        ("people/2", {"name": "Ole", "@metadata": {"@collection": "People"}}),
        ("pets/1", {"name": "Rex", "owner": "people/1", "age": 0, "@metadata": {"@collection": "Pets"}}),
        ("pets/2", {"name": "Tom", "owner": "People/2", "age": 4, "@metadata": {"@collection": "Pets"}}),
        ("pets/3", {"name": "Kim", "owner": "people/7", "age": 2, "@metadata": {"@collection": "Pets"}}),
    ):
        batch.put(id, json.dumps(document).encode())
    writer.execute(batch)
    yield store
    writer.close()
    store.close()


def test_feeding_an_index(document_store: DocumentStore) -> None:
    """An index takes a map's entries natively: documents that fail are told, loaded ids are noted."""
    text = """from p in docs.Pets select new { Share = 8 / p.age, Owner = LoadDocument(p.owner, "People").name,
        Both = new[] { p.name, p.owner } }"""
    program = parse_map(text).program
    with IndexStore.create(None) as index, contextlib.closing(DocumentSnapshot(document_store)) as snapshot:
        with index.write() as writer:
            numbers = {name: writer.field(name) for name in program.fields}
            feed = ExpressionFeed(program, numbers)
            fed = writer.feed(snapshot, "Pets", 0, feed)
        assert (fed.documents, fed.failed, fed.entries) == (3, 1, 2)
        assert fed.errors[0][0] == "pets/1" and "divide by zero (line 1" in fed.errors[0][1]
        loaded = [(id, [target for target, _ in targets]) for id, targets in feed.take_references()]
        assert loaded == [("pets/1", []), ("pets/2", ["People/2"]), ("pets/3", ["people/7"])]
        assert feed.take_references() == []
        with index.read() as read:
            for name, wanted in (("Share", 2), ("Owner", "ole"), ("Both", "TOM"), ("Both", "people/2")):
                assert read.documents(read.equal(numbers[name], wanted)) == ["pets/2"], name
            assert len(read.exists(numbers["Owner"])) == 1
    with pytest.raises(ValueError, match="marks"):
        ExpressionFeed(parse_map("from p in docs select new { a = p.name.Boost(2) }").program, {"a": 1})


def test_loading(document_store: DocumentStore) -> None:
    """LoadDocument reads the same snapshot, by any spelling of the id, and reports what it asked for."""
    text = """from x in docs.Pets select new { x.name, owner = LoadDocument(x.owner, "People").name,
        all = LoadDocument(x.friends, "People").Select(f => f.name), id = Id(LoadDocument(x.owner, "People")),
        at = MetadataFor(LoadDocument(x.owner, "People"))["@collection"] }"""
    definition = parse_map(text)
    assert definition.loaded_collections == ("People",) and definition.program.loads
    pet = Document.from_python({"name": "Rex", "owner": "PEOPLE/1", "friends": ["people/2", "people/9"]})
    snapshot = DocumentSnapshot(document_store)
    references: list[tuple[str, str | None]] = []
    entries = definition.program.run(pet, id="pets/1", snapshot=snapshot, references=references)
    assert entries == [{"name": "Rex", "owner": "Ida", "all": "Ole", "id": "people/1", "at": "People"}]
    assert sorted(set(references)) == [("PEOPLE/1", "People"), ("people/2", "People"), ("people/9", "People")]
    snapshot.close()
    assert definition.program.run(pet, id="pets/1") == [{"name": "Rex"}]
