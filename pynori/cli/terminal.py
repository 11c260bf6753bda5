"""How verbs speak and end: data on stdout, talk on stderr, one line and a documented exit code for what is wrong."""

from __future__ import annotations

import sys
from typing import NoReturn

from pynori.cli import exit_codes
from pynori.client.http import RequestFailed, ServerNotReachable


def say(text: str) -> None:
    """One line of talk on stderr."""
    print(text, file=sys.stderr, flush=True)


def end(code: int, message: str) -> NoReturn:
    """Say why and exit with `code`, one of exit_codes."""
    say(f"pynori: {message}")
    sys.exit(code)


def end_for(error: RequestFailed | ServerNotReachable) -> NoReturn:
    """End for an error of a request to a server."""
    if isinstance(error, ServerNotReachable):
        end(exit_codes.NOT_REACHABLE, f"{error}. Is the server running? Start one: pynori serve")
    if error.wire_name.endswith("DatabaseDoesNotExistException"):
        end(exit_codes.NOT_FOUND, str(error))
    code = {403: exit_codes.NOT_ALLOWED, 404: exit_codes.NOT_FOUND, 409: exit_codes.CONFLICT}.get(error.status)
    end(exit_codes.FAILED if code is None else code, str(error))
