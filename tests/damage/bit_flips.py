"""Every bit of the sample's live files as a case: the bit is the other one."""

from collections.abc import Iterator

from tests.damage.runner import Case
from tests.damage.sample import DATA, HEADER_PAGES, PAGE_SIZE, RECORD_HEADER, SECTOR_SIZE, Sample


def stretches(sample: Sample) -> Iterator[tuple[str, int, int, bool, bool]]:
    """(file, offset, size, may be equal, may be shorter) of everything that is flipped."""
    for page in HEADER_PAGES:
        yield DATA, page * PAGE_SIZE, SECTOR_SIZE, True, False          # the other copy is whole
    for page in sorted(sample.pages):
        yield DATA, page * PAGE_SIZE, PAGE_SIZE, False, False
    for page in sorted(sample.covered):
        yield DATA, page * PAGE_SIZE, PAGE_SIZE, True, False            # the journal has a whole image
    for record in sample.records:
        last = record is sample.records[-1]
        bytes_size = RECORD_HEADER.size + record.stored_size
        yield record.journal, record.offset, bytes_size, False, last    # damage of the last one looks like a torn tail
        yield record.journal, record.offset + bytes_size, record.end - record.offset - bytes_size, True, False
    # What is in no use: the next sectors of the journal, and a page that is free.
    yield sample.records[-1].journal, sample.records[-1].end, 2 * SECTOR_SIZE, True, False
    free = next(page for page in range(9, 128) if page not in sample.pages and page not in sample.covered)
    yield DATA, free * PAGE_SIZE, PAGE_SIZE, True, False


class BitFlips:
    """All flips, by number."""

    def __init__(self, sample: Sample) -> None:
        self._sample = sample
        self._stretches = [each for each in stretches(sample) if each[2]]
        self.count = sum(size for _, _, size, _, _ in self._stretches) * 8

    def case(self, number: int) -> Case:
        bit = number
        for name, offset, size, may_be_equal, may_be_shorter in self._stretches:
            if bit < size * 8:
                content = bytearray(self._sample.files[name])
                content[offset + bit // 8] ^= 1 << bit % 8
                where = f"{name} offset {offset + bit // 8} bit {bit % 8}"
                return Case(where, {**self._sample.files, name: content}, may_be_equal, may_be_shorter)
            bit -= size * 8
        raise IndexError(number)
