"""The merger: many user transactions in few commits, no GIL on the way, bounds, and what survives a kill."""

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pynori_core.check_documents import check_documents
from pynori_core.check_trees import check_transaction
from pynori_core.command import Batch
from pynori_core.document_writer import Dispatcher, DocumentWriter
from pynori_core.env import Env
from pynori_core.errors import Closed, ConcurrencyError, EngineError
from pynori_core.items import DocumentStore
from pynori_core.reads import DocumentReader, DocumentStream

from pynori.runtime import codecs  # noqa: F401  (hands the engine its LZ4)

BODY = b'{"text":"' + b"x" * 900 + b'"}'


def checked(directory: Path) -> None:
    """Every invariant holds in the closed database of that directory."""
    with Env.open(str(directory), read_only=True) as env:
        txn = env.read()
        findings = check_transaction(txn, env.statistics()["file_pages"])[0] + check_documents(txn)
        txn.close()
    assert not findings, "\n".join(findings)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DocumentStore]:
    made = DocumentStore.create(str(tmp_path / "db"), bytes(range(16)), "A")
    yield made
    made.close()
    checked(tmp_path / "db")


@pytest.fixture
def writer(store: DocumentStore) -> Iterator[DocumentWriter]:
    made = DocumentWriter(store)
    yield made
    made.close()


def one(id: str, body: bytes = BODY, expected: str | None = None) -> Batch:
    batch = Batch()
    batch.put(id, body, expected)
    return batch


def test_concurrent_futures_merge_into_few_commits(store: DocumentStore, writer: DocumentWriter) -> None:
    """64 clients of one loop that write one after the other share commits.

    How many share one depends on how fast the disk is against the loop, so the bound is loose: a commit of its own for
    each write would be 1,600.
    """

    async def run() -> None:
        loop = asyncio.get_running_loop()
        dispatcher = Dispatcher.acquire(loop, lambda error: error)

        async def client(number: int) -> None:
            for step in range(25):
                future = loop.create_future()
                writer.submit(one(f"users/{number}"), future, dispatcher, True)
                result = await future
                assert result.id == f"users/{number}", step

        before = store.environment()["syncs"]
        await asyncio.gather(*(client(number) for number in range(64)))
        syncs = store.environment()["syncs"] - before
        assert syncs <= 64 * 25 / 4, syncs
        dispatcher.release()

    asyncio.run(run())
    counters = writer.counters()
    assert counters["commands"] == counters["transactions"] == 64 * 25
    assert counters["commits"] <= 64 * 25 / 4
    assert counters["queue_count"] == counters["queue_bytes"] == 0


