"""Items between two instances in memory: reading them out, taking them in, and writing them in the first place.

Run: PYTHONPATH=ext:. python bench/bench_replication.py [documents]. Prints documents and megabytes a second of each, in
turns in the same run, and their ratios to the merged write rate; then the same with one half of the ids in conflict.
"""

import asyncio
import statistics
import sys
import time

from pynori_core.change_vector import format_database_id

from pynori.documents.database import Database, DatabaseOptions

ROUNDS = 3
BATCH_DOCUMENTS = 100
WAITING_MAX = 32
FRAME_ITEMS_MAX = 4096
FRAME_BYTES_MAX = 4 << 20
BODY = b'{"Name":"Oren Eini","Age":%d,"Text":"%s","Lines":[{"Product":"products/1","Price":2.5,"Quantity":3}]%s}'
TEXT = b"x" * 700


def body(number: int, side: str) -> bytes:
    return BODY % (number, TEXT, b',"@metadata":{"@collection":"Users","side":"%s"}' % side.encode())


async def write(database: Database, count: int, side: str) -> float:
    """Seconds for documents in batches, many on their way at once."""
    start = time.perf_counter()
    waiting: list[asyncio.Future[object]] = []
    for first in range(0, count, BATCH_DOCUMENTS):
        batch = database.batch()
        for number in range(first, min(first + BATCH_DOCUMENTS, count)):
            batch.put(f"users/{number}", body(number, side))
        waiting.append(database.submit(batch))
        if len(waiting) >= WAITING_MAX:
            await waiting.pop(0)
    await asyncio.gather(*waiting)
    return time.perf_counter() - start


def read(database: Database, skip: str) -> tuple[float, list[bytes]]:
    """Seconds for all frames, and they."""
    start = time.perf_counter()
    frames, since, ended = [], 0, False
    while not ended:
        sent = database.outgoing(since, skip, FRAME_ITEMS_MAX, FRAME_BYTES_MAX)
        frames.append(sent.frame)
        since, ended = sent.last_etag, sent.ended
    return time.perf_counter() - start, frames


async def take_in(database: Database, frames: list[bytes], source: str) -> tuple[float, int]:
    """Seconds for all frames, one after the other as over one link; and how many conflicts came of them."""
    start = time.perf_counter()
    conflicts = 0
    for number, frame in enumerate(frames, 1):
        conflicts += len((await database.apply(frame, source, number, "")).conflicts)
    return time.perf_counter() - start, conflicts


async def round_of(count: int) -> list[float]:
    sender = await Database.create(None, "sender", DatabaseOptions(in_memory=True))
    receiver = await Database.create(None, "receiver", DatabaseOptions(in_memory=True, node_tag="B"))
    apart = await Database.create(None, "apart", DatabaseOptions(in_memory=True, node_tag="C"))
    source = format_database_id(bytes(16))
    written = await write(sender, count, "a")
    read_out, frames = read(sender, "")
    skipped, _ = read(sender, sender.change_vector)
    taken_in, _ = await take_in(receiver, frames, source)
    again, _ = await take_in(receiver, frames, source)
    await write(apart, count // 2, "b")
    in_conflict, conflicts = await take_in(apart, frames, source)
    assert receiver.statistics().documents == count and conflicts == count // 2 == apart.conflict_count
    size_mb = sum(map(len, frames)) / 1e6
    for database in (sender, receiver, apart):
        await database.close()
    return [written, read_out, skipped, taken_in, again, in_conflict, size_mb]


async def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    rounds = [await round_of(count) for _ in range(ROUNDS)]
    *seconds, size_mb = [statistics.median(column) for column in zip(*rounds, strict=True)]
    names = ("merged writes", "outgoing", "outgoing, all skipped", "apply", "apply, all known",
             "apply, half in conflict")  # fmt: skip
    print(f"{count} documents, {size_mb:.1f} MB of frames; ratios to merged writes")
    for name, each in zip(names, seconds, strict=True):
        print(f"{name:<26}{count / each:>12,.0f} documents/s{size_mb / each:>9.1f} MB/s{seconds[0] / each:>8.2f}")


if __name__ == "__main__":
    asyncio.run(main())
