"""`pynori export`: the documents of a database as JSON lines with their @metadata, as `pynori import` takes them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import click
import msgspec

from pynori.cli import exit_codes
from pynori.cli.rows import BrokenFile, array_elements
from pynori.cli.terminal import end, end_for, say
from pynori.client.http import HttpClient, RequestFailed, ServerNotReachable, database_path


class _Metadata(msgspec.Struct):
    collection: str = msgspec.field(name="@collection", default="@empty")


class _Document(msgspec.Struct):
    metadata: _Metadata = msgspec.field(name="@metadata", default_factory=_Metadata)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--database", required=True, help="Database to export.")
@click.option("--collection", help="Only documents of this collection.")
@click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="File to write; else stdout.")
@click.option("--url", default="http://127.0.0.1:8080", envvar="PYNORI_URL", show_default=True, help="The server.")
def command(database: str, collection: str | None, output: Path | None, url: str) -> None:
    """Write the documents of a database as JSON lines.

    \b
    pynori export --database shop --output shop.jsonl
    pynori export --database shop --collection Orders | gzip > orders.jsonl.gz
    """
    try:
        with HttpClient(url) as client:
            lines = _documents(client, database, collection)
            if output is None:
                count = _write(lines, sys.stdout.buffer)
            else:
                # A file of the wanted name is a whole export, never half of one.
                temporary = output.with_name(output.name + ".new")
                with temporary.open("wb") as file:
                    count = _write(lines, file)
                temporary.rename(output)
    except (RequestFailed, ServerNotReachable) as error:
        end_for(error)
    except BrokenFile as error:
        end(exit_codes.FAILED, f"the server's answer broke off: {error}")
    except BrokenPipeError:
        # Whoever read our output has enough. What Python would still flush goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(exit_codes.DONE)
    except OSError as error:
        end(exit_codes.FAILED, f"{error.filename or output}: {error.strerror}")
    say(f"{count} documents exported")


def _documents(client: HttpClient, database: str, collection: str | None) -> Iterator[bytes]:
    pieces = client.stream("GET", database_path(database, "/streams/docs"))
    for _, text in array_elements(lambda: next(pieces, b"")):
        line = text.encode("utf-8")
        if collection is None or _is_of(line, collection):
            yield line


def _is_of(document: bytes, collection: str) -> bool:
    return msgspec.json.decode(document, type=_Document).metadata.collection.lower() == collection.lower()


def _write(lines: Iterator[bytes], file: BinaryIO) -> int:
    count = 0
    for line in lines:
        file.write(line + b"\n")
        count += 1
    file.flush()
    return count
