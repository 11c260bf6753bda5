"""The admin console, as far as the test drivers of the official clients use it: a table of their scripts.

No script is run: a text that is one of these is recognised, everything else is refused. It is open only on a server
that was started with Features.Availability=Experimental and listens on an address of its own machine alone, for it can
stop the server.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from pynori import limits
from pynori.config import is_loopback
from pynori.errors import Forbidden, InvalidArgument
from pynori.http.request import Request
from pynori.http.response import Response, json_response

Script = Callable[[Request, re.Match[str]], Awaitable[Any]]


async def post(request: Request) -> Response:
    """Do what one of the known scripts says."""
    settings = request.server.settings
    host = urlsplit(settings.server_url).hostname or ""
    if settings.features_availability != "Experimental" or not is_loopback(host):
        raise Forbidden(
            "The console is closed. It is for test drivers: open with Features.Availability=Experimental on a server "
            "that listens on a loopback address"
        )
    script = request.json_object().get("Script")
    if not request.flag("serverscript") or not isinstance(script, str):
        raise InvalidArgument("the body must hold 'Script', a string, and 'serverScript=true' be asked for")
    text = " ".join(script.split())
    for pattern, run in SCRIPTS:
        match = pattern.fullmatch(text)
        if match is not None:
            return json_response({"Result": await run(request, match)})
    raise InvalidArgument(f"The console does not know the script '{text[:200]}'")


async def ensure_not_passive(request: Request, match: re.Match[str]) -> None:
    await request.server.state.found()


async def add_node(request: Request, match: re.Match[str]) -> None:
    await request.server.nodes.add(match["url"], match["tag"], match["watcher"] == "true")


async def wait_for_topology(request: Request, match: re.Match[str]) -> None:
    """Until this node knows its cluster and its leader."""
    state = request.server.state
    async with asyncio.timeout(limits.RAFT_INDEX_WAIT_MS_MAX / 1_000):
        while state.is_passive or not state.leader_tag:
            await asyncio.sleep(limits.MEMBERSHIP_LOOK_MS / 1_000)


async def license_is_valid(request: Request, match: re.Match[str]) -> bool:
    return True


async def wait_for_index(request: Request, match: re.Match[str]) -> None:
    await request.server.state.wait_for_index(int(match["index"]))


async def stop_answering(request: Request, match: re.Match[str]) -> None:
    """Requests that come from now on hang; nodes go on to speak with each other. A leader hands its lead on."""
    request.listener.freeze()
    if match["step_down"]:
        request.server.state.driver.step_down()


async def dispose(request: Request, match: re.Match[str]) -> None:
    request.server.want_stop()


def _script(text: str) -> re.Pattern[str]:
    """A script with its variable parts as groups in <...>; blanks count as one."""
    parts = re.split(r"<(\w+=[^>]*)>", text)
    return re.compile(
        "".join(
            f"(?P<{part.partition('=')[0]}>{part.partition('=')[2]})" if number % 2 else re.escape(part)
            for number, part in enumerate(parts)
        )
    )


_STORE = "server.ServerStore"
SCRIPTS: tuple[tuple[re.Pattern[str], Script], ...] = (
    (_script(f'{_STORE}.EnsureNotPassiveAsync(null, "A").Wait();'), ensure_not_passive),
    (
        _script(
            f"{_STORE}.ValidateFixedPort = false;{_STORE}.AddNodeToClusterAsync("
            '"<url=[^"]+>", "<tag=[A-Z]+>", false, <watcher=true|false>, '
            f"{_STORE}.ServerShutdown).Wait();"
        ),
        add_node,
    ),
    (_script(f"{_STORE}.WaitForTopology(0, {_STORE}.ServerShutdown).Wait();"), wait_for_topology),
    (_script(f"return {_STORE}.LicenseManager.LicenseStatus.Type !== 'Invalid'"), license_is_valid),
    (_script(f'{_STORE}.Cluster.WaitForIndexNotification("<index=[0-9]+>").Wait()'), wait_for_index),
    (
        _script(
            f"{_STORE}.InitializationCompleted.Reset(true); {_STORE}.Initialized = false;<step_down=(?: var leader = "
            r"server\.ServerStore\.Engine\.CurrentLeader; if \(leader\) leader\.StepDown\(\);)?>"
        ),
        stop_answering,
    ),
    (_script("server.Dispose()"), dispose),
)  # fmt: skip
