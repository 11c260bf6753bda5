"""`pynori check DIR`: verify every invariant of the files of a database, or of everything in a data directory."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from pynori.cli import exit_codes
from pynori.cli.terminal import end, say


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
def command(directory: Path) -> None:
    """Verify the files of a database that is not open; nothing is written.

    \b
    pynori check ./pynori-data                      the state, every database in it and their indexes
    pynori check ./pynori-data/Databases/shop       one database

    \b
    Exit codes: 0 nothing found, 7 problems found, 1 the files cannot be read.
    """
    from pynori_core.check import check
    from pynori_core.errors import EngineError

    from pynori.runtime import codecs  # noqa: F401  (hands the engine its LZ4)

    problems = 0
    for environment in [*environments(directory), *environments_within(directory / "Indexes")]:
        try:
            findings = check(str(environment)) or check_of_index(environment)
        except (EngineError, OSError) as error:
            end(exit_codes.FAILED, f"{environment}: {error}")
        problems += len(findings)
        for finding in findings:
            click.echo(f"{environment}: {finding}")
        say(f"{environment}: {len(findings)} problems" if findings else f"{environment}: ok")
    sys.exit(exit_codes.PROBLEMS_FOUND if problems else exit_codes.DONE)


def check_of_index(environment: Path) -> list[str]:
    """What an index promises beyond its trees; nothing for other environments."""
    from pynori_core.check_index import check_index, is_index
    from pynori_core.env import Env

    with Env.open(str(environment), read_only=True) as env, env.read() as txn:
        return check_index(txn) if is_index(txn) else []


def environments(directory: Path) -> list[Path]:
    """The environments below a data directory, or the directory itself when it is one; and those of indexes."""
    if not (directory / "PYNORI").exists():
        return [directory, *environments_within(directory)]
    databases = directory / "Databases"
    found = sorted(databases.iterdir()) if databases.is_dir() else []
    made = [directory / "System"] if (directory / "System").is_dir() else []
    for path in found:
        if path.is_dir() and not path.name.startswith("."):
            made += [path, *environments_within(path)]
    return made


def environments_within(directory: Path) -> list[Path]:
    """Environments in folders below another one, but those that are half made or half gone."""
    found = (path.parent for path in directory.glob("*/**/data.pynori"))
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(directory).parts))
