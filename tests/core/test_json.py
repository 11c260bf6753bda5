"""JSON text to blittable and back: every type survives, errors name their place, metadata is filtered and laid over."""

import json
import random
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pynori_core.blittable import Document, blittable_bytes, double_of, parse_json, validate
from pynori_core.errors import EngineError, JsonError, TooLarge
from pynori_core.json import FLAGS, JsonCodec

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"))
)
NAMES = st.text(st.characters(codec="utf-8"), max_size=40) | st.sampled_from(["a", "b", "Name", "@metadata", "@id"])
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner), max_leaves=60)


def back(text: str | bytes) -> bytes:
    """Text through a checked document and out again."""
    made = blittable_bytes(text)
    validate(made)
    return JsonCodec().write(made)


@settings(max_examples=400, deadline=None)
@given(VALUES, st.sampled_from([(",", ":"), (", ", ": "), (" ,\n\t ", "\r\n:  ")]), st.booleans())
def test_any_value_comes_back(value: Any, separators: tuple[str, str], ascii_only: bool) -> None:
    """What Python's json writes, our reader and writer give back with the same values, order and number texts."""
    text = json.dumps(value, separators=separators, ensure_ascii=ascii_only)
    compact = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    assert json.loads(back(text)) == value
    assert back(text) == back(compact)
    escaped = JsonCodec().write(blittable_bytes(text), ascii_only=True)
    assert escaped.isascii()
    assert json.loads(escaped) == value
    made = parse_json(text)
    plain = made.to_python() if hasattr(made, "to_python") else made
    assert plain == value
    assert made == parse_json(compact)


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        '""',
        '{"":0}',
        "0",
        "-1",
        "1.0",
        "0.10",
        "-0",
        "-0.0",
        "0.000000000000000001",
        "1e400",
        "-1E-400",
        "1E+2",
        "9223372036854775807",
        "-9223372036854775808",
        "9223372036854775808",
        "-9223372036854775809",
        "123456789012345678",
        "1234567890123456789",
        "3.141592653589793238462643383279502884197",
        "0.30000000000000004",
        "123456789.123456789",
        "[2047,2048,-2048,-2049,134217727,134217728,-134217728,-134217729]",
        '{"\U0001f600":"\U0001f469‍\U0001f680"}',
        "[[[[[]]],{}],null,true,false]",
    ],
)
def test_text_survives_byte_for_byte(text: str) -> None:
    """Compact text comes back as the same bytes, numbers in particular."""
    assert back(text) == text.encode()


def test_corpus_of_the_document_format() -> None:
    """10,000 properties, 100 levels, a 10 MB string, arrays beyond 64 KB: all come back."""
    many = {f"property{i}": i for i in range(10_000)}
    deep: Any = 1
    for _ in range(50):
        deep = {"a": [deep]}
    records = [{"id": i, "name": f"n{i}", "tags": ["x", "y"] * (i % 3), "more": {"v": i * 1000}} for i in range(5000)]
    long_string = "é" * 5_000_000
    for value in (many, deep, records, {"text": long_string}, ["x" * 70, "y" * 127, "z" * 128, "w" * 16_384]):
        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
        assert back(text) == text
    assert parse_json(json.dumps(many))["property9999"] == 9999


def test_property_found_among_ten_thousand() -> None:
    """Each of many properties is found by name, none that is not there, nested objects of equal names apart."""
    names = [f"f{i}" for i in range(3000)] + ["x" * 300, "é", ""]
    document = Document.from_json(json.dumps({name: {"v": i} for i, name in enumerate(names)}))
    for i, name in enumerate(names):
        assert document[name]["v"] == i
        assert name + "!" not in document
    assert list(document) == names


