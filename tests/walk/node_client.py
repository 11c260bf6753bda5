"""The official Node client as a process that does what it is told.

The walkthroughs that are about the preferred node need it: the official Python client, as it is, takes turns over all
nodes of a database, since it keeps their role as text and looks for a value of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


def why_not() -> str:
    """Why it cannot be used here; "" when it can."""
    folder = os.environ.get("PYNORI_NODE_MODULES", "")
    if shutil.which("node") is None:
        return "there is no node"
    if not folder or not (Path(folder) / "ravendb").is_dir():
        return "PYNORI_NODE_MODULES names no folder that holds the ravendb client"
    return ""


class NodeClient:
    """One store of the client."""

    def __init__(self, urls: list[str], database: str) -> None:
        self._process = subprocess.Popen(
            ["node", str(HERE / "client.cjs")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._order(open=urls, database=database)

    def save(self, id: str, title: str) -> None:
        self._order(save=id, title=title)

    def load(self, id: str, times: int = 1) -> None:
        """Load a document so many times, in a session each."""
        self._order(load=id, times=times)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)

    def _order(self, **order: Any) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "error" in answer:
            raise RuntimeError(answer["error"])
