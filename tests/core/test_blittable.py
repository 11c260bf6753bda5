"""Documents in place: the mapping face, copies, equality, and that no damaged bytes are read beyond their bounds."""

import collections.abc
import json
import math
import random
import struct
import threading
from decimal import Decimal

import pytest
from pynori_core.blittable import Document, Items, blittable_bytes, parse_json, validate
from pynori_core.errors import CorruptError, EngineError, JsonError, TooLarge
from pynori_core.json import FLAGS, JsonCodec

SAMPLE = {
    "Name": "Ada",
    "Age": 36,
    "Big": 2**62,
    "Price": 12.5,
    "Tags": ["x", "y", {"z": [None, True, False]}],
    "Lines": [{"Product": f"p{i}", "Quantity": i, "Price": i * 1.25} for i in range(20)],
    "Empty": {},
    "None": [],
    "Text": "é" * 300,
}


def sample() -> Document:
    return Document.from_json(json.dumps(SAMPLE))


def test_document_is_a_mapping() -> None:
    """A document answers like a dict of the same JSON, in the same order, without being turned into one."""
    document = sample()
    assert isinstance(document, collections.abc.Mapping)
    assert isinstance(document["Tags"], collections.abc.Sequence)
    assert len(document) == len(SAMPLE)
    assert list(document) == document.keys() == list(SAMPLE)
    assert document["Tags"][2]["z"].to_python() == [None, True, False]
    assert document["Lines"][-1]["Product"] == "p19"
    assert [line["Quantity"] for line in document["Lines"]] == list(range(20))
    assert document["Lines"][2:4] == [SAMPLE["Lines"][2], SAMPLE["Lines"][3]]
    assert document.get("nobody") is None
    assert document.get("nobody", 5) == 5
    assert "Age" in document and "age" not in document and 5 not in document
    assert "x" in document["Tags"] and "q" not in document["Tags"]
    assert dict(document.items())["Name"] == "Ada"
    assert document.values()[1] == 36
    assert document.to_python() == SAMPLE
    with pytest.raises(KeyError):
        document["nobody"]
    with pytest.raises(IndexError):
        document["Tags"][3]
    with pytest.raises(TypeError):
        Document()
    with pytest.raises(TypeError):
        Document.from_json("[1]")


def test_parts_keep_the_bytes_alive() -> None:
    """An inner value stays readable after the document object is gone."""
    inner = sample()["Lines"][7]
    junk = [bytes(1000) for _ in range(100)]
    assert inner["Product"] == "p7"
    assert len(junk) == 100


def test_bytes_of_document_and_part() -> None:
    """bytes() gives a whole document for the root and a new, smaller, equal one for a part."""
    document = sample()
    assert Document.from_bytes(bytes(document)) == document
    part = bytes(document["Lines"][3])
    validate(part)
    assert part == blittable_bytes(json.dumps(SAMPLE["Lines"][3]))  # type: ignore[index]
    assert len(part) < 80
    items = bytes(document["Tags"])
    validate(items)
    assert len(items) < 100


def test_extract_makes_a_document_as_parsing_would() -> None:
    """A document taken out of a parsed batch has the bytes that parsing its own text gives, filter included."""
    inner = '{"Name":"x","n":[1.50,{"@metadata":{"@id":1}}],"@metadata":{"@ID":"a","@collection":"C","@flags":[{}]}}'
    batch = Document.from_json('{"Commands":[{"Type":"PUT","Document":' + inner + '},{"Document":{"@metadata":[]}}]}')
    taken = batch["Commands"][0]["Document"]
    assert bytes(taken.extract(document=True)) == blittable_bytes(inner, document=True)
    assert bytes(taken.extract()) == blittable_bytes(inner)
    assert taken.extract(document=True)["@metadata"].to_python() == {"@collection": "C"}
    with pytest.raises(JsonError, match="@metadata is no object"):
        batch["Commands"][1]["Document"].extract(document=True)


def test_equality_is_that_of_values() -> None:
    """Order of names and the way a number is written do not count; values do."""
    same = [
        ('{"a":1,"b":[2]}', '{"b":[2.0],"a":1e0}'),
        ("[0.10]", "[0.1]"),
        ("[100]", "[1.00e2]"),
        ("[-0]", "[0.0]"),
        ("[123456789012345678901234567890]", "[1.2345678901234567890123456789e29]"),
        ("[0.00012]", "[12E-5]"),
        ("[1e400]", "[10e399]"),
        ('{"a":{}}', '{"a":{}}'),
    ]
    for left, right in same:
        assert parse_json(left) == parse_json(right), (left, right)
    different = [
        ('{"a":1}', '{"a":2}'),
        ('{"a":1}', '{"b":1}'),
        ('{"a":1}', '{"a":1,"b":2}'),
        ("[1,2]", "[2,1]"),
        ("[1]", "[-1]"),
        ("[10]", "[1]"),
        ("[0.1]", "[0.11]"),
        ("[1e400]", "[1e401]"),
        ('["1"]', "[1]"),
        ("[null]", "[false]"),
        ("{}", "[]"),
        ('["a"]', '["b"]'),
    ]
    for left, right in different:
        assert parse_json(left) != parse_json(right), (left, right)
    assert sample() == SAMPLE
    assert sample()["Tags"] == SAMPLE["Tags"]
    with pytest.raises(TypeError):
        hash(sample())


