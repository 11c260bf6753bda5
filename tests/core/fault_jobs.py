"""One long workload on a disk of which one call fails, and what must hold afterwards.

    python -m tests.core.fault_jobs [--every N] [--operations N] [--seed N]

The workload writes, replaces and deletes documents, small and large, alone and in batches, makes checkpoints, lets
journals roll and the file grow, closes and opens again. Call k of all disk calls fails, once or from then on. Each
outcome must be one of: failed (nothing of it is there), unknown outcome (all or nothing of it is there), environment
failed. Everything follows from the seed.
"""

import argparse
import random
import sys
import time
from dataclasses import dataclass, field

from pynori_core.check_documents import check_documents
from pynori_core.check_trees import check_transaction
from pynori_core.command import Batch
from pynori_core.document_writer import DocumentWriter
from pynori_core.env import Env
from pynori_core.errors import (
    Closed,
    CorruptError,
    DiskError,
    EngineError,
    InvariantError,
    Poisoned,
    UnknownOutcome,
)
from pynori_core.fault_disk import FaultHandle
from pynori_core.items import DocumentStore
from pynori_core.reads import DocumentReader

from pynori.runtime import codecs  # noqa: F401  (hands the engine its LZ4)

# (name, errno, share of a failing write that is there all the same)
KINDS = (
    ("EIO", "EIO", 0.0), ("ENOSPC", "ENOSPC", 0.0), ("EDQUOT", "EDQUOT", 0.0), ("EINTR", "EINTR", 0.0),
    ("short write", "EIO", 0.5), ("short read", "ENODATA", 0.0), ("map refused", "ENOMEM", 0.0),
    ("EROFS", "EROFS", 0.0), ("whole write, failed sync", "EIO", 1.0),
)  # fmt: skip
FAILURES = (EngineError, MemoryError)
DATABASE_ID = bytes(range(16))
AFTER_FAILURE = 25  # operations that are tried after the failure: enough to see whether the state is whole
HANG_SECONDS = 5.0


class Broken(AssertionError):
    """What must hold does not."""


@dataclass
class Truth:
    """What the documents may be: `sure` as acknowledged, with `perhaps` of one unknown outcome on top."""

    sure: dict[str, int] = field(default_factory=dict)
    perhaps: dict[str, int | None] = field(default_factory=dict)

    def settle(self, changes: dict[str, int | None]) -> None:
        for id, number in changes.items():
            if number is None:
                self.sure.pop(id, None)
            else:
                self.sure[id] = number

    def states(self) -> list[dict[str, int]]:
        other = Truth(dict(self.sure))
        other.settle(self.perhaps)
        return [self.sure, other.sure]


