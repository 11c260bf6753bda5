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
