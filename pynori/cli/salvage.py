"""`pynori salvage DIR --out FILE`: bring the documents out of files that do not open any more."""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterable
from pathlib import Path

import click
import msgspec

from pynori.cli import exit_codes
from pynori.cli.check import environments
from pynori.cli.terminal import end, say
from pynori.runtime import codecs  # noqa: F401  (hands the engine its LZ4)

LOSSES_SHOWN_MAX = 40  # the rest is in the file of losses


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="File to write, or folder to write into.")
def command(directory: Path, out: Path) -> None:
    """Bring out every document whose pages are intact, whatever else is broken. Nothing is written to DIR.

    \b
    pynori salvage ./pynori-data/Databases/shop --out shop.jsonl
    pynori import shop.jsonl --database shop2 --create
    pynori salvage ./pynori-data --out rescued/           the state and every database

    \b
    Beside FILE come, when there is something to say: FILE.lost.txt, what is lost; FILE.outdated.jsonl, versions of
    documents whose newer version is lost, or that were deleted; FILE.state.jsonl, values of the cluster's state.
    Exit codes: 0 nothing is lost, 8 something is, 1 the files cannot be read.
    """
    from pynori_core.errors import EngineError

    found = environments(directory)
    into_folder = out.is_dir() or len(found) != 1 or found[0] != directory
    complete = True
    for environment in found:
        target = out / f"{environment.name}.jsonl" if into_folder else out
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            complete = salvage(environment, target) and complete
        except EngineError as error:
            end(exit_codes.FAILED, f"{environment}: {error}")
        except OSError as error:
            end(exit_codes.FAILED, f"{error.filename or environment}: {error.strerror}")
    sys.exit(exit_codes.DONE if complete else exit_codes.PARTLY_DONE)


def salvage(environment: Path, target: Path) -> bool:
    """Write what is left of one environment; whether nothing is lost."""
    from pynori_core.salvage import Salvage

    possible = 0
    with Salvage(environment) as wreck:
        wreck.survey()
        losses = list(wreck.losses())
        lines = []
        for etag, id, _, judgement in wreck.documents():
            if judgement == "possible":
                possible += 1
                lines.append(f"document {id}, etag {etag}, may have been changed or deleted later")
            if judgement == "conflict":
                lines.append(f"document {id}, etag {etag}, is one of several versions in conflict")
        count = write(target, (json for _, _, json, _ in wreck.documents()))
        outdated = write(beside(target, "outdated.jsonl"), (json for _, _, json, _ in wreck.documents(outdated=True)))
        values = write(beside(target, "state.jsonl"), map(state_line, wreck.state()))
    write(beside(target, "lost.txt"), (line.encode("utf-8") for line in losses + lines))
    for line in losses[:LOSSES_SHOWN_MAX]:
        click.echo(f"{environment}: {line}")
    if len(losses) > LOSSES_SHOWN_MAX:
        click.echo(f"{environment}: and {len(losses) - LOSSES_SHOWN_MAX} more, in {beside(target, 'lost.txt')}")
    parts = [f"{count} documents in {target}"]
    parts += [f"{possible} of them may not be the newest"] if possible else []
    parts += [f"{outdated} outdated ones beside it"] if outdated else []
    parts += [f"{values} values of the state beside it"] if values else []
    say(f"{environment}: " + ", ".join(parts) + ("" if losses or lines else "; nothing is lost"))
    return not losses and not lines


def beside(target: Path, ending: str) -> Path:
    return target.with_name(f"{target.name}.{ending}")


def state_line(entry: tuple[str, bytes, bytes]) -> bytes:
    """One value of the state as a line of JSON; what is not JSON itself comes as base64."""
    tree, key, value = entry
    try:
        shown = msgspec.Raw(value) if msgspec.json.decode(value) is not None else msgspec.Raw(b"null")
    except msgspec.DecodeError:
        shown = msgspec.Raw(msgspec.json.encode({"base64": base64.b64encode(value).decode()}))
    return msgspec.json.encode({"tree": tree, "key": key.decode("utf-8", "replace"), "value": shown})


def write(path: Path, lines: Iterable[bytes]) -> int:
    """A file of these lines, whole or not there; none when there are no lines. How many."""
    temporary = path.with_name(path.name + ".new")
    count = 0
    with temporary.open("wb") as file:
        for line in lines:
            file.write(line + b"\n")
            count += 1
    if count:
        temporary.rename(path)
    else:
        temporary.unlink()
    return count
