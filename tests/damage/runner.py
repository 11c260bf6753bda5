"""Runs many cases of damage in forked children, so that a death or a hang is a verdict like any other.

A child works through the cases and marks each in memory that it shares with its parent. When it dies, or stands still
for longer than HANG_SECONDS, the case it was at gets that verdict, and a new child goes on behind it.
"""

import mmap
import os
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.damage.judge import FAILURES, Verdict
from tests.damage.sample import Files, write_files

WORDS = ("", "equal", "refused", "shorter", "old", *FAILURES)
HANG_SECONDS = 10.0
LOOK_SECONDS = 0.02


@dataclass(slots=True)
class Case:
    """Damaged files, and what may come of it."""

    name: str
    files: Files
    may_be_equal: bool = True
    may_be_shorter: bool = False  # without the last transaction
    may_be_cut: bool = False  # without any number of the last transactions
    may_be_old: bool = False  # answers may be those of an older time


@dataclass(slots=True)
class Tally:
    """Verdicts of a run, and the failures among them."""

    words: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return ", ".join(f"{word} {self.words[word]}" for word in WORDS[1:] if self.words[word] or word in FAILURES)


def workplace() -> Path:
    """A directory in memory where there is one."""
    shared = Path("/dev/shm")
    return Path(tempfile.mkdtemp(prefix="pynori-damage-", dir=shared if os.access(shared, os.W_OK) else None))


def run(count: int, make: Callable[[int], Case], judge: Callable[[Path], Verdict], deadline: float = 0.0,
        hang_seconds: float = HANG_SECONDS) -> Tally:  # fmt: skip
    """Judge cases 0 to count - 1; with a deadline (monotonic seconds) only as many as it lets."""
    tally = Tally()
    place = workplace()
    reasons = place / "reasons"
    reasons.touch()
    marks = mmap.mmap(-1, count + 1)
    first = 0
    try:
        while first < count and (not deadline or time.monotonic() < deadline):
            child = os.fork()
            if child == 0:
                work(first, count, make, judge, marks, place, deadline)
            word = wait(child, marks, first, count, hang_seconds)
            first = next((index for index in range(first, count) if not marks[index]), count)
            if word:
                marks[first] = WORDS.index(word)
                with reasons.open("a") as file:
                    file.write(f"case {first}, {make(first).name}: {word}\n")
                first += 1
        tally.words.update(WORDS[mark] for mark in marks[:count] if mark)
        tally.failures = reasons.read_text().splitlines()
    finally:
        marks.close()
        shutil.rmtree(place)
    return tally


def work(first: int, count: int, make: Callable[[int], Case], judge: Callable[[Path], Verdict], marks: mmap.mmap,
         place: Path, deadline: float) -> None:  # fmt: skip
    """The child: never returns."""
    status = 1
    try:
        for index in range(first, count):
            if deadline and time.monotonic() > deadline:
                break
            case = make(index)
            write_files(place / "db", case.files)
            verdict = judge(place / "db")
            if verdict.word == "wrong" and (case.may_be_old or case.may_be_cut):
                verdict = Verdict("old")
            if verdict.word == "equal" and not case.may_be_equal:
                verdict = Verdict("wrong", "nobody noticed")
            if verdict.word == "shorter" and not case.may_be_shorter:
                verdict = Verdict("wrong", "the last transaction was lost without a word")
            if verdict.word in FAILURES:
                with (place / "reasons").open("a") as file:
                    file.write(f"case {index}, {case.name}: {verdict.word}: {verdict.why}\n")
            marks[index] = WORDS.index(verdict.word)
        status = 0
    except BaseException as error:
        with (place / "reasons").open("a") as file:
            file.write(f"the child failed: {type(error).__name__}: {error}\n")
    finally:
        os._exit(status)


def wait(child: int, marks: mmap.mmap, first: int, count: int, hang_seconds: float) -> str:
    """Wait for a child; "" when it is through, else what became of it."""
    at, looked_at, stood_s = first, time.monotonic(), 0.0
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return "" if status == 0 else "died"
        now = time.monotonic()
        # Parent and child may be halted together: what lies between two looks counts as little more than one.
        stood_s += min(now - looked_at, 10 * LOOK_SECONDS)
        looked_at = now
        while at < count and marks[at]:
            at, stood_s = at + 1, 0.0
        if stood_s > hang_seconds:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return "hung"
        time.sleep(LOOK_SECONDS)
