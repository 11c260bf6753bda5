"""Which process listens on a TCP port, as far as the system tells; for the message that the port is taken."""

from __future__ import annotations

import os
from pathlib import Path

_LISTENING = "0A"


def port_owner(port: int) -> str | None:
    """`process 4242 (name)` for the process that listens on `port`, or None when that cannot be seen."""
    sockets = _listening_sockets(port)
    if not sockets:
        return None
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            held = {os.readlink(descriptor) for descriptor in (process / "fd").iterdir()}
            if held & sockets:
                return f"process {process.name} ({(process / 'comm').read_text().strip()})"
        except OSError:  # another user's process, or one that has just ended
            continue
    return None


def _listening_sockets(port: int) -> set[str]:
    """Links such as `socket:[123]` of the sockets that listen on `port`."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            columns = line.split()
            if columns[3] == _LISTENING and int(columns[1].rpartition(":")[2], 16) == port:
                found.add(f"socket:[{columns[9]}]")
    return found
