"""What a damaged database does, as one word: refused, equal, shorter, or something that must never be.

refused   it does not open, or some way of reading, writing or checking it fails with an error that names the place
equal     every way of reading answers as if nothing had happened, writing works, and `check` finds nothing
shorter   it is, whole and sound, the database before the last transaction: the last record was not there to be seen
wrong     an answer that was never true, or damage in bytes that count which nothing noticed
unnamed   an error that does not say where, or one that is no error of the engine
died, hung  told by whoever started the process
"""

import re
from pathlib import Path

from pynori_core.check import check
from pynori_core.command import Batch
from pynori_core.document_writer import DocumentWriter
from pynori_core.errors import CorruptError, DiskError, EngineError, NotFound, VersionError
from pynori_core.items import DocumentStore

from tests.damage.sample import Answers, body, ways

FAILURES = ("wrong", "unnamed", "died", "hung")
PLACE = re.compile(r"data\.pynori|journal\.[0-9a-f]{16}|page \d+|header copy")


class Verdict(Exception):
    """The word, and why."""

    def __init__(self, word: str, why: str = "") -> None:
        super().__init__(word, why)
        self.word = word
        self.why = why


def refused(error: Exception, where: str) -> Verdict:
    """The verdict on an error."""
    if isinstance(error, CorruptError | VersionError | NotFound | DiskError) and PLACE.search(str(error)):
        return Verdict("refused", f"{where}: {error}")
    return Verdict("unnamed", f"{where}: {type(error).__name__}: {error}")


def judge(directory: Path, expected: Answers, shorter: Answers, ids: list[str]) -> Verdict:
    """Open, read in every way, write, check."""
    try:
        store = DocumentStore.open(str(directory), "A")
    except EngineError as error:
        return refused(error, "open")
    try:
        read = judge_reads(store, expected, shorter, ids)
        if read.word in FAILURES:
            return read
        written = judge_writes(store, ids)
        if written.word in FAILURES:
            return written
    finally:
        store.close()
    checked = judge_check(directory)
    for verdict in (checked, read, written):
        if verdict.word in FAILURES:
            return verdict
    return next((each for each in (read, written, checked) if each.word != "equal"), read)


def judge_reads(store: DocumentStore, expected: Answers, shorter: Answers, ids: list[str]) -> Verdict:
    """All ways of reading agree with one and the same truth, or fail, and then fail again."""
    failed = Verdict("equal")
    is_expected = is_shorter = True
    for name, way in ways(store, ids).items():
        try:
            answer = way()
        except EngineError as error:
            failed = refused(error, f"read by {name}")
            if failed.word in FAILURES:
                return failed
            try:
                answer = way()     # what was found damaged once is not trusted the second time
            except EngineError:
                continue
            return Verdict("wrong", f"read by {name}: the second try answers, after {error}")
        is_expected = is_expected and answer == expected[name]
        is_shorter = is_shorter and answer == shorter[name]
        if not is_expected and not is_shorter:
            return Verdict("wrong", f"read by {name}")
    if failed.word == "equal" and not is_expected:
        return Verdict("shorter", "the last transaction is not there")
    return failed


def judge_writes(store: DocumentStore, ids: list[str]) -> Verdict:
    """A new document, an overwritten and a deleted one; what was written reads back."""
    writer = DocumentWriter(store)
    try:
        batch = Batch()
        batch.put("written/1", body("Users", text="new"), None)
        batch.put(ids[len(ids) // 2], body(ids[len(ids) // 2].split("/")[0].title(), text="newer"), None)
        batch.delete(ids[0], None)
        writer.execute(batch)
        found = ways(store, ["written/1", ids[0]])["id"]()
        if found[0] is None or b'"text":"new"' not in found[0][3] or found[1] is not None:
            return Verdict("wrong", "a write does not read back")
    except EngineError as error:
        return refused(error, "write")
    finally:
        writer.close()
    return Verdict("equal")


def judge_check(directory: Path) -> Verdict:
    try:
        findings = check(str(directory))
    except EngineError as error:
        return refused(error, "check")
    if not findings:
        return Verdict("equal")
    if all(PLACE.search(each) or "etag" in each for each in findings[:1]):
        return Verdict("refused", f"check: {findings[0]}")
    return Verdict("unnamed", f"check: {findings[0]}")
