"""`pynori import`: a file of rows into a collection of a running server, in confirmed steps that can be taken up again.

The file is read as a stream. Rows are sent in segments; the server confirms a whole segment, and what was confirmed is
noted in `FILE.import-state.json` together with the ids that the next segment will use. An import that was interrupted,
run again with the same words, goes on behind the last confirmed segment; the one that was under way is sent again under
the same ids, so no row arrives twice. Rejected rows go to `FILE.rejected.jsonl` with line and reason.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import click
import msgspec

from pynori import limits
from pynori.cli import exit_codes
from pynori.cli.rows import BrokenFile, Row, detect_form, read_rows
from pynori.cli.terminal import end, end_for, say
from pynori.client.bulk_insert import IdRange, IdRanges, bulk_insert
from pynori.client.http import HttpClient, RequestFailed, ServerNotReachable


class State(msgspec.Struct):
    """What `FILE.import-state.json` holds: how far an import has come, and of which import it speaks."""

    target: str
    file_size_bytes: int
    file_modified_ns: int
    rows: int = 0  # rows of the file that are done: confirmed or rejected
    stored: int = 0
    rejected: int = 0
    rejected_size_bytes: int = 0  # of the file of rejected rows; what is behind belongs to a segment that was cut short
    ranges: list[IdRange] = []  # ids that the rows after these will use


@dataclass(slots=True)
class _Prepared:
    """A row that can be sent."""

    row: Row
    id: str
    body: bytes


class _Rejected(Exception):
    """Why a row cannot be sent."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--database", required=True, help="Database to import into.")
@click.option("--collection", help="Collection of the documents; without it each row's own @metadata must name one.")
@click.option("--id-field", help="Field that holds the id: '7' becomes 'people/7'; a value with '/' is taken as it is.")
@click.option("--url", default="http://127.0.0.1:8080", envvar="PYNORI_URL", show_default=True, help="The server.")
@click.option("--format", "form", type=click.Choice(["json", "jsonl", "csv"]), help="Form of the file, if not evident.")
@click.option("--text", "keep_text", is_flag=True, help="CSV: keep every value a string.")
@click.option("--create", is_flag=True, help="Create the database when there is none.")
def command(
    file: Path,
    database: str,
    collection: str | None,
    id_field: str | None,
    url: str,
    form: str | None,
    keep_text: bool,
    create: bool,
) -> None:
    """Load a file of JSON or CSV rows into a collection.

    \b
    pynori import people.csv --database crm --collection People --id-field email
    pynori import orders.jsonl --database shop --collection Orders --create
    pynori import dump.json --database shop                        rows that carry their own @metadata

    \b
    Run again after an interruption, it goes on where it was.
    Exit codes: 0 all rows stored, 8 some were rejected, 3 no server, 5 no such database, 1 failed.
    """
    try:
        with HttpClient(url) as client, file.open("rb") as source:
            if create:
                _create_database(client, database)
            run = ImportRun(client, file, database, collection, id_field)
            run.go(source, form or detect_form(file), keep_text)
    except (RequestFailed, ServerNotReachable) as error:
        end_for(error)
    except BrokenFile as error:
        end(exit_codes.FAILED, f"{file}: {error}")
    except OSError as error:
        end(exit_codes.FAILED, f"{error.filename or file}: {error.strerror}")
    except KeyboardInterrupt:
        end(exit_codes.INTERRUPTED, "interrupted; run the same command again to go on")
    run.report()


def _create_database(client: HttpClient, database: str) -> None:
    try:
        client.request("PUT", "/admin/databases?replicationFactor=1", msgspec.json.encode({"DatabaseName": database}))
    except RequestFailed as error:
        if error.status != 409:
            raise


def id_prefix(collection: str) -> str:
    """People -> people/, OrderLines -> OrderLines/: as the clients do, lower case unless several letters are upper."""
    return (collection if sum(letter.isupper() for letter in collection) > 1 else collection.lower()) + "/"


