"""A real server process for the official clients' tests, and a new database for each test."""

import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from ravendb import DocumentStore
from ravendb.serverwide.database_record import DatabaseRecord
from ravendb.serverwide.operations.common import CreateDatabaseOperation, DeleteDatabaseOperation

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of one `pynori serve` process; at the end it must drain and exit with 0, and its files must check clean."""
    folder = tmp_path_factory.mktemp("server")
    command = [sys.executable, "-m", "pynori", "serve", "--url", "http://127.0.0.1:0", "--data-dir", str(folder)]
    command += ["--compare-exchange-expiry", "1"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    url = ""
    for line in process.stdout:
        if line.startswith("Server available on:"):
            url = line.split(":", 1)[1].strip()
            break
    assert url, f"the server ended with exit code {process.wait()} before it listened"
    yield url
    process.terminate()
    assert process.wait(20) == 0
    command = [sys.executable, "-m", "pynori", "check", str(folder)]
    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.fixture
def store(server_url: str) -> Iterator[DocumentStore]:
    """An initialized store of the official Python client over a database of its own."""
    database = f"test-{uuid.uuid4().hex[:12]}"
    with DocumentStore(server_url, database) as store:
        store.initialize()
        store.maintenance.server.send(CreateDatabaseOperation(DatabaseRecord(database)))
        yield store
        store.maintenance.server.send(DeleteDatabaseOperation(database, hard_delete=True))