def test_duplicate_names_last_value_first_place() -> None:
    """A name given twice keeps its first place and its last value, also when it is written with escapes."""
    assert back('{"a":1,"b":2,"a":3}') == b'{"a":3,"b":2}'
    assert back('{"a":1,"\\u0061":[2],"b":{"a":5,"a":6}}') == b'{"a":[2],"b":{"a":6}}'
    assert back('[{"a":1,"b":2},{"a":1,"b":2,"a":3},{"a":1,"b":2}]') == b'[{"a":1,"b":2},{"a":3,"b":2},{"a":1,"b":2}]'
    for text in ('{"a":1,"b":2,"a":3}', '{"a":1,"\\u0061":2}', '[{"x":{"a":1,"a":1}}]'):
        with pytest.raises(JsonError, match="given twice"):
            blittable_bytes(text, unique_names=True)
    assert blittable_bytes('{"a":{"a":1},"b":{"a":1}}', unique_names=True)


@pytest.mark.parametrize(
    ("text", "offset", "reason"),
    [
        (b"", 0, "the text ends where a value was expected"),
        (b"  ", 2, "the text ends where a value was expected"),
        (b"[1,]", 3, r"found '\]' where a value was expected"),
        (b"[1 2]", 3, r"found a digit where a comma or \] was expected"),
        (b'{"a" 1}', 5, "found a digit where a colon was expected"),
        (b"{a:1}", 1, "found a letter where a property name in quotes was expected"),
        (b'{"a":1,}', 7, "found '}' where a property name in quotes was expected"),
        (b'{"a":1', 6, "the text ends where a comma or } was expected"),
        (b"NaN", 0, "found a letter where a value was expected"),
        (b"-Infinity", 1, "a digit after the minus sign"),
        (b"01", 0, "a number that begins with 0"),
        (b"1.", 2, "a digit after the decimal point"),
        (b"1e", 2, "a digit of the exponent"),
        (b"nul", 3, "true, false or null"),
        (b"nuLl", 2, "true, false or null"),
        (b'"abc', 4, "the text ends where the end of the string was expected"),
        (b'"a\x01"', 2, "a control character in a string"),
        (b'"a\\x"', 3, "after a backslash"),
        (b'"\\u12G4"', 1, "four hexadecimal digits"),
        (b'"\\ud800"', 1, "a high surrogate without the low one"),
        (b'"\\udc00"', 1, "a low surrogate without the high one"),
        (b'"ab\xff"', 3, "not UTF-8"),
        (b'"' + b"x" * 100 + b"\xc3\x28" + b'"', 101, "not UTF-8"),
        (b"1 1", 2, "the end of the text"),
        (b"\xef\xbb\xbf{}", 0, "a character beyond ASCII"),
        (b'{"a":1}x', 7, "found a letter where the end of the text was expected"),
        (b'"a\\', 3, "the end of the string"),
        (b'["\x00"]', 2, "a control character in a string"),
        (b"\x00", 0, "found a control character"),
    ],
)
def test_error_names_place_and_reason(text: bytes, offset: int, reason: str) -> None:
    """A refused text is refused with the byte position and what was found and expected, however it is padded."""
    for before in (b"", b" " * 5, b"\n" * 40):
        with pytest.raises(JsonError, match=reason) as refused:
            parse_json(before + text)
        assert refused.value.offset == offset + len(before)


def test_depth_has_its_bound() -> None:
    """128 levels are read, 129 are refused at the bracket that is too much."""
    assert back("[" * 128 + "]" * 128) == b"[" * 128 + b"]" * 128
    assert back('{"a":' * 128 + "1" + "}" * 128)
    for text, offset in (("[" * 129 + "]" * 129, 128), ("[" * 1_000_000, 128), ('{"a":' * 129, 128 * 5)):
        with pytest.raises(TooLarge, match="128 levels") as refused:
            parse_json(text)
        assert refused.value.offset == offset


