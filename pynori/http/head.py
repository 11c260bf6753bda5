"""What a request head must be before anything acts on it: checks beyond llhttp's, and refusals.

Each thing that is refused here is one that two readers of the same bytes could take for two different requests.
"""

from __future__ import annotations

import re

from pynori import limits
from pynori.errors import BadRequest, Forbidden, LimitExceeded
from pynori.http.body import body_too_large
from pynori.http.request import Request
from pynori.http.routes import Body

HOST = re.compile(rb"[A-Za-z0-9._~%!$&'()*+,;=\[\]:-]+")
# Fields that make a head one of a kind: its bytes are not worth remembering, or must be looked at each time.
UNUSUAL_FIELDS = frozenset((b"transfer-encoding", b"content-encoding", b"expect", b"upgrade", b"origin"))


def check_head(request: Request, version: str) -> None:
    """Refuse what llhttp lets pass and we do not. Raises: BadRequest, Forbidden."""
    fields = request.fields
    if version not in ("1.0", "1.1"):
        raise BadRequest(f"HTTP version {version} is not served, only 1.0 and 1.1 are")
    if not request.path.startswith("/"):
        raise BadRequest("the request target must be a path that begins with '/'")
    url = request.url
    if "#" in url or not url.isascii():
        raise BadRequest("the request target holds a character that must be percent-encoded")
    coding = fields.get(b"transfer-encoding")
    if coding is not None and (coding.lower() != b"chunked" or version == "1.0"):
        raise BadRequest("Transfer-Encoding must be 'chunked', with HTTP/1.1")
    host = fields.get(b"host")
    if version == "1.1" and not host:
        raise BadRequest("the header field 'Host' is missing")
    if host is not None and not HOST.fullmatch(host):
        raise BadRequest("the header field 'Host' is not a host name with an optional port")
    if fields.get(b"expect", b"100-continue").lower() != b"100-continue":
        raise BadRequest("the header field 'Expect' may only be '100-continue'")
    origin = fields.get(b"origin")
    reads = request.method in ("GET", "HEAD") and b"upgrade" not in fields
    if origin is not None and not reads and origin.partition(b"://")[2] != host:
        # A browser attaches certificates to whatever page asks it to; only pages of this server may change things.
        raise Forbidden("requests from pages of another origin may not change anything")


def takes_gzip(request: Request) -> bool:
    """Refuse a body that the route does not take before a byte of it is read; tell whether it is gzip."""
    length = request.fields.get(b"content-length")
    route = request.route
    if length is not None and route.body is not Body.STREAM and int(length) > route.body_size_bytes_max:
        raise body_too_large(route.body_size_bytes_max)
    coding = request.fields.get(b"content-encoding", b"identity").lower()
    if coding not in (b"gzip", b"identity"):
        raise BadRequest(f"Content-Encoding '{coding.decode('latin-1')[:40]}' is not known, only gzip is")
    return coding == b"gzip"


def can_be_repeated(fields: dict[bytes, bytes]) -> bool:
    """Whether a head with these fields says nothing but what the same bytes would say again."""
    if not UNUSUAL_FIELDS.isdisjoint(fields):
        return False
    return fields.get(b"connection", b"keep-alive").lower() == b"keep-alive"


def head_too_large(name: str) -> LimitExceeded:
    return LimitExceeded(f"the request head exceeds {name} ({getattr(limits, name)})")
