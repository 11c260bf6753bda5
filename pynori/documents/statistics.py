"""What a database says about itself, for the statistics endpoint and for metrics; read at the time of asking."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class DatabaseStatistics:
    """Counts, sizes, and counters since the database was opened."""

    documents: int
    tombstones: int
    conflicts: int  # ids in conflict
    versions: int  # that they have
    collections: int
    last_etag: int
    change_vector: str
    size_bytes: int
    # The merger: user transactions handed over and refused by a full queue, commands of committed ones, commits, and
    # what waits now.
    transactions: int
    transactions_failed: int
    transactions_refused: int
    commands: int
    commits: int
    commits_inline: int
    queue_count: int
    queue_bytes: int
    # The environment: syncs, what was written to the journal (bytes, and page images whole or as a difference),
    # checkpoints and the pages they wrote, memory of pages that are not checkpointed yet, free pages of the data file,
    # open snapshots, and how often the writer had to wait for memory.
    syncs: int
    journal_bytes: int
    pages_whole: int
    pages_diff: int
    checkpoints: int
    checkpoint_pages: int
    scratch_bytes: int
    free_pages: int
    readers: int
    writer_waits: int

    @classmethod
    def of(
        cls, documents: int, tombstones: int, conflicts: tuple[int, int], last_etag: int, change_vector: str,
        collections: int, size_bytes: int, environment: dict[str, int], merger: dict[str, int],
    ) -> DatabaseStatistics:  # fmt: skip
        """From the engine's counters."""
        return cls(
            documents=documents,
            tombstones=tombstones,
            conflicts=conflicts[0],
            versions=conflicts[1],
            collections=collections,
            last_etag=last_etag,
            change_vector=change_vector,
            size_bytes=size_bytes,
            transactions=merger["transactions"],
            transactions_failed=merger["failed"],
            transactions_refused=merger["refused"],
            commands=merger["commands"],
            commits=merger["commits"],
            commits_inline=merger["commits_inline"],
            queue_count=merger["queue_count"],
            queue_bytes=merger["queue_bytes"],
            syncs=environment["syncs"],
            journal_bytes=environment["journal_bytes"],
            pages_whole=environment["pages_whole"],
            pages_diff=environment["pages_diff"],
            checkpoints=environment["checkpoints"],
            checkpoint_pages=environment["checkpoint_pages"],
            scratch_bytes=environment["scratch_bytes"],
            free_pages=environment["free_pages"],
            readers=environment["readers"],
            writer_waits=environment["writer_waits"],
        )


def directory_size_bytes(directory: Path) -> int:
    """What the files of a database take on the disk."""
    with os.scandir(directory) as entries:
        return sum(entry.stat().st_blocks * 512 for entry in entries)