def test_same_text_same_bytes() -> None:
    """Bytes depend on the text alone, not on what was parsed before."""
    text = json.dumps(SAMPLE)
    first = blittable_bytes(text)
    for other in ('{"a":1}', "[1,2,3]", json.dumps({"Age": 1, "Name": "x", "Quantity": {"Price": 5}})):
        blittable_bytes(other)
        assert blittable_bytes(text) == first


def test_bytes_do_not_depend_on_earlier_documents() -> None:
    """A builder that has seen other documents of the same, a similar or another kind gives the bytes of a fresh one."""
    rand = random.Random(31)
    names = ["a", "b", "Name", "@metadata", "@id", "@collection", "long name " * 4, "é", 'quo"te', "n\\n", "", "Price"]

    def make(depth: int) -> object:
        kind = rand.randrange(6 if depth else 3)
        if kind == 0:
            return rand.randrange(-(10**9), 10**9)
        if kind == 1:
            return "x" * rand.randrange(200)
        if kind == 2:
            return rand.random()
        if kind == 3:
            return [make(depth - 1) for _ in range(rand.randrange(5))]
        return {rand.choice(names): make(depth - 1) for _ in range(rand.randrange(7))}

    texts = []
    for _ in range(60):
        body = {rand.choice(names): make(3) for _ in range(8)}
        body["@metadata"] = {rand.choice(names): make(2) for _ in range(5)}
        texts.append(json.dumps(body, ensure_ascii=rand.random() < 0.5))
        # The same names with one more, one less, or one twice.
        texts.append(texts[-1][:-1] + ', "more": 1}')
        texts.append('{"a": {"b": 1, "a": [1], "b": 2},' + texts[-1][1:])
    codec = JsonCodec()
    for _ in range(3000):
        text = rand.choice(texts)
        flags = rand.choice([0, FLAGS["document"]])
        codec.parse(text.encode(), flags)
        assert codec.document() == blittable_bytes(text, document=bool(flags))
        if rand.random() < 0.05:
            with pytest.raises(EngineError):
                codec.parse(text[: rand.randrange(len(text))].encode(), flags)
    assert codec.document() == blittable_bytes(text, document=bool(flags))
    validate(codec.document())


def test_more_shapes_than_are_shared() -> None:
    """Objects of thousands of different shapes, again and again, come back; and names beyond 64 KB of schema too."""
    records = [{f"n{i % 1500}": i, f"m{i % 7}": {"k": i}} for i in range(4000)]
    text = json.dumps(records, separators=(",", ":")).encode()
    codec = JsonCodec()
    for _ in range(2):
        codec.parse(text)
        validate(codec.document())
        assert codec.write(codec.document()) == text
    long_names = {f"{i:05d}" + "x" * 300: {f"{i:05d}": i} for i in range(3000)}
    text = json.dumps(long_names, separators=(",", ":")).encode()
    for _ in range(2):
        codec.parse(text)
        validate(codec.document())
        assert codec.write(codec.document()) == text


def test_document_from_python_values() -> None:
    """Built documents hold what was given, doubles in their shortest form, big integers and decimals as text."""
    assert Document.from_python(SAMPLE) == sample()
    document = Document.from_python(
        {
            "float": 0.1, "whole": 1.0, "tiny": 5e-324, "small": 1.25e-7, "huge": 1.7976931348623157e308, "zero": -0.0,
            "plain": 123456789012345680.0, "third": 1 / 3, "big": 2**80, "decimal": Decimal("1.50"),
            "part": sample()["Tags"],
        }
    )  # fmt: skip
    validate(bytes(document))
    assert document.to_json() == (
        b'{"float":0.1,"whole":1.0,"tiny":5e-324,"small":1.25e-7,"huge":1.7976931348623157e308,"zero":-0.0,'
        b'"plain":1.2345678901234568e17,"third":0.3333333333333333,"big":1208925819614629174706176,"decimal":1.50,'
        b'"part":["x","y",{"z":[null,true,false]}]}'
    )
    rand = random.Random(17)
    for _ in range(3000):
        value = struct.unpack("<d", rand.randbytes(8))[0]
        if math.isfinite(value):
            text = Document.from_python({"v": value}).to_json()
            assert json.loads(text)["v"] == value
            assert len(text) <= len(repr(value)) + 8
    for wrong in ({"v": float("nan")}, {"v": float("inf")}):
        with pytest.raises(EngineError):
            Document.from_python(wrong)
    for other in ({"v": object()}, [1], {1: 2}):
        with pytest.raises(TypeError):
            Document.from_python(other)  # type: ignore[arg-type]
    deep: dict[str, object] = {}
    for _ in range(200):
        deep = {"a": deep}
    with pytest.raises(TooLarge):
        Document.from_python(deep)


