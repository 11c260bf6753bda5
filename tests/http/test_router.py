"""The router: letter case, names of databases, rows that hide each other, paths that are not there."""

from __future__ import annotations

import pytest

from pynori.errors import RouteNotFound
from pynori.http.request import Request
from pynori.http.response import Response
from pynori.http.router import Router
from pynori.http.routes import ROUTES, Permission, Route
from pynori.limits import ROUTER_PATHS_MAX


def handler(request: Request) -> Response:
    return Response()


def row(method: str, path: str) -> Route:
    return Route(method, path, handler, Permission.NONE)


@pytest.mark.parametrize(
    ("path", "route", "database"),
    [
        ("/databases/db/docs", "/databases/{db}/docs", "db"),
        ("/Databases/DB/DOCS", "/databases/{db}/docs", "DB"),
        ("/databases/db/docs/", "/databases/{db}/docs", "db"),
        ("/databases/my%20db/docs", "/databases/{db}/docs", "my db"),
        ("/databases/%c3%a4/stats/detailed", "/databases/{db}/stats/detailed", "ä"),
        ("/databases/docs/docs", "/databases/{db}/docs", "docs"),
        ("/databases", "/databases", ""),
        ("/build/version", "/build/version", ""),
    ],
)
def test_paths(path: str, route: str, database: str) -> None:
    """Paths match in any letter case; the name of the database comes back decoded, as it was spelt."""
    router = Router(ROUTES)
    for _ in range(2):
        found, name = router.find("GET", path)
        assert (found.path, name) == (route, database)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/databases/db"),
        ("GET", "/databases/db/docs/x"),
        ("GET", "/databases//docs"),
        ("PATCH", "/databases/db/stats"),
        ("GET", "/databases/db%2Fdocs"),
        ("", "/databases"),
    ],
)
def test_paths_that_are_not_there(method: str, path: str) -> None:
    """What the table does not have is an error that names method and path."""
    with pytest.raises(RouteNotFound, match="no handler") as caught:
        Router(ROUTES).find(method, path)
    assert f"{method} {path}" in str(caught.value)


def test_head_is_a_get_without_a_body() -> None:
    """HEAD finds the row of GET unless it has one of its own."""
    router = Router((row("GET", "/a"), row("GET", "/b"), row("HEAD", "/b")))
    assert router.find("HEAD", "/a")[0].method == "GET"
    assert router.find("HEAD", "/b")[0].method == "HEAD"


def test_rows_that_hide_each_other() -> None:
    """Two rows for the same method and path fail when the router is built, whatever their letter case."""
    with pytest.raises(ValueError, match="two rows for GET /A"):
        Router((row("GET", "/a"), row("GET", "/A")))
    Router((row("GET", "/a"), row("PUT", "/a")))


def test_remembered_paths_are_bounded() -> None:
    """A flood of spellings does not grow the router without end."""
    router = Router(ROUTES)
    for number in range(ROUTER_PATHS_MAX + 10):
        router.find("GET", f"/databases/db{number}/docs")
    assert len(router._found) <= ROUTER_PATHS_MAX
    assert router.find("GET", "/databases/db1/docs")[1] == "db1"