def test_sizes_have_their_bounds() -> None:
    """Properties of one object, names, strings and documents beyond their limits are refused by name."""
    assert back(json.dumps({str(i): 0 for i in range(100_000)}))
    with pytest.raises(TooLarge, match="100,000 properties"):
        parse_json(json.dumps({str(i): 0 for i in range(100_001)}))
    assert back(json.dumps({"x" * 65_535: 1}))
    with pytest.raises(TooLarge, match="65,535 bytes"):
        parse_json(json.dumps({"x" * 65_536: 1}))
    with pytest.raises(TooLarge, match="65,535 bytes"):
        parse_json('{"\\n' + "x" * 65_535 + '":1}')
    with pytest.raises(TooLarge, match="32 MB"):
        parse_json('"' + "x" * (32 << 20) + 'x"')
    assert len(blittable_bytes('"' + "x" * (32 << 20) + '"')) > 32 << 20
    with pytest.raises(TooLarge, match="64 MB"):
        parse_json("[" + ",".join(['"' + "x" * (30 << 20) + '"'] * 3) + "]")


def test_prefix_reads_one_value() -> None:
    """With the flag prefix a value ends where it ends, and the next can be read from there."""
    codec = JsonCodec()
    text = b'{"a":1},[2], "x",5 ,true'
    seen = []
    position = 0
    while position < len(text):
        consumed, _ = codec.parse(memoryview(text)[position:], FLAGS["prefix"])
        seen.append(codec.write(codec.document()))
        position += consumed
        position += len(text[position:]) - len(text[position:].lstrip(b" ,"))
    assert seen == [b'{"a":1}', b"[2]", b'"x"', b"5", b"true"]
    with pytest.raises(JsonError):
        codec.parse(b"", FLAGS["prefix"])


def test_document_drops_what_the_server_owns() -> None:
    """@metadata loses the server's properties in any letter case, keeps the rest, and tells the collection."""
    codec = JsonCodec()
    text = (
        b'{"Name":"x","@id":"stays","@metadata":{"@id":"users/1","@Change-Vector":"A:1","@flags":[{"Name":1,"new":2}],'
        b'"@collection":"Users","@last-modified":{"deep":{"@collection":"No"}},"@expires":"2030","user":{"@id":1},'
        b'"@attachments":[],"@counters":[1],"@timeseries":null,"@index-score":1.5,"@spatial":0,"@ETAG":3,'
        b'"\\u0040projection":true,"@flagsy":1,"new":3},"deep":{"@metadata":{"@id":2}},"new":4}'
    )
    codec.parse(text, FLAGS["document"])
    validate(codec.document())
    assert codec.collection() == "Users"
    assert codec.write(codec.document()) == (
        b'{"Name":"x","@id":"stays","@metadata":{"@collection":"Users","@expires":"2030","user":{"@id":1},"@flagsy":1,'
        b'"new":3},"deep":{"@metadata":{"@id":2}},"new":4}'
    )
    kept = codec.document()
    codec.parse(text, FLAGS["document"])
    assert codec.document() == kept
    for text, collection in (
        (b"{}", None),
        (b'{"@metadata":{}}', None),
        (b'{"@metadata":{"@collection":5}}', None),
        (b'{"@metadata":{"@id":"only"}}', None),
        (b'{"@metadata":{"@collection":"A"},"@metadata":{"@collection":"B"}}', "B"),
    ):
        codec.parse(text, FLAGS["document"])
        validate(codec.document())
        assert codec.collection() == collection
    assert codec.write(codec.document()) == b'{"@metadata":{"@collection":"B"}}'
    for text in (b"[]", b"5", b"", b'"x"', b'{"@metadata":1}', b'{"@metadata":[]}', b'{"@metadata":{"@id":}}'):
        with pytest.raises(JsonError):
            codec.parse(text, FLAGS["document"])


