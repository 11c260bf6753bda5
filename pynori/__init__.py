"""Pynori, a distributed document database: `pynori.open` embeds one in this process, `pynori serve` runs a server."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pynori.embed import EmbeddedDatabase

__version__ = "0.1.0"
__all__ = ["__version__", "open"]


def open(path: str | os.PathLike[str], *, create: bool = True) -> EmbeddedDatabase:
    """Open the database in a folder, recovering it first, or make one; "mem://" is in memory and gone after close.

    create: False refuses to make a database where there is none.
    Raises: DatabaseInUse, naming the process that has it open; DatabaseDoesNotExist; InvalidArgument, when the
    folder holds something else; StorageFailed.
    """
    # The engine is loaded by who uses it: `import pynori` alone costs nothing.
    from pynori.embed import open_database

    return open_database(path, create=create)