def body(number: int, dice: random.Random) -> bytes:
    size = dice.choice((40, 40, 300, 300, 900, 3_000, 9_000, 30_000))
    return b'{"number":%d,"text":"%s"}' % (number, dice.randbytes(size // 2).hex().encode())


class Job:
    """One run of the workload."""

    def __init__(self, disk: FaultHandle, operations: int, seed: int) -> None:
        self.disk = disk
        self.operations = operations
        self.dice = random.Random(seed)
        self.truth = Truth()
        self.store: DocumentStore | None = None
        self.writer: DocumentWriter | None = None
        self.created = False
        self.failures: list[Exception] = []
        self.operations_left_after_failure = AFTER_FAILURE

    # ---- steps

    def open(self) -> bool:
        try:
            if self.created:
                self.store = DocumentStore.open(self.disk, "A")
            else:
                self.store = DocumentStore.create(self.disk, DATABASE_ID, "A")
                self.created = True
            self.writer = DocumentWriter(self.store)
        except FAILURES as error:
            self.store = None
            self.note(error)
            return False
        return True

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
            self.writer = None
        if self.store is None:
            return
        store, self.store = self.store, None
        try:
            if store.environment()["readers"]:
                raise Broken("a read transaction is left over")
            store.close()
        except Closed:
            pass
        except FAILURES as error:
            self.note(error)

    def note(self, error: Exception) -> None:
        if isinstance(error, InvariantError) or not isinstance(error, (DiskError, MemoryError, CorruptError)):
            raise Broken(f"an error of the wrong class: {error!r}") from error
        if (
            isinstance(error, CorruptError)
            and error.errno == 0
            and "cut off" not in str(error)
            and "shorter" not in str(error)
        ):
            raise Broken(f"a failing call was taken for damage: {error}") from error
        self.failures.append(error)

    def write(self, number: int) -> None:
        assert self.writer is not None
        dice = self.dice
        changes: dict[str, int | None] = {}
        batch = Batch()
        for part in range(dice.choice((1, 1, 1, 1, 3, 8))):
            id = f"docs/{dice.randrange(120)}"
            if dice.random() < 0.25:
                batch.delete(id)
                changes[id] = None
            else:
                batch.put(id, body(number * 100 + part, dice))
                changes[id] = number * 100 + part
        try:
            self.writer.execute(batch)
        except UnknownOutcome as error:
            self.note(error)
            if self.truth.perhaps:
                raise Broken("two unknown outcomes in one life") from error
            self.truth.perhaps = changes
        except FAILURES as error:
            self.note(error)
        else:
            if self.truth.perhaps:
                raise Broken("a write was acknowledged after one of unknown outcome")
            self.truth.settle(changes)

    def compare(self, states: list[dict[str, int]], when: str) -> None:
        assert self.store is not None
        reader = DocumentReader(self.store)
        found: dict[str, int] = {}
        for index in range(120):
            document = reader.get(f"docs/{index}")
            if document is not None:
                found[f"docs/{index}"] = int(document.json.split(b":", 1)[1].split(b",", 1)[0])
        if found not in states:
            raise Broken(f"{when}: {len(found)} documents, expected {[len(state) for state in states]}")

    # ---- the whole

    def run(self) -> None:
        """The workload, with whatever fails; ends early a while after the first failure."""
        if not self.open():
            return
        for number in range(1, self.operations + 1):
            self.write(number)
            if number % 97 == 0:
                try:
                    assert self.store is not None
                    self.store.checkpoint()
                except FAILURES as error:
                    self.note(error)
            if number % 331 == 0:
                self.close()
                if self.failures or not self.open():
                    return
            if self.failures:
                self.operations_left_after_failure -= 1
                if self.operations_left_after_failure == 0:
                    return

    def verify(self) -> None:
        """Heal the disk; the state is usable or poisoned, and after reopening what was acknowledged is there."""
        self.disk.heal()
        if self.store is not None:
            # What a reader sees now is exactly what was acknowledged: an unknown outcome is never published.
            self.compare([self.truth.sure], "before closing")
            self.usable_or_poisoned()
        self.close()
        if self.disk.live() != (0, 0):
            raise Broken(f"files and maps are left over: {self.disk.live()}")
        if not self.created:
            return
        self.failures.clear()
        states = self.truth.states()
        for life in range(2):
            if not self.open():
                raise Broken(f"does not open again: {self.failures[0]!r}")
            self.compare(states, f"after reopening, life {life}")
            self.close()
            if self.failures:
                raise Broken(f"does not close: {self.failures[0]!r}")
        check_all(self.disk)
        if self.disk.live() != (0, 0):
            raise Broken(f"files and maps are left over at the end: {self.disk.live()}")

    def verify_after_memory(self) -> None:
        """As `verify`; a creation that failed may have left files that are no database."""
        if self.store is None and not self.truth.sure and not self.truth.perhaps:
            self.close()
            return
        self.verify()

    def usable_or_poisoned(self) -> None:
        writes = self.disk.counts()["write"]
        failed_before = len(self.failures)
        for number in range(100_001, 100_004):
            self.write(number)
        failed = self.failures[failed_before:]
        if not failed:
            if any(isinstance(error, (UnknownOutcome, Poisoned)) for error in self.failures):
                raise Broken("writes go on after an unknown outcome")
        elif len(failed) != 3 or not all(isinstance(error, Poisoned) for error in failed):
            raise Broken(f"neither usable nor poisoned: {failed!r}")
        elif self.disk.counts()["write"] != writes:
            raise Broken("a poisoned environment wrote")


def check_all(disk: FaultHandle) -> None:
    with Env.open(disk, read_only=True) as env:
        txn = env.read()
        findings = check_transaction(txn, env.statistics()["file_pages"])[0] + check_documents(txn)
        txn.close()
    if findings:
        raise Broken("; ".join(findings[:3]))


def calls_of(operations: int, seed: int) -> int:
    """Disk calls of the workload when nothing fails."""
    disk = FaultHandle()
    job = Job(disk, operations, seed)
    job.run()
    job.close()
    assert not job.failures, job.failures
    return disk.counts()["any"]


def run_one(call: int, kind: tuple[str, str, float], lasting: bool, operations: int, seed: int) -> None:
    """One run with one failing call. Raises Broken with all that is needed to repeat it."""
    _, error, share = kind
    disk = FaultHandle()
    disk.fail("any", call, error, lasting=lasting, part=int(share * 8_192))
    job = Job(disk, operations, seed)
    began = time.monotonic()
    try:
        job.run()
        job.verify()
    except Broken as broken:
        raise Broken(f"call {call}, {kind[0]}, lasting={lasting}, seed={seed}: {broken}") from broken
    if time.monotonic() - began > HANG_SECONDS:
        raise Broken(f"call {call}, {kind[0]}, lasting={lasting}, seed={seed}: took longer than {HANG_SECONDS} s")


def sweep(operations: int, seed: int, every: int) -> int:
    """Every `every`-th call, each kind of failure, once and lasting; with every > 1 one kind each. Returns the runs."""
    calls = calls_of(operations, seed)
    runs = 0
    for call in range(1, calls + 1, every):
        for index, kind in enumerate(KINDS):
            if every > 1 and index != (call // every) % len(KINDS):
                continue
            for lasting in (False, True):
                if every > 1 and lasting == bool((call // every // len(KINDS)) % 2):
                    continue
                run_one(call, kind, lasting, operations, seed)
                runs += 1
        if every == 1 and call % 100 == 0:
            print(f"call {call} of {calls}, {runs} runs", flush=True)
    return runs


def main() -> int:
    parser = argparse.ArgumentParser(description="Fail each disk call of a long workload once, and from then on.")
    parser.add_argument("--every", type=int, default=1, help="only every n-th call, with one kind of failure each")
    parser.add_argument("--operations", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    began = time.monotonic()
    runs = sweep(arguments.operations, arguments.seed, arguments.every)
    print(f"{runs} runs, nothing lost, {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
