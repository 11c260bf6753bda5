"""`pynori inspect DIR ...`: print what the files of a database hold, decoded as far as possible.

Only `space` may write, what the journals hold, as every opening does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import click

from pynori.cli import exit_codes
from pynori.cli.terminal import end

VIEWS_WITHOUT_ARGUMENT = ("header", "journal", "space")
VIEWS_WITH_ARGUMENT = {
    "page": "a page number",
    "tree": "the name of a tree",
    "doc": "an id",
    "terms": "a field of an index",
}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("view", type=click.Choice([*VIEWS_WITHOUT_ARGUMENT, *VIEWS_WITH_ARGUMENT]))
@click.argument("argument", required=False)
def command(directory: Path, view: str, argument: str | None) -> None:
    """Print what the files of a database hold.

    \b
    pynori inspect ./pynori-data/Databases/shop header
    pynori inspect ./pynori-data/Databases/shop journal
    pynori inspect ./pynori-data/Databases/shop space
    pynori inspect ./pynori-data/Databases/shop page 41
    pynori inspect ./pynori-data/Databases/shop tree Docs
    pynori inspect ./pynori-data/Databases/shop doc orders/1-A
    pynori inspect ./an/index terms Name
    """
    from pynori_core.errors import EngineError

    if view in VIEWS_WITH_ARGUMENT and argument is None:
        raise click.UsageError(f"{view} needs {VIEWS_WITH_ARGUMENT[view]}")
    if view in VIEWS_WITHOUT_ARGUMENT and argument is not None:
        raise click.UsageError(f"{view} takes no argument")
    if view == "page" and not (argument or "").isdigit():
        raise click.UsageError("page needs a page number")
    try:
        for line in _view(view, argument or "")(str(directory)):
            click.echo(line)
    except (EngineError, OSError) as error:
        end(exit_codes.FAILED, f"{directory}: {error}")


def _view(view: str, argument: str) -> Callable[[str], Iterable[str]]:
    """The engine's printer of a view, called with the directory."""
    import pynori_core.dump as dump
    from pynori_core.check_index import dump_terms

    printers: dict[str, Callable[[str], Iterable[str]]] = {
        "header": dump.header,
        "journal": dump.journal,
        "space": space,
        "page": lambda directory: dump.page(directory, int(argument)),
        "tree": lambda directory: dump.tree(directory, argument),
        "doc": lambda directory: dump.document(directory, argument),
        "terms": lambda directory: dump_terms(directory, argument),
    }
    return printers[view]


def space(directory: str) -> Iterable[str]:
    """The space report, of a database that is not open; opening it may write what its journals hold."""
    from pynori_core.items import DocumentStore

    from pynori.documents.space import SpaceReport
    from pynori.runtime import codecs  # noqa: F401  (hands the engine its LZ4)

    store = DocumentStore.open(directory, "A")
    try:
        return SpaceReport.of(store, Path(directory), collections=True).lines()
    finally:
        store.close()