class ImportRun:
    """One import of one file."""

    def __init__(
        self, client: HttpClient, file: Path, database: str, collection: str | None, id_field: str | None
    ) -> None:
        self._client = client
        self._file = file
        self._database = database
        self._collection = collection
        self._id_field = id_field
        self._state_path = file.with_name(file.name + ".import-state.json")
        self._rejected_path = file.with_name(file.name + ".rejected.jsonl")
        self._state = self._load_state()
        self._ids = IdRanges(client, database, id_prefix(collection or ""), self._state.ranges)
        self._refused_by_server = 0

    def go(self, source: BinaryIO, form: str, keep_text: bool) -> None:
        """Import everything that is not done yet, and remove the state at the end."""
        with _progress(self._state.file_size_bytes) as advance:
            for segment in self._segments(read_rows(source, form, keep_text)):
                self._send_segment(segment)
                advance(sum(len(row.text) for row in segment), self._state)
        self._state_path.unlink(missing_ok=True)

    def report(self) -> None:
        """Say what was done, and exit."""
        say(f"{self._state.stored} documents stored, {self._state.rejected} rows rejected")
        if not self._state.rejected:
            sys.exit(exit_codes.DONE)
        with self._rejected_path.open("rb") as lines:
            for shown, line in enumerate(lines):
                if shown == limits.IMPORT_REJECTED_SHOWN_MAX:
                    say("...")
                    break
                entry = msgspec.json.decode(line)
                say(f"line {entry['line']}: {entry['reason']}")
        say(f"All rejected rows are in {self._rejected_path}")
        sys.exit(exit_codes.PARTLY_DONE)

    def _segments(self, rows: Iterator[Row]) -> Iterator[list[Row]]:
        """The rows that are not done yet, as many at a time as the server confirms together."""
        segment: list[Row] = []
        size_bytes = 0
        done = self._state.rows
        broken = None
        try:
            for number, row in enumerate(rows):
                if number < done:
                    continue
                segment.append(row)
                size_bytes += len(row.text)
                if len(segment) >= limits.IMPORT_SEGMENT_ROWS or size_bytes >= limits.IMPORT_SEGMENT_SIZE_BYTES:
                    yield segment
                    segment, size_bytes = [], 0
        except BrokenFile as error:
            broken = error
        if segment:
            yield segment
        if broken is not None:
            raise broken  # after what came before it is stored

    # ------------------------------------------------------------ one segment

    def _send_segment(self, rows: list[Row]) -> None:
        ranges_before = list(self._ids.ranges)
        prepared: list[_Prepared] = []
        rejected: list[tuple[Row, str]] = []
        for row in rows:
            try:
                prepared.append(self._prepare(row))
            except _Rejected as error:
                rejected.append((row, str(error)))
        # Ids of this segment first: when its confirmation is lost, it is sent again under the same ones.
        self._state.ranges = ranges_before + self._ids.taken
        self._ids.taken.clear()
        self._save_state()
        rejected += self._store(prepared)
        self._append_rejected(sorted(rejected, key=lambda entry: entry[0].line))
        self._state.rows += len(rows)
        self._state.stored += len(rows) - len(rejected)
        self._state.rejected += len(rejected)
        self._state.ranges = list(self._ids.ranges)
        self._save_state()

    def _store(self, documents: list[_Prepared]) -> list[tuple[Row, str]]:
        """Store what the server takes; returns what it refuses, found by sending ever smaller halves."""
        if not documents:
            return []
        try:
            bulk_insert(self._client, self._database, ((each.id, each.body) for each in documents))
        except RequestFailed as error:
            if error.status not in (400, 409, 413, 500):
                raise
            if len(documents) > 1:
                middle = len(documents) // 2
                return self._store(documents[:middle]) + self._store(documents[middle:])
            self._refused_by_server += 1
            if self._refused_by_server > limits.IMPORT_REFUSED_MAX:
                raise
            return [(documents[0].row, str(error))]
        return []

    def _prepare(self, row: Row) -> _Prepared:
        """The document of a row with its id and metadata. Raises: _Rejected."""
        if row.reason:
            raise _Rejected(row.reason)
        try:
            members = msgspec.json.decode(row.text, type=dict[str, msgspec.Raw])
            metadata = msgspec.json.decode(members.get("@metadata", b"{}"), type=dict[str, msgspec.Raw])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _Rejected(f"not a JSON object: {error}") from None
        if self._collection is not None:
            metadata["@collection"] = msgspec.Raw(msgspec.json.encode(self._collection))
        elif "@collection" not in metadata:
            raise _Rejected("no collection: its @metadata names none, and --collection is not given")
        id = self._id_of(members, metadata)
        members["@metadata"] = msgspec.Raw(msgspec.json.encode(metadata))
        return _Prepared(row, id, msgspec.json.encode(members))

    def _id_of(self, members: dict[str, msgspec.Raw], metadata: dict[str, msgspec.Raw]) -> str:
        if self._id_field is not None:
            if self._id_field not in members:
                raise _Rejected(f"no field {self._id_field} for the id")
            value = msgspec.json.decode(members[self._id_field])
            if not isinstance(value, str | int) or isinstance(value, bool) or value == "":
                raise _Rejected(f"the id field {self._id_field} holds neither text nor a whole number")
            collection = msgspec.json.decode(metadata["@collection"])
            id = str(value) if "/" in str(value) else id_prefix(str(collection)) + str(value)
        elif "@id" in metadata:
            id = str(msgspec.json.decode(metadata["@id"]))
        elif self._collection is None:
            raise _Rejected("no id: its @metadata holds no @id, and --id-field is not given")
        else:
            return self._ids.next()
        if not id or len(id.encode("utf-8")) > limits.ID_SIZE_BYTES_MAX or not id.isprintable():
            raise _Rejected(f"the id needs 1 to ID_SIZE_BYTES_MAX = {limits.ID_SIZE_BYTES_MAX} bytes, all printable")
        if id.endswith(("/", "|")):
            raise _Rejected(f"the id {id} ends with '/' or '|', for which the server makes new ids")
        return id

    # ------------------------------------------------------------ the two files beside

    def _load_state(self) -> State:
        about = self._file.stat()
        target = f"{self._database} {self._collection or ''} {self._id_field or ''}"
        fresh = State(target, about.st_size, about.st_mtime_ns)
        try:
            found = msgspec.json.decode(self._state_path.read_bytes(), type=State)
        except FileNotFoundError:
            found = None
        except msgspec.DecodeError:
            found = None
            say(f"{self._state_path} cannot be read; beginning anew")
        if found is not None:
            same = (found.target, found.file_size_bytes, found.file_modified_ns)
            if same == (fresh.target, fresh.file_size_bytes, fresh.file_modified_ns):
                if found.rows:
                    say(f"Going on after row {found.rows}")
                if self._rejected_path.exists():
                    os.truncate(self._rejected_path, found.rejected_size_bytes)
                return found
            say(f"{self._state_path} is of another import; beginning anew")
        self._rejected_path.unlink(missing_ok=True)
        return fresh

    def _save_state(self) -> None:
        temporary = self._state_path.with_name(self._state_path.name + ".new")
        temporary.write_bytes(msgspec.json.encode(self._state))
        temporary.rename(self._state_path)

    def _append_rejected(self, rejected: list[tuple[Row, str]]) -> None:
        if rejected:
            with self._rejected_path.open("ab") as file:
                for row, reason in rejected:
                    entry = {"line": row.line, "reason": reason, "row": row.text.decode("utf-8", "replace")}
                    file.write(msgspec.json.encode(entry) + b"\n")
                self._state.rejected_size_bytes = file.tell()


@contextmanager
def _progress(total_bytes: int) -> Iterator[Any]:
    """A callable (bytes, state) that moves a bar on a terminal, and nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda size_bytes, state: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("0 rows", total=total_bytes)

        def advance(size_bytes: int, state: State) -> None:
            bar.update(task, advance=size_bytes, description=f"{state.rows} rows, {state.rejected} rejected")

        yield advance
