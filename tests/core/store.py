"""An environment for the tests of trees and tables: every one of them ends with a check that must find nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pynori_core.check import check_environment
from pynori_core.env import Env, ReadTxn, WriteTxn

from pynori.runtime import codecs  # noqa: F401  (hands the engine its LZ4)


class Store:
    """One environment in a directory, or in memory when there is none."""

    def __init__(self, directory: Path | None = None) -> None:
        self.directory = directory
        self.env = Env.create(None if directory is None else str(directory / "env"))

    @contextmanager
    def write(self, abort: bool = False) -> Iterator[WriteTxn]:
        txn = self.env.write()
        try:
            yield txn
        except BaseException:
            txn.abort()
            raise
        if abort:
            txn.abort()
        else:
            txn.commit()

    def read(self) -> ReadTxn:
        return self.env.read()

    @contextmanager
    def damaged(self, page: int, offset: int, data: bytes) -> Iterator[WriteTxn]:
        """A transaction in which bytes of a page are overwritten; they are gone with it."""
        with self.write(abort=True) as txn:
            txn.patch(page, offset, data)
            yield txn

    def file_pages(self) -> int:
        return self.env.statistics()["file_pages"]

    def reopen(self) -> None:
        self.close()
        if self.directory is not None:
            self.env = Env.open(str(self.directory / "env"))

    def close(self) -> None:
        """Check everything, then close."""
        findings = check_environment(self.env)
        self.env.close()
        assert not findings, "\n".join(findings)
