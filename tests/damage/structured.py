"""Damage with a shape: pages zeroed, swapped, stale, copied, foreign; files cut, missing, renamed; headers.

Each kind makes a case from the sample and a random number generator. What a case may come to is part of the kind: a
page in a wrong place or of another environment must always be noticed. A page of an older checkpoint in its own place
carries everything that its reader can ask for; that it does no harm beyond being old is all that is asked here.
"""

import random
from collections.abc import Callable

from tests.damage.runner import Case
from tests.damage.sample import DATA, HEADER_PAGES, PAGE_SIZE, SECTOR_SIZE, Files, Sample

Kind = Callable[["Structured"], Case]


class Structured:
    """Cases by number; each is drawn from a seed of its own."""

    def __init__(self, sample: Sample, foreign: Sample, seed: int) -> None:
        self.sample = sample
        self.foreign = foreign         # the same database in another environment
        self.seed = seed
        self.dice = random.Random(seed)
        self.journal = sample.records[0].journal

    def case(self, number: int) -> Case:
        self.dice = random.Random(f"{self.seed} {number}")
        kind = KINDS[number % len(KINDS)]
        case = kind(self)
        case.name = f"{kind.__name__}: {case.name}"
        return case

    # ---- tools

    def page(self) -> int:
        """A page that only the data file holds."""
        return self.dice.choice(sorted(self.sample.pages))

    def any_page(self) -> int:
        return self.dice.choice(sorted([*self.sample.pages, *self.sample.covered]))

    def with_page(self, page: int, content: bytes, name: str) -> Case:
        """The sample with another content of one page."""
        data = bytearray(self.sample.files[DATA])
        before = bytes(data[page * PAGE_SIZE : (page + 1) * PAGE_SIZE])
        data[page * PAGE_SIZE : (page + 1) * PAGE_SIZE] = content
        harmless = page in self.sample.covered or before == content
        return Case(f"page {page} {name}", {**self.sample.files, DATA: bytes(data)}, harmless)

    def with_file(self, name: str, content: bytes | None, what: str, harmless: bool = False) -> Case:
        files: Files = {**self.sample.files, name: content or b""}
        if content is None:
            del files[name]
        return Case(f"{name} {what}", files, harmless)


def page_of(files: Files, page: int) -> bytes:
    return files[DATA][page * PAGE_SIZE : (page + 1) * PAGE_SIZE]


# ---- pages

def zeroed(make: Structured) -> Case:
    return make.with_page(make.any_page(), bytes(PAGE_SIZE), "zeroed")


def garbage(make: Structured) -> Case:
    return make.with_page(make.any_page(), make.dice.randbytes(PAGE_SIZE), "garbage")


def sector_lost(make: Structured) -> Case:
    """512 bytes are zeros, or garbage, or those of the page's older image."""
    page, offset = make.any_page(), make.dice.randrange(0, PAGE_SIZE, 512)
    content = bytearray(page_of(make.sample.files, page))
    replacement = make.dice.choice([bytes(512), make.dice.randbytes(512),
                                    page_of(make.sample.older, page)[offset : offset + 512]])
    content[offset : offset + 512] = replacement
    return make.with_page(page, bytes(content), f"sector at {offset}")


def torn(make: Structured) -> Case:
    """The front is of the older image."""
    page, offset = make.any_page(), make.dice.randrange(512, PAGE_SIZE, 512)
    content = page_of(make.sample.older, page)[:offset] + page_of(make.sample.files, page)[offset:]
    return make.with_page(page, content, f"torn at {offset}")


def misdirected(make: Structured) -> Case:
    """Another page's bytes in this place."""
    target, source = make.any_page(), make.any_page()
    return make.with_page(target, page_of(make.sample.files, source), f"is a copy of page {source}")


def shifted(make: Structured) -> Case:
    """Written half a page too far: two pages are hit."""
    page = make.page()
    data = bytearray(make.sample.files[DATA])
    at = page * PAGE_SIZE + make.dice.randrange(512, PAGE_SIZE, 512)
    data[at : at + PAGE_SIZE] = page_of(make.sample.files, page)
    return Case(f"page {page} at offset {at}", {**make.sample.files, DATA: bytes(data)}, False)


def swapped(make: Structured) -> Case:
    first, second = make.page(), make.any_page()
    data = bytearray(make.sample.files[DATA])
    for target, source in ((first, second), (second, first)):
        data[target * PAGE_SIZE : (target + 1) * PAGE_SIZE] = page_of(make.sample.files, source)
    return Case(f"pages {first} and {second}", {**make.sample.files, DATA: bytes(data)}, first == second)


def foreign(make: Structured) -> Case:
    """The page of the same number of another environment, which is otherwise the same."""
    page = make.any_page()
    return make.with_page(page, page_of(make.foreign.files, page), "is of another environment")


def stale(make: Structured) -> Case:
    """A write that was lost: the page as the checkpoint before left it."""
    page = make.any_page()
    case = make.with_page(page, page_of(make.sample.older, page), "of an older checkpoint")
    case.may_be_equal = case.may_be_shorter = case.may_be_old = True
    return case


def several(make: Structured) -> Case:
    """Many pages at once."""
    data = bytearray(make.sample.files[DATA])
    pages = make.dice.sample(sorted(make.sample.pages), make.dice.randrange(2, len(make.sample.pages)))
    for page in pages:
        data[page * PAGE_SIZE : (page + 1) * PAGE_SIZE] = make.dice.choice(
            [bytes(PAGE_SIZE), make.dice.randbytes(PAGE_SIZE)])
    return Case(f"pages {pages}", {**make.sample.files, DATA: bytes(data)}, False)


