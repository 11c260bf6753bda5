"""Random JSON texts from a seed: escapes, surrogates, numbers at the edges, deep nesting, and damage to all of it.

python -m tests.core.json_texts [--texts N] [--seed N]    judge N of them against Python's json and orjson
"""

import argparse
import random
import time
from collections import Counter

from tests.core.json_oracle import judge

NUMBERS = (
    "0",
    "-0",
    "-0.0",
    "0.0",
    "1",
    "-1",
    "1.0",
    "0e0",
    "0E-0",
    "1e1",
    "1E+2",
    "-1.5e-3",
    "127",
    "128",
    "255",
    "256",
    "2147483647",
    "-2147483648",
    "2147483648",
    "4294967295",
    "9007199254740991",
    "9007199254740993",
    "-9007199254740993",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "999999999999999999",
    "1000000000000000000",
    "0.1",
    "0.30000000000000004",
    "123456789012345.678",
    "1e22",
    "1e23",
    "1.7976931348623157e308",
    "1.7976931348623159e308",
    "1e309",
    "-1e400",
    "5e-324",
    "2e-324",
    "4.9e-325",
    "1e-400",
    "2.2250738585072011e-308",
    "2.2250738585072014e-308",
    "9" * 40,
    "0." + "0" * 30 + "1",
    "1" + "0" * 400,
    "1e0000001",
)
NO_NUMBERS = (
    "01",
    "-01",
    "1.",
    ".5",
    "+1",
    "1e",
    "1e+",
    "-",
    "--1",
    "0x1",
    "1_0",
    "NaN",
    "Infinity",
    "-Infinity",
    "1.e1",
)
ESCAPES = ('\\"', "\\\\", "\\/", "\\b", "\\f", "\\n", "\\r", "\\t")
NO_ESCAPES = ("\\a", "\\u12", "\\u12G4", "\\x41", "\\'", "\\U00000041", "\n", "\t", "\0", "\\")
PIECES = (
    b"[",
    b"]",
    b"{",
    b"}",
    b",",
    b":",
    b'"',
    b"\\",
    b"null",
    b"tru",
    b"\xff",
    b"\xed\xa0\x80",
    b"\xc0\x80",
    b"\x00",
    b"\xef\xbb\xbf",
    b"1",
    b"-",
    b"e",
    b".",
    b" ",
    b"\xf4\x90\x80\x80",
    b"\xe2\x82",
    b"//",
    b"\x0c",
    b"\xc2\xa0",
)
SPACE = ("", "", "", "", " ", "\n", "\t", "\r", "  \r\n\t ")
NAMES = ("a", "b", "name", "@metadata", "@id", "", "Ärger", "\\u0061", "a\\u0000b", "x" * 40)
DEPTHS = (1, 2, 20, 126, 127, 128, 129, 130, 200)
DAMAGED = 0.3  # share of texts that are damaged after they were made
WRONG = 0.004  # share of strings and numbers that are none