def test_size_stays_below_json() -> None:
    """A usual document takes no more bytes than its compact JSON, an array of records far fewer."""
    order = {
        "Company": "companies/85-A", "Employee": "employees/5-A", "Freight": 32.38, "OrderedAt": "1996-07-04T00:00:00",
        "ShipTo": {"City": "Reims", "Country": "France", "Line1": "59 rue de l'Abbaye", "PostalCode": 51100},
        "Lines": [{"Discount": 0, "PricePerUnit": 14.5, "Product": f"products/{i}-A", "Quantity": 2} for i in range(4)],
        "@metadata": {"@collection": "Orders"},
    }  # fmt: skip
    text = json.dumps(order, separators=(",", ":"))
    assert len(blittable_bytes(text)) <= len(text)
    records = json.dumps([order["Lines"]] * 500, separators=(",", ":"))
    assert len(blittable_bytes(records)) < 0.6 * len(records)


def test_damaged_documents_are_refused_or_read_safely() -> None:
    """After any change of bytes the check refuses, or the whole document can be read, written, compared and copied."""
    rand = random.Random(2024)
    sources = [
        bytes(sample()),
        blittable_bytes('{"a":[1e5,-0,3000000,"x",{"b":1.25}],"c":{"a":null}}'),
        blittable_bytes("[" + ",".join(f'{{"k":{i},"v":"t{i}"}}' for i in range(300)) + "]"),
        blittable_bytes('{"n":5}'),
    ]
    readable = 0
    for round_number in range(20_000):
        data = bytearray(sources[round_number % len(sources)])
        for _ in range(rand.choice([1, 1, 2, 5])):
            # Containers stand at the end, texts before them: damage both.
            place = rand.randrange(0 if rand.random() < 0.6 else max(0, len(data) - 40), len(data))
            data[place] = rand.choice([rand.randrange(256), data[place] ^ 1 << rand.randrange(8), 0, 255])
        if rand.random() < 0.1:
            del data[rand.randrange(len(data)) :]
        try:
            validate(data)
        except CorruptError as refused:
            assert 0 <= refused.offset <= len(data)
            continue
        readable += 1
        try:
            document = Document.from_bytes(data)
        except TypeError:
            continue
        text = document.to_json()
        json.loads(text)
        document.to_python()
        assert document == document
        assert len(bytes(document)) > 0
    assert readable > 100


def test_sharing_cannot_multiply_work() -> None:
    """Bytes in which containers refer to the same child again and again are refused instead of being walked."""
    data = bytearray(b"\xb1")
    position = 1
    data += bytes([2 * 2, 1, 0, 1, 0])  # an array of two nulls
    for _ in range(60):
        here = len(data)
        slot = (here - position) << 4 | 11
        data += bytes([2 * 2]) + slot.to_bytes(2, "little") * 2
        position = here
    root = (len(data) - position) << 4 | 11
    data += len(data).to_bytes(4, "little") + root.to_bytes(4, "little")
    with pytest.raises(CorruptError, match="upon each other"):
        validate(data)


@pytest.mark.parametrize(
    "data",
    [b"", b"\xb1", b"\xb1\1\0\0\0\1\0\0", b"\xb2\1\0\0\0\1\0\0\0", b"\xb1\1\0\0\0\0\0\0\0", b"\xb1\2\0\0\0\1\0\0\0"],
)
def test_bytes_that_are_no_document(data: bytes) -> None:
    """Too short, of another format, or with an unknown root: refused."""
    with pytest.raises(CorruptError):
        validate(data)


def test_many_threads_read_one_document() -> None:
    """Readers in several threads see the same values; nothing in a document changes by being read."""
    document = sample()
    wrong: list[object] = []

    def read() -> None:
        for _ in range(200):
            if document["Lines"][5].to_python() != SAMPLE["Lines"][5]:  # type: ignore[index]
                wrong.append(document)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_items_are_made_lazily() -> None:
    """An array in a document is a lazy sequence with its own JSON."""
    items = parse_json('[1,[2],{"a":3}]')
    assert isinstance(items, Items)
    assert isinstance(items[1], Items)
    assert isinstance(items[2], Document)
    assert items.to_json() == b'[1,[2],{"a":3}]'
    assert len(items) == 3
    with pytest.raises(EngineError):
        parse_json("[")
