"""From method and path to a route: a trie built from the table, letter case ignored, with the last paths remembered.

A path segment `{db}` in the table matches any name; nothing else is variable. A row that another row would hide fails
when the router is built.
"""

from __future__ import annotations

from collections.abc import Sequence

from pynori.errors import RouteNotFound
from pynori.http.request import decode_percent
from pynori.http.routes import Route
from pynori.limits import ROUTER_PATHS_MAX

DATABASE = "{db}"


class Node:
    """One path segment: what may follow, and the routes that end here by method."""

    __slots__ = ("children", "routes")

    def __init__(self) -> None:
        self.children: dict[str, Node] = {}
        self.routes: dict[str, Route] = {}


class Router:
    """Finds routes. Paths that were found are remembered as they were spelt, up to ROUTER_PATHS_MAX."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = tuple(routes)
        self._root = Node()
        self._found: dict[str, tuple[dict[str, Route], str]] = {}
        for route in routes:
            self._add(route)

    def _add(self, route: Route) -> None:
        node = self._root
        for segment in segments(route.path):
            key = segment if segment == DATABASE else segment.lower()
            node = node.children.setdefault(key, Node())
        if route.method in node.routes:
            raise ValueError(f"routes.py has two rows for {route.method} {route.path}")
        node.routes[route.method] = route

    def find(self, method: str, path: str) -> tuple[Route, str]:
        """The route and the decoded name of the database in the path. Raises RouteNotFound."""
        found = self._found.get(path)
        if found is None:
            found = self._walk(method, path)
            if len(self._found) >= ROUTER_PATHS_MAX:
                self._found.clear()
            self._found[path] = found
        routes, database_name = found
        route = routes.get(method) or (routes.get("GET") if method == "HEAD" else None)
        if route is None:
            raise RouteNotFound(f"There is no handler for path: {method} {path}")
        return route, database_name

    def _walk(self, method: str, path: str) -> tuple[dict[str, Route], str]:
        node: Node | None = self._root
        database_name = ""
        for segment in segments(path):
            assert node is not None
            following = node.children.get(segment.lower())
            if following is None and segment and DATABASE in node.children:
                following = node.children[DATABASE]
                database_name = decode_percent(segment)
            node = following
            if node is None:
                break
        if node is None or not node.routes:
            raise RouteNotFound(f"There is no handler for path: {method} {path}")
        return node.routes, database_name


def segments(path: str) -> list[str]:
    return path.strip("/").split("/")