def test_only_the_one_that_is_wrong_fails(writer: DocumentWriter) -> None:
    """Of many merged user transactions, some single and some of several commands, the wrong ones fail alone."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        dispatcher = Dispatcher.acquire(loop, lambda error: error)
        futures = []
        for number in range(200):
            batch = one(f"a/{number}")
            if number % 3 == 0:
                batch.put(f"b/{number}", BODY)
            if number % 7 == 0:
                batch.put(f"c/{number}", BODY, "A:1-AAAAAAAAAAAAAAAAAAAAAA")
            future = loop.create_future()
            writer.submit(batch, future, dispatcher)
            futures.append(future)
        outcomes = await asyncio.gather(*futures, return_exceptions=True)
        for number, outcome in enumerate(outcomes):
            assert isinstance(outcome, ConcurrencyError) == (number % 7 == 0), number
        etags = [result.etag for outcome in outcomes if isinstance(outcome, list) for result in outcome]
        assert etags == list(range(1, len(etags) + 1))
        numbers = [outcome[0].transaction for outcome in outcomes if isinstance(outcome, list)]
        assert numbers == list(range(1, len(numbers) + 1))
        dispatcher.release()

    asyncio.run(run())
    assert writer.counters()["failed"] == 29


def test_writes_complete_while_python_holds_the_gil(store: DocumentStore, writer: DocumentWriter) -> None:
    """From hand-over to completion nothing needs the GIL: all is committed while this thread keeps it."""
    sleep_holding_gil = ctypes.PyDLL(None).usleep

    async def run() -> None:
        loop = asyncio.get_running_loop()
        dispatcher = Dispatcher.acquire(loop, lambda error: error)
        futures = []
        for number in range(100):
            future = loop.create_future()
            writer.submit(one(f"users/{number}"), future, dispatcher)
            futures.append(future)
        waited_ms = 0
        while writer.counters()["commands"] < 100 and waited_ms < 10_000:
            sleep_holding_gil(1_000)
            waited_ms += 1
        assert writer.counters()["commands"] == 100
        assert DocumentReader(store).get("users/99") is not None
        assert not any(future.done() for future in futures)
        await asyncio.gather(*futures)
        dispatcher.release()

    switch_interval = sys.getswitchinterval()
    sys.setswitchinterval(60)  # nobody else may get it by asking
    try:
        asyncio.run(run())
    finally:
        sys.setswitchinterval(switch_interval)


def test_one_wake_up_brings_a_whole_commit(writer: DocumentWriter) -> None:
    """Futures of one commit are resolved in one go: far fewer drains than futures."""

    async def run() -> int:
        loop = asyncio.get_running_loop()
        dispatcher = Dispatcher.acquire(loop, lambda error: error)
        turns = 0
        resolved: list[int] = []
        futures = []
        for number in range(1000):
            future = loop.create_future()
            future.add_done_callback(lambda _: resolved.append(turns))
            writer.submit(one(f"users/{number}", b"{}"), future, dispatcher)
            futures.append(future)
        while len(resolved) < 1000:
            turns += 1
            await asyncio.sleep(0)
        dispatcher.release()
        return len(set(resolved))

    assert asyncio.run(run()) <= writer.counters()["commits"] + 1
    assert writer.counters()["commits"] < 100


def test_threads_execute_side_by_side(writer: DocumentWriter, store: DocumentStore) -> None:
    """Eight threads that execute batches get each their own results, and every document is there."""
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for step in range(40):
                assert writer.execute(one(f"t{number}/{step}"))[0].id == f"t{number}/{step}"
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures and store.counts()[0] == 320
    assert writer.counters()["commands"] == 320


def test_a_lone_caller_needs_no_thread(writer: DocumentWriter) -> None:
    """Synchronous writes of one caller run in its own thread: no thread is started, no commit is handed over."""
    for number in range(20):
        writer.execute(one(f"users/{number}"))
    counters = writer.counters()
    assert (counters["threads_started"], counters["commits"], counters["commits_inline"]) == (0, 20, 20)


def test_execute_all_keeps_order_and_reports_the_first_failure(writer: DocumentWriter, store: DocumentStore) -> None:
    """Many batches in one call: later ones win over earlier ones, a wrong one fails alone and is raised at the end."""
    batches = [one(f"users/{number % 10}", b'{"n":%d}' % number) for number in range(1000)]
    assert writer.execute_all(batches, 64) == 1000
    reader = DocumentReader(store)
    assert all(b'"n":99%d' % number in reader.get(f"users/{number}").json for number in range(10))
    with pytest.raises(ConcurrencyError, match="users/1 "):
        writer.execute_all([one("a"), one("users/1", expected=""), one("b")])
    assert reader.get("a") is not None and reader.get("b") is not None


def test_close_finishes_what_waits_and_refuses_what_comes(store: DocumentStore) -> None:
    """Closing right after handing over commits all of it; later writes are refused."""
    writer = DocumentWriter(store)

    async def run() -> None:
        loop = asyncio.get_running_loop()
        dispatcher = Dispatcher.acquire(loop, lambda error: error)
        futures = []
        for number in range(300):
            future = loop.create_future()
            writer.submit(one(f"users/{number}"), future, dispatcher)
            futures.append(future)
        writer.close()
        dispatcher.drain()
        assert all(future.done() and future.exception() is None for future in futures)
        with pytest.raises(Closed):
            writer.submit(one("late"), loop.create_future(), dispatcher)
        dispatcher.release()

    asyncio.run(run())
    with pytest.raises(Closed):
        writer.execute(one("late"))
    writer.close()
    assert store.counts()[0] == 300


def test_a_long_queue_is_sealed_while_the_next_is_executed(store: DocumentStore, writer: DocumentWriter) -> None:
    """More than one transaction can hold goes through the journal's thread, in order, failures in their places."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        dispatcher = Dispatcher.acquire(loop, lambda error: error)
        batches = [one(f"big/{number}", b'{"text":"%s"}' % (b"%08d" % number * 130_000)) for number in range(60)]
        for batch in batches[9::10]:
            batch.put("big/0", b"{}", "")
        futures = [loop.create_future() for _ in batches]
        for batch, future in zip(batches, futures, strict=True):
            writer.submit(batch, future, dispatcher)
        outcomes = await asyncio.gather(*futures, return_exceptions=True)
        assert [isinstance(outcome, ConcurrencyError) for outcome in outcomes] == [n % 10 == 9 for n in range(60)]
        dispatcher.release()

    asyncio.run(run())
    counters = writer.counters()
    assert counters["commits"] >= 4 and counters["commits_inline"] < counters["commits"]
    assert (counters["rollbacks"], counters["repeated"], store.counts()[0]) == (6, 0, 54)


