"""A database inside a Python process, without a server: the same engine, the same files, several threads.

`pynori.open` is the way in; `ext/EMBEDDING.md` tells lifetimes, threads and the fork rule.
"""

from pynori_core.command import CommandResult
from pynori_core.items import StreamItem

from pynori.documents.statistics import DatabaseStatistics
from pynori.embed.database import EmbeddedBatch, EmbeddedDatabase, open_database
from pynori.embed.document import Document
from pynori.embed.snapshot import Scan, Snapshot

__all__ = [
    "CommandResult", "DatabaseStatistics", "Document", "EmbeddedBatch", "EmbeddedDatabase", "Scan", "Snapshot",
    "StreamItem", "open_database",
]  # fmt: skip
