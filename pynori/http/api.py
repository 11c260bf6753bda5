"""`API.md` from the table of routes.

    python -m pynori.http.api > pynori/http/API.md
"""

from __future__ import annotations

from collections.abc import Sequence

from pynori.http.routes import ROUTES, Body, Route

HEAD = """\
# HTTP API

Made from `routes.py`; do not edit. Paths and shapes are those of RavenDB's HTTP API, so that its clients work
unchanged; `/health`, `/livez`, `/readyz`, `/metrics` and `/debug/routes` are ours. Paths match in any letter case, and
so do the keys of query strings. Errors are objects of `Url`, `Type`, `Message` and `Error`; `Type` is the name of a
.NET exception, whose last part the clients look at. A path that is not here answers 400, never 404, which clients read
as "null".

When the disk fails, a write ends in one of three ways, and the answer says in which:

- 507 `Raven.Client.Exceptions.DiskFullException`: nothing of it was written; reads and deletes go on. Writing resumes
  without a restart when there is room.
- 500 `Pynori.UnknownOutcomeException`: a sync failed; all of it may be durable, or nothing. Read before repeating.
- 503 `Raven.Client.Exceptions.Database.DatabaseLoadFailureException`: nothing of it was written. After a failed sync
  the database is recovered once by itself; then it stays down until it is disabled and enabled.

A full queue is 503 with `Retry-After`: nothing was written, and repeating is right.

"""


def describe(routes: Sequence[Route]) -> str:
    """The page for these routes: one table row each, in the order of the table."""
    lines = ["| method | path | needs | body | what it does |", "| --- | --- | --- | --- | --- |"]
    for route in routes:
        body = "" if route.body is Body.NONE else route.body.value
        lines.append(
            f"| {route.method} | `{route.path}` | {route.permission.value} | {body} | {description(route)} |"
        )
    return HEAD + "\n".join(lines) + "\n"


def description(route: Route) -> str:
    """The first line of the handler's docstring."""
    return (route.handler.__doc__ or "").strip().partition("\n")[0]


if __name__ == "__main__":
    print(describe(ROUTES), end="")