class Texts:
    """A sequence of texts; the same seed makes the same ones."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def next(self) -> bytes:
        rand = self._random
        kind = rand.random()
        if kind < 0.02:
            text = self.nested(rand.choice(DEPTHS))
        else:
            text = self.space() + self.value(rand.randrange(1, 6)) + self.space()
        data = text.encode("utf-8", "surrogatepass")
        return self.damage(data) if rand.random() < DAMAGED else data

    def space(self) -> str:
        return self._random.choice(SPACE)

    def nested(self, levels: int) -> str:
        rand = self._random
        kinds = [rand.random() < 0.5 for _ in range(levels)]
        opening = "".join('{"a":' if kind else "[" for kind in kinds)
        return opening + self.value(0) + "".join("}" if kind else "]" for kind in reversed(kinds))

    def value(self, levels: int) -> str:
        rand = self._random
        kind = rand.randrange(6 if levels else 4)
        if kind == 0:
            return rand.choice(("null", "true", "false"))
        if kind == 1:
            return self.number()
        if kind < 4:
            return self.string()
        space, items = self.space, rand.choice((0, 1, 2, 3, 5, 12))
        if kind == 4:
            return "[" + ",".join(space() + self.value(levels - 1) + space() for _ in range(items)) + "]"
        pairs = (f"{space()}{self.name()}{space()}:{space()}{self.value(levels - 1)}" for _ in range(items))
        return "{" + ",".join(pairs) + space() * (items == 0) + "}"

    def name(self) -> str:
        rand = self._random
        return f'"{rand.choice(NAMES)}"' if rand.random() < 0.7 else self.string()

    def number(self) -> str:
        rand = self._random
        kind = rand.random()
        if kind < WRONG:
            return rand.choice(NO_NUMBERS)
        if kind < 0.4:
            return rand.choice(NUMBERS)
        if kind < 0.6:
            return str(rand.randrange(-(1 << rand.randrange(1, 70)), 1 << rand.randrange(1, 70)))
        if kind < 0.8:
            return repr(rand.uniform(-1, 1) * 10.0 ** rand.randrange(-320, 308))
        digits = "".join(rand.choices("0123456789", k=rand.randrange(1, 22)))
        exponent = rand.choice(("", "", "e", "E", "e-", "E+"))
        return f"{rand.randrange(10)}.{digits}" + (exponent and exponent + str(rand.randrange(350)))

    def string(self) -> str:
        return '"' + "".join(self.piece() for _ in range(self._random.choice((0, 1, 2, 3, 8, 40)))) + '"'

    def piece(self) -> str:
        rand = self._random
        kind = rand.random()
        if kind < WRONG / 4:
            return rand.choice(NO_ESCAPES)
        if kind < WRONG / 2:
            return f"\\u{rand.randrange(0xD800, 0xE000):04x}"
        if kind < 0.6:
            return chr(rand.choice((0x20, 0x21, *range(0x23, 0x5B), *range(0x5D, 0x80))))
        if kind < 0.7:
            return rand.choice(ESCAPES)
        if kind < 0.8:
            return rand.choice(("\\u%04x", "\\u%04X")) % rand.randrange(0xD800)
        if kind < 0.86:
            return f"\\u{rand.randrange(0xD800, 0xDC00):04X}\\u{rand.randrange(0xDC00, 0xE000):04x}"
        limit = rand.choice((0x800, 0xD800, 0x110000))
        point = rand.randrange(0x80, limit)
        return chr(point) if not 0xD800 <= point < 0xE000 else "\\u2028"

    def damage(self, data: bytes) -> bytes:
        rand = self._random
        for _ in range(rand.randrange(1, 3)):
            at = rand.randrange(len(data) + 1)
            kind = rand.randrange(5)
            if kind == 0:
                data = data[:at] + rand.choice(PIECES) + data[at:]
            elif kind == 1:
                data = data[:at] + data[at + rand.randrange(1, 4) :]
            elif kind == 2:
                data = data[:at] + bytes([rand.randrange(256)]) + data[at + 1 :]
            elif kind == 3:
                data = data[:at]
            else:
                data = data + rand.choice(PIECES)
        return data


def judge_texts(seed: int, count: int) -> Counter[str]:
    """Judges `count` texts of that seed; how many were equal, refused and so on."""
    texts = Texts(seed)
    return Counter(judge(texts.next()) for _ in range(count))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--texts", type=int, default=100_000)
    arguments.add_argument("--seed", type=int, default=1)
    given = arguments.parse_args()
    start = time.monotonic()
    outcomes = judge_texts(given.seed, given.texts)
    listed = ", ".join(f"{name} {count}" for name, count in sorted(outcomes.items()))
    print(f"{given.texts} texts of seed {given.seed} in {time.monotonic() - start:.1f} s: {listed}")


if __name__ == "__main__":
    main()
