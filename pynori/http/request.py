"""One request as handlers see it: method, path, query, header fields, body.

Query strings arrive in strange forms from the official clients (a leading `&`, a second `?`, keys without a value, keys
repeated, keys in any case, keys with a stray blank): `parse_query` takes them all and never fails on form, only on
bytes that are not UTF-8. Names of header fields are lower-case bytes, as the protocol hands them over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

import msgspec
from pynori_core.http_wire import now_us

from pynori.errors import InvalidArgument

if TYPE_CHECKING:
    from pynori.http.body import BodyStream
    from pynori.http.listener import Listener
    from pynori.http.routes import Route
    from pynori.server.open_database import OpenDatabase
    from pynori.server.server import Server

Query = dict[str, list[str]]

REQUEST_ID = "raft-request-id"  # query key: under this id of the client's a change is made once
TRUE_WORDS = frozenset(("true", "1", "yes"))
FALSE_WORDS = frozenset(("false", "0", "no", ""))


def decode_percent(text: str) -> str:
    """Percent-decode as UTF-8. Raises InvalidArgument when the bytes are not UTF-8."""
    try:
        return unquote_to_bytes(text).decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidArgument(f"the percent-encoded text '{text}' is not UTF-8") from None


def parse_query(text: str) -> Query:
    """The query string (without its first `?`) as lower-case keys with their values in order."""
    query: Query = {}
    for pair in text.split("&"):
        key, _, value = pair.partition("=")
        if "+" in value:
            value = value.replace("+", " ")
        if "%" in value:
            value = decode_percent(value)
        if "%" in key:
            key = decode_percent(key)
        key = key.strip("? +").lower()
        if not key:
            continue
        if key in query:
            query[key].append(value)
        else:
            query[key] = [value]
    return query


class Request:
    """A request with its whole body, or with a stream of it where the route asks for one."""

    __slots__ = (
        "_query",
        "began_us",
        "body",
        "database_name",
        "fields",
        "keep_alive",
        "listener",
        "method",
        "path",
        "query_text",
        "route",
        "state_fields",
        "stream",
        "unread",
    )

    def __init__(
        self,
        listener: Listener,
        method: str,
        path: str,
        query_text: str,
        fields: dict[bytes, bytes],
        route: Route,
        database_name: str,
        body: bytes,
    ) -> None:
        self.listener = listener
        self.method = method
        self.path = path  # as sent, still percent-encoded; for error bodies
        self.query_text = query_text
        self.fields = fields
        self.route = route
        self.database_name = database_name  # decoded; "" where the route names none
        self.body = body
        self.began_us = now_us()
        self.stream: BodyStream | None = None  # the body of a route with Body.STREAM
        self.keep_alive = True
        self.state_fields = False  # it carries fields that concern the cluster's state
        self.unread = False  # a part of it will never be read
        self._query: Query | None = None

    @property
    def server(self) -> Server:
        return self.listener.server

    @property
    def query(self) -> Query:
        if self._query is None:
            self._query = parse_query(self.query_text)
        return self._query

    @property
    def url(self) -> str:
        return f"{self.path}?{self.query_text}" if self.query_text else self.path

    def open_database(self) -> OpenDatabase:
        """The database that the path names. Raises DatabaseDoesNotExist or DatabaseDisabled."""
        return self.listener.server.databases.find(self.database_name)

    def text(self, key: str, default: str = "") -> str:
        """The first value of a query key; `key` in lower case."""
        values = self.query.get(key)
        return values[0] if values else default

    def required(self, key: str) -> str:
        """The first value of a query key that must be there and not empty."""
        value = self.text(key)
        if not value:
            raise InvalidArgument(f"Query string value '{key}' is mandatory, but wasn't specified.")
        return value

    def texts(self, key: str) -> list[str]:
        return self.query.get(key, [])

    def number(self, key: str, default: int, minimum: int = 0, maximum: int = 2**63 - 1) -> int:
        """A query key as an integer within bounds; missing or empty gives the default."""
        text = self.text(key).strip()
        if not text:
            return default
        try:
            value = int(text) if len(text) <= 20 and text.isascii() else None
        except ValueError:
            value = None
        if value is None or "_" in text:
            raise InvalidArgument(f"Query string value '{key}' must be a number, but was '{text[:40]}'.")
        if not minimum <= value <= maximum:
            bounds = f"{minimum} and {maximum}"
            raise InvalidArgument(f"Query string value '{key}' must be within {bounds}, but was {value}.")
        return value

    def flag(self, key: str, default: bool = False) -> bool:
        """A query key as a boolean in any of the spellings that clients use; a key without a value is true."""
        values = self.query.get(key)
        if not values:
            return default
        word = values[0].strip().lower()
        if word in TRUE_WORDS:
            return True
        if word in FALSE_WORDS:
            return word == "" and f"{key}=" not in self.query_text.lower()
        raise InvalidArgument(f"Query string value '{key}' must be true or false, but was '{word[:40]}'.")

    def etag(self, name: bytes) -> str | None:
        """A field that holds an etag, without its quotes; None when it is not there."""
        value = self.fields.get(name)
        if value is None:
            return None
        return value.decode("latin-1").strip().removeprefix("W/").strip('"')

    def json(self) -> Any:
        """The body as JSON values. Raises InvalidArgument."""
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidArgument(f"the request body is not valid JSON: {error}") from None

    def json_object(self) -> dict[str, Any]:
        """The body as a JSON object. Raises InvalidArgument."""
        value = self.json()
        if not isinstance(value, dict):
            raise InvalidArgument("the request body must be a JSON object")
        return value

    def base_url(self) -> str:
        """Scheme, host and port as the client used them, so that topologies lead back to where it came in."""
        host = self.fields.get(b"host")
        return f"http://{host.decode('latin-1')}" if host else self.server.url