def test_metadata_is_laid_over_stored_documents() -> None:
    """The overlay's fields replace stored ones of their names, come last, are escaped; a missing @metadata is made."""
    codec = JsonCodec()
    codec.parse(b'{"a":1,"@metadata":{"@collection":"Users","@flags":"old","k":[1]},"b":{"@metadata":{}}}')
    stored = codec.document()
    out = codec.write_document(
        stored, id=b'users/"1"', change_vector=b"A:1", flags=b"HasCounters", last_modified=b"2026", more=b'"@x":true'
    )
    assert out == (
        b'{"a":1,"b":{"@metadata":{}},"@metadata":{"@collection":"Users","k":[1],"@id":"users/\\"1\\"",'
        b'"@change-vector":"A:1","@flags":"HasCounters","@last-modified":"2026","@x":true}}'
    )
    assert codec.write_document(stored, id=b"u", metadata_only=True) == (
        b'{"@metadata":{"@collection":"Users","@flags":"old","k":[1],"@id":"u"}}'
    )
    for text in (b"{}", b'{"x":0}', b'{"@metadata":{}}', b'{"@metadata":7}'):
        codec.parse(text)
        out = codec.write_document(codec.document(), id=b"i")
        assert json.loads(out)["@metadata"] == {"@id": "i"}
        assert json.loads(codec.write_document(codec.document()))["@metadata"] == {}
    codec.parse(b"[1]")
    with pytest.raises(EngineError):
        codec.write_document(codec.document())


def test_doubles_are_read_exactly() -> None:
    """The double of a decimal, an integer or a number text is the nearest one, as Python's float gives it."""
    rand = random.Random(7)
    texts = ["0.1", "1e400", "-1e400", "5e-324", "2.4703282292062327e-324", "9007199254740993", "0.30000000000000004"]
    for _ in range(3000):
        digits = str(rand.randrange(10 ** rand.randrange(1, 19)))
        cut = rand.randrange(len(digits))
        texts.append(f"{rand.choice(['', '-'])}{digits[:cut].lstrip('0') or '0'}.{digits[cut:]}")
        texts.append(repr(rand.uniform(-1, 1) * 10.0 ** rand.randrange(-30, 30)))
    for text in texts:
        assert double_of(text) == float(text), text


def test_python_numbers() -> None:
    """Integers stay int; fractions become float, or Decimal where a float would lose digits or magnitude."""
    made = parse_json("[1,-0,123456789012345678901234567890,1.50,0.1234567890123456789,1e400,-1e-400,1e5,0e999]")
    assert made.to_python() == [
        1, 0, 123456789012345678901234567890, 1.5, Decimal("0.1234567890123456789"), Decimal("1e400"),
        Decimal("-1e-400"), 100000.0, 0.0,
    ]  # fmt: skip
    assert [type(item) for item in made] == [int, int, int, float, Decimal, Decimal, Decimal, float, float]
    assert parse_json("9" * 5000) == Decimal("9" * 5000)
    assert parse_json("[1e99999999999999999999]")[0] == float("inf")


def test_random_damage_to_text_never_breaks_the_reader() -> None:
    """Texts with bytes changed, cut or doubled are read like Python's json reads them, or refused by both."""
    rand = random.Random(99)
    source = json.dumps(
        {"a": [1, 2.5, "x\n\u00e9", None], "b": {"c": True, "d": "\U0001f600" * 9}, "e": "long" * 30, "f": -12.5e3}
    ).encode()
    codec = JsonCodec()
    for _ in range(4000):
        text = bytearray(source)
        for _ in range(rand.randrange(1, 4)):
            kind = rand.randrange(3)
            place = rand.randrange(len(text))
            if kind == 0:
                text[place] = rand.choice(b'"\\{}[]:,0123456789.eE+- tfn\x00\x1f\x80\xc3\xff\n')
            elif kind == 1:
                del text[place : place + rand.randrange(1, 9)]
            else:
                text[place:place] = text[place : place + rand.randrange(1, 9)]
            if not text:
                break
        try:
            expected = json.loads(bytes(text).decode("utf-8"), parse_constant=lambda name: 1 / 0)
            json.dumps(expected, ensure_ascii=False).encode("utf-8")
        except (ValueError, ZeroDivisionError):
            with pytest.raises(JsonError):
                codec.parse(text)
            continue
        codec.parse(text)
        validate(codec.document())
        assert json.loads(codec.write(codec.document())) == expected
