"""Query strings in all the forms that clients send, and the readers of their values."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from pynori.errors import InvalidArgument
from pynori.http.request import Request, parse_query


def request(query: str = "", body: bytes = b"", **fields: str) -> Request:
    named = {name.replace("_", "-").encode(): value.encode() for name, value in fields.items()}
    listener = SimpleNamespace(server=SimpleNamespace(url="http://server:1"))
    return Request(listener, "GET", "/path", query, named, None, "", body)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("&id=users/1", {"id": ["users/1"]}),
        ("?&waitForIndexes=true", {"waitforindexes": ["true"]}),
        ("id=a&id=b&ID=c", {"id": ["a", "b", "c"]}),
        ("wait-for-indexing", {"wait-for-indexing": [""]}),
        ("name=x&first-topology-update&y=", {"name": ["x"], "first-topology-update": [""], "y": [""]}),
        ("start=0&pageSize10 ", {"start": ["0"], "pagesize10": [""]}),
        ("name=db&?raft-request-id=1-2", {"name": ["db"], "raft-request-id": ["1-2"]}),
        ("id=users%2F1%20x+y", {"id": ["users/1 x y"]}),
        ("id=a=b", {"id": ["a=b"]}),
        ("id=%E2%82%AC", {"id": ["€"]}),
        ("%69d=1", {"id": ["1"]}),
        ("a=%zz", {"a": ["%zz"]}),
        ("&&=x&", {}),
    ],
)
def test_query_strings(text: str, expected: dict[str, list[str]]) -> None:
    """Strange query strings are read as the clients mean them."""
    assert parse_query(text) == expected


def test_values_that_are_no_text() -> None:
    """Bytes that are not UTF-8 are refused."""
    with pytest.raises(InvalidArgument, match="UTF-8"):
        parse_query("id=%ff%fe")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("x=true", True),
        ("x=True", True),
        ("x=false", False),
        ("x=False", False),
        ("x", True),
        ("x=", False),
        ("", False),
    ],
)
def test_flags(query: str, expected: bool) -> None:
    """Booleans in the spellings of all clients; a key without `=` is true, an empty value is false."""
    assert request(query).flag("x") is expected


def test_bad_values_name_their_key() -> None:
    """A value that cannot be read is refused with the key's name."""
    for query, read in (
        ("x=abc", lambda r: r.number("x", 0)),
        ("x=-1", lambda r: r.number("x", 0)),
        ("x=1_0", lambda r: r.number("x", 0)),
        ("x=99999999999999999999", lambda r: r.number("x", 0)),
        ("x=" + "9" * 5_000, lambda r: r.number("x", 0)),
        ("x=perhaps", lambda r: r.flag("x")),
        ("x=", lambda r: r.required("x")),
    ):
        with pytest.raises(InvalidArgument, match="'x'"):
            read(request(query))
    assert request("x=&y=7").number("x", 5) == 5
    assert request("x=&y=7").number("y", 5) == 7


@pytest.mark.parametrize(
    ("value", "expected"),
    [('"A:1-x"', "A:1-x"), ("A:1-x", "A:1-x"), ('""', ""), ('W/"7"', "7"), ('"404 Response"', "404 Response")],
)
def test_etags(value: str, expected: str) -> None:
    """Etags come quoted or not."""
    assert request(if_match=value).etag(b"if-match") == expected
    assert request().etag(b"if-match") is None


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"\xff", b"null", b"[" * 100_000])
def test_bodies_that_are_no_objects(body: bytes) -> None:
    """Whatever is not a JSON object is refused, nothing breaks."""
    with pytest.raises(InvalidArgument):
        request(body=body).json_object()


def test_base_url_is_the_one_that_the_client_used() -> None:
    """Topologies lead back to where the request came in."""
    assert request(host="example:8080").base_url() == "http://example:8080"
    assert request().base_url() == "http://server:1"
