"""A large state reaches a node that joins and is killed on the way; `ci/soak state [MEGABYTES]`.

One real node gets so many megabytes of compare-exchange values. Another one joins it and gets the state as a whole; it
is killed in the middle of that, twice, and starts again. In the end it must have every value, byte for byte, and
neither may have needed memory in proportion to the state: what both held at most is printed.
"""

from __future__ import annotations

import random
import string
import sys
import time
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from urllib.parse import quote

from pynori.cluster.commands import TABLES
from pynori.cluster.store import Store
from pynori.runtime import codecs  # noqa: F401  (hands the engine its LZ4)
from tests.walk.stage import Stage

DB = "db"
VALUE_SIZE = 500_000
KILLS = 2
MEMORY_MEGABYTES_MAX = 150  # beyond what a node had before


def main() -> int:
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 128
    count = megabytes * 1_000_000 // VALUE_SIZE
    stage = Stage("state")
    try:
        run(stage, count)
    finally:
        stage.end()
    for failure in stage.failures:
        print(failure)
    return 1 if stage.failures else 0


def run(stage: Stage, count: int) -> None:
    stage.start(1, 2)
    stage.create(1, DB)
    chance = random.Random(count)
    letters = string.ascii_letters + string.digits
    texts = ["".join(chance.choices(letters, k=VALUE_SIZE)) for _ in range(8)]
    for number in range(count):
        text = f"{number}{texts[number % len(texts)]}"
        stage.ask(1, "PUT", f"/databases/{DB}/cmpxchg?key=k{number:06}&index=0", {"Object": text})
    before = memory_of_both(stage)
    begin = time.monotonic()
    size = size_bytes(stage, 2)
    stage.ask(1, "PUT", f"/admin/cluster/node?url={quote(stage.url(2), safe='')}")
    for kill in range(KILLS):
        stage.wait("a part of the state is there", lambda size=size: size_bytes(stage, 2) > size + 20_000_000)
        stage.kill(2)
        stage.start(2)
        stage.see(f"the state is not there yet after kill {kill + 1}", False, is_member(stage))
        size = size_bytes(stage, 2)
    highest = [before]
    stage.wait("the state is there", lambda: highest.append(memory_of_both(stage)) or is_member(stage), 120)
    seconds = time.monotonic() - begin
    after = max(each[0] for each in highest), max(each[1] for each in highest)
    stage.kill(1, 2)
    pairs = zip_longest(values(stage.directory(1)), values(stage.directory(2)))
    same = sum(mine == theirs for mine, theirs in pairs)
    stage.see("values that are the same", count, same)
    print(f"{count} values of {VALUE_SIZE} bytes, {KILLS} kills: {seconds:.1f} s; memory at most: sender "
          f"{before[0]} -> {after[0]} MB, receiver {before[1]} -> {after[1]} MB")  # fmt: skip
    grown = max(after[0] - before[0], after[1] - before[1])
    stage.see(f"memory grew by less than {MEMORY_MEGABYTES_MAX} MB", True, grown < MEMORY_MEGABYTES_MAX)


def is_member(stage: Stage) -> bool:
    """Whether the second node has caught up."""
    return stage.url(2) in stage.cluster(1)["Topology"]["Members"].values()


def values(directory: Path) -> Iterator[tuple[str, bytes]]:
    """What the state of a node that is stopped holds, as it lies there."""
    store = Store.open(directory / "System")
    store.load(TABLES)
    yield from store.scan("compare_exchange", "")
    store.close()


def size_bytes(stage: Stage, node: int) -> int:
    """Of the files of the cluster's state."""
    return sum(each.stat().st_blocks * 512 for each in stage.directory(node).glob("System/**/*") if each.is_file())


def memory_of_both(stage: Stage) -> tuple[int, int]:
    """What both processes hold of memory, without files that are mapped, in megabytes."""
    return memory(stage.process_id(1)), memory(stage.process_id(2))


def memory(process_id: int) -> int:
    for line in Path(f"/proc/{process_id}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) // 1_024
    return 0


if __name__ == "__main__":
    sys.exit(main())
