"""`pynori compact DIR`: write the files of a database anew, without free space and dead rows."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from pynori.cli import exit_codes
from pynori.cli.check import environments
from pynori.cli.terminal import end, say


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
def command(directory: Path) -> None:
    """Write the files of a database that is not open anew, dense, and put them in the place of the old ones.

    \b
    pynori compact ./pynori-data                      every database in it
    pynori compact ./pynori-data/Databases/shop       one database

    Needs room beside the database for what is in use of it. Whenever it is cut off, the old files or the new ones are
    there, whole. A server that runs compacts its databases by `POST /admin/compact`.
    """
    from pynori_core.errors import EngineError

    for database in environments(directory.resolve()):
        if database.name == "System" and (database.parent / "PYNORI").exists():
            continue
        try:
            before, after = compact_closed(database)
        except (EngineError, OSError) as error:
            end(exit_codes.FAILED, f"{database}: {error}")
        say(f"{database}: {before:,} bytes, now {after:,}")


def compact_closed(directory: Path) -> tuple[int, int]:
    """Compact a database that nobody has open; its bytes on disk before and after."""
    from pynori_core.compact import Compaction, exchange
    from pynori_core.items import DocumentStore

    from pynori.runtime import codecs  # noqa: F401  (hands the engine its LZ4)
    from pynori.server.compaction import size_bytes

    target = directory.with_name(f".compacting-{directory.name}")
    if target.exists():
        shutil.rmtree(target)
    before = size_bytes(directory)
    store = DocumentStore.open(str(directory), "A")
    try:
        compaction = Compaction(store, str(target), "A")
        try:
            compaction.copy()
            compaction.finish()
        finally:
            compaction.close()
    finally:
        store.close()
    exchange(str(directory), str(target))
    shutil.rmtree(target)
    return before, size_bytes(directory)
