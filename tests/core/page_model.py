"""A plain model of an environment's pages, and a random workload that keeps both in step.

Pages are slotted leaves: what counts is [64, lower) and [upper, 8192); the gap between means nothing and is not
compared. Runs are compared over their value. Everything follows from the seed.
"""

import random
import struct
from dataclasses import dataclass, field

from pynori_core.env import Env

PAGE_SIZE = 8192
HEADER_SIZE = 64
LOWER_OFFSET = 34
VALUE_SIZE_OFFSET = 48
LEAF = 4
RUN = 5
PLAIN = 2  # a page type without a gap: all of its bytes count


@dataclass(slots=True)
class Page:
    """One leaf as the model knows it."""

    lower: int = HEADER_SIZE
    upper: int = PAGE_SIZE
    data: bytearray = field(default_factory=lambda: bytearray(PAGE_SIZE))

    def copy(self) -> "Page":
        return Page(self.lower, self.upper, bytearray(self.data))


@dataclass(slots=True)
class Model:
    """All pages of an environment: leaves by number, values of runs by first page."""

    leaves: dict[int, Page] = field(default_factory=dict)
    runs: dict[int, tuple[int, bytes]] = field(default_factory=dict)

    def copy(self) -> "Model":
        return Model({number: page.copy() for number, page in self.leaves.items()}, dict(self.runs))


def check_model(txn: object, model: Model) -> None:
    """Every page of the model reads back from the transaction as the model has it."""
    for number, page in model.leaves.items():
        data = txn.page(number)
        lower, upper = struct.unpack_from("<HH", data, LOWER_OFFSET)
        assert (lower, upper) == (page.lower, page.upper), f"page {number}"
        assert data[HEADER_SIZE:lower] == page.data[HEADER_SIZE:lower], f"page {number}, front"
        assert data[upper:] == page.data[upper:], f"page {number}, back"
    for number, (pages, value) in model.runs.items():
        data = txn.page(number, pages)
        assert data[HEADER_SIZE : HEADER_SIZE + len(value)] == value, f"run {number}"


def change_leaf(txn: object, model: Model, number: int, dice: random.Random) -> None:
    """Move the gap, and overwrite bytes on both sides of it."""
    page = model.leaves[number]
    if dice.random() < 0.5:
        page.lower = dice.randrange(HEADER_SIZE, 4000)
        page.upper = dice.randrange(4200, PAGE_SIZE + 1)
        txn.patch(number, LOWER_OFFSET, struct.pack("<HH", page.lower, page.upper))
        # What was gap may hold anything now: it is written anew, as trees do.
        for start, end in ((HEADER_SIZE, page.lower), (page.upper, PAGE_SIZE)):
            if dice.random() < 0.3:
                page.data[start:end] = bytes([dice.randrange(256)]) * (end - start)
            txn.patch(number, start, bytes(page.data[start:end]))
    for _ in range(dice.randrange(1, 5)):
        areas = [area for area in ((HEADER_SIZE, page.lower), (page.upper, PAGE_SIZE)) if area[0] < area[1]]
        if not areas:
            return
        start, end = dice.choice(areas)
        offset = dice.randrange(start, end)
        piece = dice.randbytes(min(dice.randrange(1, 200), end - offset))
        page.data[offset : offset + len(piece)] = piece
        txn.patch(number, offset, piece)


def add_leaf(txn: object, model: Model, dice: random.Random) -> None:
    number = txn.allocate(type=LEAF)
    assert number not in model.leaves
    model.leaves[number] = Page()
    change_leaf(txn, model, number, dice)


def add_run(txn: object, model: Model, dice: random.Random) -> None:
    pages = dice.choice((1, 2, 3, 5, 9, 40))
    value = dice.randbytes(pages * PAGE_SIZE - HEADER_SIZE - dice.randrange(PAGE_SIZE // 2))
    number = txn.allocate(pages, RUN)
    txn.patch(number, VALUE_SIZE_OFFSET, struct.pack("<Q", len(value)))
    whole = bytes(HEADER_SIZE) + value
    for index in range(pages):
        piece = whole[index * PAGE_SIZE : (index + 1) * PAGE_SIZE]
        txn.patch(number + index, HEADER_SIZE if index == 0 else 0, piece[HEADER_SIZE:] if index == 0 else piece)
    model.runs[number] = (pages, value)


def change(txn: object, model: Model, dice: random.Random, steps: int) -> None:
    """A few random changes to both."""
    for _ in range(steps):
        kind = dice.random()
        if kind < 0.15 or not model.leaves:
            add_leaf(txn, model, dice)
        elif kind < 0.22:
            add_run(txn, model, dice)
        elif kind < 0.30 and len(model.leaves) > 5:
            number = dice.choice(sorted(model.leaves))
            del model.leaves[number]
            txn.free(number)
        elif kind < 0.36 and model.runs:
            number = dice.choice(sorted(model.runs))
            pages, _ = model.runs.pop(number)
            txn.free(number, pages)
        else:
            change_leaf(txn, model, dice.choice(sorted(model.leaves)), dice)


def random_txn(env: Env, model: Model, dice: random.Random) -> Model:
    """One write transaction with savepoints, committed or aborted; returns the model as it is then."""
    changed = model.copy()
    with env.write() as txn:
        change(txn, changed, dice, dice.randrange(1, 12))
        for _ in range(dice.choice((0, 0, 1, 3))):
            txn.savepoint()
            tried = changed.copy()
            runs = set(tried.runs)
            change(txn, tried, dice, dice.randrange(1, 5))
            if dice.random() < 0.5 and set(tried.runs) >= runs:
                txn.release()
                changed = tried
            else:
                txn.rollback()
        check_model(txn, changed)
        if dice.random() < 0.15:
            txn.abort()
            return model
    return changed
