"""Where another cluster has a database: asked of the addresses that a task knows of it, one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from urllib.parse import quote

from pynori import limits
from pynori.client.http import HttpClient, RequestFailed, ServerNotReachable
from pynori.errors import Unavailable


async def find_instance(urls: Sequence[str], database: str) -> str:
    """The address of the first member of the database's topology, as the first node that answers tells it.

    Raises: Unavailable with what each address said.
    """
    failures = []
    for url in urls:
        try:
            return await asyncio.get_running_loop().run_in_executor(None, _ask, url, database)
        except (RequestFailed, ServerNotReachable, Unavailable) as error:
            failures.append(f"{url}: {error}")
    raise Unavailable(f"database '{database}' was not found: {'; '.join(failures) or 'no address is known'}")


def _ask(url: str, database: str) -> str:
    with HttpClient(url, limits.CHANNEL_OPEN_MS) as client:
        answer = client.get_json(f"/topology?name={quote(database)}")
    members = [str(node["Url"]) for node in answer["Nodes"] if node.get("ServerRole") == "Member"]
    if not members:
        raise Unavailable(f"no node of database '{database}' is a member now")
    return members[0]