# ---- files

def data_cut(make: Structured) -> Case:
    size = make.dice.randrange(0, len(make.sample.files[DATA]), make.dice.choice([1, 512, PAGE_SIZE]))
    return make.with_file(DATA, make.sample.files[DATA][:size], f"cut to {size} bytes")


def journal_cut(make: Structured) -> Case:
    """Behind its last record a journal may end anywhere; inside of that only the last record may go unnoticed."""
    content = make.sample.files[make.journal]
    end = make.sample.records[-1].end + 8 * SECTOR_SIZE
    size = make.dice.randrange(0, end, make.dice.choice([1, 512, SECTOR_SIZE]))
    case = make.with_file(make.journal, content[:size], f"cut to {size} bytes", True)
    case.may_be_shorter = case.may_be_cut = True
    return case


def file_missing(make: Structured) -> Case:
    name = make.dice.choice(sorted(make.sample.files))
    return make.with_file(name, None, "is missing", name not in (DATA, make.journal))


def journal_renamed(make: Structured) -> Case:
    name = f"journal.{make.dice.randrange(1, 2**make.dice.randrange(2, 64)):016x}"
    case = make.with_file(make.journal, None, f"renamed to {name}", name == make.journal)
    case.files[name] = make.sample.files[make.journal]
    return case


def journal_elsewhere(make: Structured) -> Case:
    """A copy of the journal lies beside it under another number."""
    name = f"journal.{make.dice.randrange(1, 9):016x}"
    return make.with_file(name, make.sample.files[make.journal], "is a copy", True)


def journal_foreign(make: Structured) -> Case:
    """The journal is that of another environment, or what the older checkpoint had."""
    source = make.dice.choice([make.foreign.files, make.sample.older])
    content = source.get(make.journal, bytes(len(make.sample.files[make.journal])))
    case = make.with_file(make.journal, content, "is of another environment or time")
    case.may_be_cut = True
    return case


def data_foreign(make: Structured) -> Case:
    return make.with_file(DATA, make.foreign.files[DATA], "is of another environment")


def data_old(make: Structured) -> Case:
    """The data file as it was two checkpoints ago, beside the journals of today, which still have all since then."""
    return make.with_file(DATA, make.sample.older[DATA], "is old", True)


def record_damaged(make: Structured) -> Case:
    """A sector of a record that is not the last one."""
    record = make.dice.choice(make.sample.records[:-1])
    content = bytearray(make.sample.files[make.journal])
    offset = make.dice.randrange(record.offset, record.offset + 128 + record.stored_size, 512)
    end = min(offset + 512, record.offset + 128 + record.stored_size)
    content[offset:end] = make.dice.choice([bytes(end - offset), make.dice.randbytes(end - offset)])
    return make.with_file(make.journal, bytes(content), f"damaged at {offset}", content[offset:end] ==
                          make.sample.files[make.journal][offset:end])


def record_moved(make: Structured) -> Case:
    """One record's bytes in the place of another's."""
    target, source = make.dice.sample(make.sample.records, 2)
    content = bytearray(make.sample.files[make.journal])
    piece = content[source.offset : source.end]
    content[target.offset : target.offset + len(piece)] = piece
    case = make.with_file(make.journal, bytes(content), f"record {source.txn_id} at the place of {target.txn_id}")
    last = make.sample.records[-1]
    case.may_be_cut = target.offset < last.offset <= target.offset + len(piece)   # everything behind is gone
    return case


# ---- headers

def headers_swapped(make: Structured) -> Case:
    data = bytearray(make.sample.files[DATA])
    for target, source in (HEADER_PAGES, HEADER_PAGES[::-1]):
        data[target * PAGE_SIZE : (target + 1) * PAGE_SIZE] = page_of(make.sample.files, source)
    return Case("", {**make.sample.files, DATA: bytes(data)}, True)


def header_replaced(make: Structured) -> Case:
    """One copy is zeros, garbage, old, or foreign; a foreign one must not win."""
    page = make.dice.choice(HEADER_PAGES)
    source = make.dice.choice([bytes(PAGE_SIZE), make.dice.randbytes(PAGE_SIZE), page_of(make.sample.older, page),
                               page_of(make.foreign.files, page)])
    case = make.with_page(page, source, "replaced")
    case.may_be_equal = True
    return case


def headers_bad(make: Structured) -> Case:
    """Both copies are zeros, garbage, or of another environment."""
    data = bytearray(make.sample.files[DATA])
    for page in HEADER_PAGES:
        data[page * PAGE_SIZE : (page + 1) * PAGE_SIZE] = make.dice.choice(
            [bytes(PAGE_SIZE), make.dice.randbytes(PAGE_SIZE), page_of(make.foreign.files, page)])
    return Case("", {**make.sample.files, DATA: bytes(data)}, False)


def headers_old(make: Structured) -> Case:
    """Both writes of the header were lost; the journals still have all since the older one."""
    data = bytearray(make.sample.files[DATA])
    for page in HEADER_PAGES:
        data[page * PAGE_SIZE : (page + 1) * PAGE_SIZE] = page_of(make.sample.older, page)
    return Case("", {**make.sample.files, DATA: bytes(data)}, True)


KINDS: tuple[Kind, ...] = (
    zeroed, garbage, sector_lost, torn, misdirected, shifted, swapped, foreign, stale, several, data_cut, journal_cut,
    file_missing, journal_renamed, journal_elsewhere, journal_foreign, data_foreign, data_old, record_damaged,
    record_moved, headers_swapped, header_replaced, headers_bad, headers_old,
)  # fmt: skip
