"""The table of routes: documented, unique, and API.md says the same."""

from __future__ import annotations

from pathlib import Path

import pynori.http
from pynori.http.api import describe, description
from pynori.http.router import Router
from pynori.http.routes import ROUTES


def test_api_page_is_the_table() -> None:
    """API.md is what the table gives; after a change: python -m pynori.http.api > pynori/http/API.md."""
    page = Path(pynori.http.__file__).parent / "API.md"
    assert page.read_text() == describe(ROUTES)


def test_rows_are_sorted_and_described() -> None:
    """Rows stand in the order of their paths, each handler says what it does, and no row hides another."""
    paths = [route.path for route in ROUTES]
    assert paths == sorted(paths)
    assert [route for route in ROUTES if not description(route)] == []
    Router(ROUTES)
