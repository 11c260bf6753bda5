"""Random documents and random questions about them, small enough in variety that conditions often hold."""

from __future__ import annotations

import random
from typing import Any

from tests.queries.oracle.naive import Document, Question

WORDS = ["alpha", "Alpha", "beta", "Gamma", "delta", "été", "Zürich", "a b", "it's", "", "10", "9"]
NUMBERS = [-7, 0, 1, 2, 2.5, 3, 10, 1e10, 2**53, 2**53 + 1, -0.25]
PATHS = ["name", "age", "flag", "where.city", "tags[]", "lines[].product", "lines[].price", "odd"]
SORTED = ["name", "age", "flag", "where.city", "odd"]


class Chance:
    """A source of documents and questions that one seed repeats."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def document(self) -> Document:
        pick = self.random
        made: Document = {"name": pick.choice(WORDS), "age": pick.choice(NUMBERS), "flag": pick.random() < 0.5}
        made["where"] = pick.choice([None, {}, {"city": pick.choice(WORDS)}, {"city": None}])
        made["tags"] = [pick.choice([*WORDS, *NUMBERS]) for _ in range(pick.randrange(4))]
        made["lines"] = [
            {"product": pick.choice(WORDS), "price": pick.choice(NUMBERS)} for _ in range(pick.randrange(3))
        ]
        made["odd"] = pick.choice([None, True, False, *WORDS[:3], *NUMBERS[:3], [None, 1], "null"])
        for name in list(made):
            if pick.random() < 0.15:
                del made[name]
        return made

    def value(self, path: str) -> Any:
        pick = self.random
        if path in ("age", "lines[].price"):
            return pick.choice(NUMBERS) if pick.random() < 0.9 else None
        if path == "flag":
            return pick.random() < 0.5
        if path == "odd":
            return pick.choice([None, True, False, *WORDS[:3], *NUMBERS[:3]])
        if path == "tags[]" and pick.random() < 0.4:
            return pick.choice(NUMBERS)
        return pick.choice(WORDS)

    def condition(self, ids: list[str], depth: int = 3) -> Any:
        pick = self.random
        kind = pick.random()
        if depth and kind < 0.3:
            operands = [self.condition(ids, depth - 1) for _ in range(pick.randrange(2, 4))]
            return (pick.choice(["and", "or"]), *operands)
        if depth and kind < 0.38:
            return ("not", self.condition(ids, depth - 1))
        if depth and kind < 0.42:
            return ("exact", self.leaf())
        if kind < 0.46 and ids:
            return ("id", [pick.choice([id.upper(), id, "things/none"]) for id in pick.sample(ids, min(3, len(ids)))])
        if kind < 0.49:
            return ("id prefix", pick.choice(["things/1", "THINGS/", "x"]))
        return self.leaf()

    def leaf(self) -> Any:
        pick = self.random
        path = pick.choice(PATHS)
        kind = pick.choice(["=", "=", "!=", "<", "<=", ">", ">=", "between", "in", "all in", "exists", "text"])
        if kind == "exists":
            return (kind, path)
        if kind == "text":
            return (pick.choice(["startsWith", "endsWith"]), path, pick.choice(["a", "A", "al", "TA", "1", "ü", "a "]))
        if kind in ("in", "all in"):
            return (kind, path, [self.value(path) for _ in range(pick.randrange(1, 4))])
        if kind == "between":
            return (kind, path, self.value(path), self.value(path))
        return (kind, path, self.value(path))

    def question(self, ids: list[str]) -> Question:
        pick = self.random
        if pick.random() < 0.1:
            return Question(group=pick.choice([("name",), ("flag",), ("name", "flag")]), total=pick.choice(["", "age"]))
        where = None if pick.random() < 0.1 else self.condition(ids)
        paths = pick.sample(SORTED, pick.choice([0, 1, 1, 2]))
        order = tuple((path, pick.random() < 0.5) for path in paths)
        skip, take = (pick.randrange(5), pick.randrange(1, 20)) if pick.random() < 0.5 else (0, None)
        return Question(where, order, skip, take)