def test_a_cancelled_future_changes_nothing_for_others(writer: DocumentWriter, store: DocumentStore) -> None:
    """Who stops waiting loses the answer; the write and the other answers stand."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        dispatcher = Dispatcher.acquire(loop, lambda error: error)
        futures = [loop.create_future() for _ in range(10)]
        for number, future in enumerate(futures):
            writer.submit(one(f"users/{number}"), future, dispatcher)
            if number % 2:
                future.cancel()
        await asyncio.gather(*futures[::2])
        while store.counts()[0] < 10:
            await asyncio.sleep(0.001)
        dispatcher.drain()
        dispatcher.release()

    asyncio.run(run())


def test_readers_see_whole_batches_only(writer: DocumentWriter, store: DocumentStore) -> None:
    """Two documents that always change together never show different numbers, and a stream stays on its snapshot."""
    reader = DocumentReader(store)
    both = Batch()
    both.put("left", b'{"n":0}')
    both.put("right", b'{"n":0}')
    writer.execute(both)
    stop = threading.Event()

    def write() -> None:
        for number in range(1, 400):
            batch = Batch()
            batch.put("left", b'{"n":%d}' % number)
            batch.put("right", b'{"n":%d}' % number)
            writer.execute(batch)
        stop.set()

    thread = threading.Thread(target=write)
    stream = DocumentStream.recent(store)
    thread.start()
    seen = set()
    while not stop.is_set():
        body = reader.load(["left", "right"], []).body
        numbers = {part.split(b"}")[0].split(b",")[0] for part in body.split(b'"n":')[1:]}
        assert len(numbers) == 1, body
        seen |= numbers
        time.sleep(0)
    thread.join()
    assert [b'"n":0' in document for document in stream] == [True, True]
    assert len(seen) > 1


KILLED = """
import sys, os
sys.path[:0] = [{ext!r}, {root!r}]
from pynori.runtime import codecs
from pynori_core.items import DocumentStore
from pynori_core.document_writer import DocumentWriter
from pynori_core.command import Batch
import threading
store = DocumentStore.create({directory!r}, bytes(16), "A")
writer = DocumentWriter(store)
lock = threading.Lock()
def work(number):
    step = 0
    while True:
        batch = Batch()
        for part in range(3):
            batch.put(f"t{{number}}/{{step}}/{{part}}", b'{{"text":"' + b"x" * 700 + b'"}}')
        writer.execute(batch)
        with lock:
            os.write(1, f"{{number}} {{step}}\\n".encode())
        step += 1
for number in range(4):
    threading.Thread(target=work, args=(number,)).start()
"""


@pytest.mark.parametrize("delay_ms", [150, 400])
def test_a_kill_loses_nothing_that_was_answered(tmp_path: Path, delay_ms: int) -> None:
    """SIGKILL in mid-write: every acknowledged batch is there whole, and no batch is there in part."""
    root = Path(__file__).resolve().parents[2]
    script = KILLED.format(ext=str(root / "ext"), root=str(root), directory=str(tmp_path / "db"))
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert process.stdout is not None
    first = process.stdout.readline()
    time.sleep(delay_ms / 1_000)
    os.kill(process.pid, signal.SIGKILL)
    lines = [first, *process.stdout.read().splitlines(keepends=True)]
    acknowledged = [line.split() for line in lines if line.endswith(b"\n")]
    process.wait()
    store = DocumentStore.open(str(tmp_path / "db"), "A")
    reader = DocumentReader(store)
    assert len(acknowledged) > 4
    for number, step in acknowledged:
        for part in range(3):
            assert reader.get(f"t{int(number)}/{int(step)}/{part}") is not None, (number, step, part)
    items = list(DocumentStream.items_since(store, 0))
    assert len(items) % 3 == 0 and len(items) == store.counts()[0]
    assert len({item.transaction for item in items}) * 3 == len(items)
    assert [item.etag for item in items] == list(range(1, len(items) + 1))
    writer = DocumentWriter(store)
    assert writer.execute(one("after"))[0].etag == len(items) + 1
    writer.close()
    store.close()
    checked(tmp_path / "db")


def test_a_failed_open_says_why(tmp_path: Path) -> None:
    """Opening what is not there, or is no database, raises an engine error and leaves nothing behind."""
    with pytest.raises(EngineError):
        DocumentStore.open(str(tmp_path / "nothing"), "A")
    assert not list(tmp_path.iterdir())
    with pytest.raises(EngineError, match="tag"):
        DocumentStore.create(str(tmp_path / "db"), bytes(16), "toolong")
