"""A small blocking HTTP client: one connection, kept alive, errors as exceptions with the server's own words."""

from __future__ import annotations

import http.client
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from pynori import limits


class ServerNotReachable(Exception):
    """Nobody answers at the address, or the connection broke before the answer."""


class RequestFailed(Exception):
    """The server has answered with an error. `wire_name` is its .NET type name, "" when there was none."""

    def __init__(self, status: int, wire_name: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.wire_name = wire_name


class HttpClient:
    """One server. Not for use from several threads at once."""

    def __init__(self, url: str, timeout_ms: int = limits.CLIENT_TIMEOUT_MS) -> None:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme != "http" or not parts.hostname:
            raise ServerNotReachable(f"{url} is not an address of the form http://HOST:PORT")
        self.url = f"http://{parts.netloc}"
        self._connection = http.client.HTTPConnection(parts.hostname, parts.port or 80, timeout=timeout_ms / 1_000.0)

    def __enter__(self) -> HttpClient:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def request(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """The body of the answer. Raises: RequestFailed for a status of 400 and more, ServerNotReachable."""
        response = self._send(method, path, body)
        try:
            content = response.read(limits.CLIENT_RESPONSE_SIZE_BYTES_MAX + 1)
        except (OSError, http.client.HTTPException) as error:
            raise self._lost(error) from error
        if len(content) > limits.CLIENT_RESPONSE_SIZE_BYTES_MAX:
            self.close()
            raise RequestFailed(
                response.status, "", f"CLIENT_RESPONSE_SIZE_BYTES_MAX: the answer of {path} is too large"
            )
        if response.status >= 400:
            raise _failure(response.status, content)
        return content

    def get_json(self, path: str) -> Any:
        return msgspec.json.decode(self.request("GET", path))

    def stream(self, method: str, path: str, body: bytes | None = None) -> Iterator[bytes]:
        """The body of the answer in pieces. Raises as `request`, also in the middle."""
        response = self._send(method, path, body)
        try:
            if response.status >= 400:
                raise _failure(response.status, response.read(limits.CHUNK_SIZE_BYTES))
            while piece := response.read(limits.CHUNK_SIZE_BYTES):
                yield piece
        except (OSError, http.client.HTTPException) as error:
            raise self._lost(error) from error
        finally:
            if not response.isclosed():
                self.close()

    def _send(self, method: str, path: str, body: bytes | None) -> http.client.HTTPResponse:
        was_open = self._connection.sock is not None
        headers = {"Content-Type": "application/json; charset=utf-8"} if body is not None else {}
        try:
            self._connection.request(method, path, body, headers)
            return self._connection.getresponse()
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError) as error:
            self.close()
            if was_open and method in ("GET", "PUT"):
                return self._send(method, path, body)  # the server had closed the kept connection meanwhile
            raise self._lost(error) from error
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise self._lost(error) from error

    def _lost(self, error: Exception) -> ServerNotReachable:
        self.close()
        if isinstance(error, ConnectionRefusedError):
            return ServerNotReachable(f"Connection refused at {self.url}")
        return ServerNotReachable(f"No answer from {self.url}: {error or type(error).__name__}")


def database_path(database: str, path: str, query: Mapping[str, object] | None = None) -> str:
    """`/databases/{database}{path}?query`, everything escaped."""
    return f"/databases/{quote(database, safe='')}{path}" + (f"?{urlencode(query)}" if query else "")


def _failure(status: int, content: bytes) -> RequestFailed:
    """From the error body {Url, Type, Message, Error}, or from whatever stands there instead."""
    try:
        body = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        body = None
    if not isinstance(body, dict):
        return RequestFailed(status, "", f"The server answered {status}: {content[:200].decode('utf-8', 'replace')}")
    message = body.get("Message") or body.get("Error") or f"The server answered {status}"
    return RequestFailed(status, str(body.get("Type") or ""), str(message))
