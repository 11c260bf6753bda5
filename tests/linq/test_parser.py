"""Every text becomes a definition or a CompilationError, never anything else."""

from __future__ import annotations

import random

import pytest
from pynori_core.blittable import Document
from pynori_core.errors import ExpressionError

from pynori.errors import CompilationError
from pynori.linq.lower import parse_map, parse_reduce
from pynori.linq.parser import parse
from tests.linq.test_lower import BOAT, MAPS, REFUSED

PIECES = (
    "from ", "in ", "select ", "let ", "where ", "group ", "by ", "into ", "new ", "{", "}", "(", ")", "[", "]", ",",
    ".",
    "=>", "=", "==", "?", ":", "??", "?.", "-", "+", "!", "docs", "x", "g.Key", "1", "1M", "\"a\"", "'c'", "(double?)",
    "(DateTime)", "Select", "Sum", "Id", "LoadDocument", "null", "typeof(", "<", ">", ";", "\n", "@", "\\", "\ud800",
    "ä",
)  # fmt: skip


def tried(text: str) -> bool:
    """Whether the text is a definition; its program is run, too."""
    try:
        program = parse_map(text).program
    except CompilationError as error:
        assert "line" in str(error) or "characters" in str(error)
        return False
    try:
        program.run(Document.from_python(BOAT), id="boats/1")
    except ExpressionError as error:
        assert "line" in str(error)
    return True


@pytest.mark.parametrize("seed", range(6))
def test_broken_definitions(seed: int) -> None:
    """Definitions with pieces cut out, doubled, swapped in or added compile or are refused."""
    rand = random.Random(seed)
    texts = [text for text, _ in MAPS] + [row[0] for row in REFUSED]
    compiled = 0
    for _ in range(250):
        text = rand.choice(texts)
        for _ in range(rand.randrange(1, 4)):
            at = rand.randrange(len(text) + 1)
            end = min(len(text), at + rand.randrange(8))
            piece = rand.choice(("", text[at:end] * 2, rand.choice(PIECES), rand.choice(PIECES)))
            text = text[:at] + piece + text[end:]
        compiled += tried(text)
    assert compiled > 5


@pytest.mark.parametrize("seed", range(4))
def test_piles_of_pieces(seed: int) -> None:
    """Words of the language in any order are refused, without any other exception."""
    rand = random.Random(100 + seed)
    for _ in range(300):
        pieces = "".join(rand.choice(PIECES) for _ in range(rand.randrange(12)))
        tried("from x in docs select new { a = " + pieces + "}")
        tried("".join(rand.choice(PIECES) for _ in range(rand.randrange(20))))


@pytest.mark.parametrize(
    "middle",
    [
        "(" * 5000 + "1" + ")" * 5000,
        "!" * 5000 + "true",
        "1" + " + 1" * 5000,
        "x" + ".y" * 5000,
        "x" + "[0]" * 500,
        "1 ?? " * 500 + "1",
        "true ? " * 500 + "1" + " : 2" * 500,
        "new { a = " * 500 + "1" + " }" * 500,
        "(double)" * 500 + "1",
        "x.a.Select(y => " * 200 + "1" + ")" * 200,
        "(" * 100,
        "new[] { " + "1, " * 2000 + "}",
        "y => " * 500 + "1",
    ],
    ids=range(13),
)
def test_depth_and_length_are_bounded(middle: str) -> None:
    """What is nested too deep or too long is refused, and does not exhaust the stack."""
    with pytest.raises(CompilationError):
        parse_map(f"from x in docs select new {{ a = {middle} }}")


def test_texts_have_a_bound() -> None:
    """A definition is at most 256 K characters; members of an object at most a thousand."""
    with pytest.raises(CompilationError, match="characters"):
        parse_map("from x in docs select new { x.a }" + " " * 300_000)
    members = ", ".join(f"a{number} = x.a" for number in range(1001))
    with pytest.raises(CompilationError, match="1000 members"):
        parse_map(f"from x in docs select new {{ {members} }}")


def test_casts_and_comparisons_are_told_apart() -> None:
    """`(a) - b` is a subtraction, `(double) - b` a cast; `a < b` no type argument."""
    for text, wanted in (
        ("(x.knots) - 2", 10), ("(double) - x.knots", -12.0), ("x.knots < 13", True),
        ("(x.knots < 13) && (2 > 1)", True),
        ("x.crew.Select<string>(c => c).Count<string>()", 2), ("((decimal ? ) x.knots) + 1", 13),
        ("(IEnumerable<string>) x.crew", ["Ole", "Mia"]), ("(System.Double) x.knots / 8", 1.5), ("x.knots>5?1:0", 1),
        ("2 + 3 * 4 - 6 / 3", 12), ("(2 + 3) * 4 == 20 || false && true", True), ("x.gone ?? x.none ?? 7", 7),
        ("-x.knots + +3", -9), ("!(x.knots == 12)", False), ("10 - 4 - 3", 3), ("x?.owner?.name", "Ida"),
        ("true ? false ? 1 : 2 : 3", 2), ("0x1F + 1_000", 1031), ("1.5e2 + .5", 150.5),
        ("'a' + \"b\\u00e4\\n\"", "abä\n"),
        ("@\"a\"\"b\\\"", "a\"b\\"),
    ):  # fmt: skip
        definition = parse_map(f"from x in docs.Boats select new {{ a = {text} }}")
        assert definition.program.run(Document.from_python(BOAT), id="boats/1") == [{"a": wanted}], text


def test_reduces_of_random_pieces() -> None:
    """Reduces too."""
    rand = random.Random(7)
    text = "from result in results group result by result.name into g select new { name = g.Key, n = g.Sum(x => x.n) }"
    for _ in range(300):
        at = rand.randrange(len(text))
        broken = text[:at] + rand.choice(PIECES) + text[at + rand.randrange(6) :]
        try:
            definition = parse_reduce(broken)
        except CompilationError:
            continue
        try:
            definition.program.run([Document.from_python({"name": "a", "n": 1})])
        except ExpressionError:
            continue


def test_the_parser_alone() -> None:
    """Places are those of the text, counted from its begin."""
    node = parse("  docs.Users", "Maps")
    assert node.place.offset == 6
