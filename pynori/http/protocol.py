"""One HTTP/1.1 connection: bytes in, requests to handlers, answers out in the order of the requests.

Heads and framing are read by httptools (llhttp in its strict mode); limits, bodies, order, back-pressure and closing are
ours. Requests run one after the other, so pipelined ones see what the earlier ones did. A handler that answers at once
costs no task; see response.py.

A client repeats its header fields byte by byte on every request of a connection. So the field block of the last request
that httptools accepted is remembered (`known_fields`): when the same bytes come again behind a plain request line, and the
body is complete, nothing has to be parsed again. Whatever differs by a byte goes to httptools.

Invariants:
- `current` is the request whose answer is due; `queue` holds complete later ones, in order. current None => queue empty,
  unless writing is paused.
- After `closing` is set nothing more is parsed; what still arrives is thrown away until the peer or the deadline ends it.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from typing import TYPE_CHECKING, Any, cast

import httptools

from pynori.errors import BadRequest, Forbidden, LimitExceeded, PynoriError, RequestTimeout
from pynori.http.body import BodyBroken, BodyStream, BufferedBody, body_too_large
from pynori.http.request import Request
from pynori.http.response import Answer, Deferred, Reply, Response, StreamResponse, settle
from pynori.http.routes import Body, answering
from pynori.http.shapes import error_response
from pynori.http.stream import send_stream
from pynori.limits import (
    BODY_RATE_BYTES_PER_SECOND_MIN,
    KNOWN_FIELDS_SIZE_BYTES_MAX,
    PIPELINED_REQUESTS_MAX,
    REQUEST_HEAD_SIZE_BYTES_MAX,
    REQUEST_HEADERS_MAX,
    REQUEST_LINE_SIZE_BYTES_MAX,
)

if TYPE_CHECKING:
    from pynori.http.listener import Listener

REQUEST_LINE = re.compile(rb'(GET|PUT|POST|DELETE) (/[!"$->@-~]*)(?:\?([!"$-~]*))? HTTP/1\.1')
# Fields that must not come twice: two readers of such a request could understand it differently.
SINGLE_FIELDS = frozenset((b"host", b"content-encoding", b"if-match", b"if-none-match", b"expect", b"origin"))
# Requests with these need a look at the state of the cluster before or after their handler.
STATE_FIELDS = (b"topology-etag", b"client-configuration-etag", b"known-raft-index")
# Fields that make a head one of a kind; its bytes are not remembered.
UNUSUAL_FIELDS = (b"transfer-encoding", b"content-encoding", b"expect", b"upgrade", b"origin")
JOINED_BODY_SIZE_BYTES_MAX = 64 * 1024  # larger bodies are handed over beside their head instead of copied behind it


class Connection(asyncio.Protocol):
    """The protocol object of one accepted socket."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.transport: asyncio.Transport | None = None
        self.requests = 0  # requests taken in on this connection

        # The message that is being parsed.
        self.parser = httptools.HttpRequestParser(self)
        self.in_head = False
        self.in_body = False
        self.head_size = 0  # bytes of the fields seen so far
        self.head_fed = 0  # bytes fed since the head began in an earlier feed
        self.target = b""
        self.fields: dict[bytes, bytes] = {}
        self.field_count = 0
        self.request: Request | None = None  # its head is complete, its body is not
        self.buffer: BufferedBody | None = None
        self.fault: PynoriError | None = None  # why a callback ended the parsing
        self.continue_due = False  # "100 Continue" has to be sent when the earlier answers are out

        # A repeated field block; see the head of this file.
        self.known_fields = b""  # from the line end before it to the empty line behind it
        self.known_size = 0  # of known_fields and the body behind it; 0: nothing known
        self.known: dict[bytes, bytes] = {}
        self.known_state_fields = False

        # Requests on their way to an answer.
        self.current: Request | None = None
        self.queue: deque[Request] = deque()
        self.task: asyncio.Task[None] | None = None
        self.deferred: Deferred | None = None

        # Flow and end.
        self.write_paused = False
        self.drained: asyncio.Future[None] | None = None
        self.reading_paused = False
        self.last_request = False  # nothing more will be answered after `current`
        self.closing = False
        self.close_deadline = 0.0
        self.active_at = listener.now  # when something last arrived or was answered
        self.window_at = 0.0  # begin of the window over which the body's rate is measured, or of the head
        self.window_size = 0

    # ---------------------------------------------------------------- bytes in

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.listener.opened(self)

    def data_received(self, data: bytes) -> None:
        self.active_at = self.listener.now
        if self.known_size and self.current is None and not (self.in_head or self.in_body or self.closing):
            line_end = data.find(b"\r\n")
            if len(data) == line_end + self.known_size and data.startswith(self.known_fields, line_end):
                match = REQUEST_LINE.fullmatch(data, 0, line_end)
                if match is not None:
                    self.take_known(match, data[line_end + len(self.known_fields) :])
                    return
        self.parse(data)

    def take_known(self, match: re.Match[bytes], body: bytes) -> None:
        """Run a request whose field block httptools has accepted before, byte by byte."""
        method, path, query = match.groups(b"")
        self.requests += 1
        path_text = path.decode("ascii")
        method_text = method.decode("ascii")
        try:
            route, database_name = self.listener.router.find(method_text, path_text)
        except PynoriError as error:
            route, database_name = answering(error), ""
        if route.body is Body.STREAM or (body and len(body) > route.body_size_bytes_max):
            self.requests -= 1
            self.known_size = 0
            return self.parse(match.string[: match.end()] + self.known_fields + body)
        request = Request(
            self.listener, method_text, path_text, query.decode("ascii"), self.known, route, database_name, body
        )
        request.state_fields = self.known_state_fields
        self.start(request)
        return None

    def parse(self, data: bytes) -> None:
        if self.closing or self.last_request:
            return
        if self.in_head:
            self.head_fed += len(data)
        before = self.requests
        between = not (self.in_head or self.in_body)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # We switch to no other protocol: the request was answered as a plain one, and was the last.
            self.last_request = True
            self.close_if_done()
            return
        except httptools.HttpParserError as error:
            self.reject(self.fault or BadRequest(f"malformed HTTP request: {str(error)[:200]}"))
            return
        if self.in_head and self.head_fed > REQUEST_HEAD_SIZE_BYTES_MAX:
            self.reject(head_too_large("REQUEST_HEAD_SIZE_BYTES_MAX", REQUEST_HEAD_SIZE_BYTES_MAX))
        elif between and self.requests == before + 1 and not (self.in_head or self.in_body):
            self.remember(data)

    def remember(self, data: bytes) -> None:
        """Keep the field block of a request that came alone and whole, when it is a plain one."""
        fields = self.fields
        self.known_size = 0
        line_end = data.find(b"\r\n")
        head_end = data.find(b"\r\n\r\n") + 4
        body_size = int(fields.get(b"content-length", b"0"))
        if line_end <= 0 or head_end - line_end > KNOWN_FIELDS_SIZE_BYTES_MAX or len(data) != head_end + body_size:
            return
        if self.last_request or any(name in fields for name in UNUSUAL_FIELDS):
            return
        if fields.get(b"connection", b"keep-alive").lower() != b"keep-alive" or self.parser.get_http_version() != "1.1":
            return
        self.known_fields = data[line_end:head_end]
        self.known_size = head_end - line_end + body_size
        self.known = fields
        self.known_state_fields = any(name in fields for name in STATE_FIELDS)

    # ---------------------------------------------------------------- callbacks of httptools

    def on_message_begin(self) -> None:
        self.in_head = True
        self.head_size = 0
        self.head_fed = 0
        self.target = b""
        self.fields = {}
        self.field_count = 0
        self.window_at = self.listener.now

    def on_url(self, part: bytes) -> None:
        self.target += part
        if len(self.target) > REQUEST_LINE_SIZE_BYTES_MAX:
            self.stop(head_too_large("REQUEST_LINE_SIZE_BYTES_MAX", REQUEST_LINE_SIZE_BYTES_MAX))

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        size = len(name) + len(value) + 4
        self.head_size += size
        self.field_count += 1
        if size > REQUEST_LINE_SIZE_BYTES_MAX:
            self.stop(head_too_large("REQUEST_LINE_SIZE_BYTES_MAX", REQUEST_LINE_SIZE_BYTES_MAX))
        if self.head_size + len(self.target) > REQUEST_HEAD_SIZE_BYTES_MAX:
            self.stop(head_too_large("REQUEST_HEAD_SIZE_BYTES_MAX", REQUEST_HEAD_SIZE_BYTES_MAX))
        if self.field_count > REQUEST_HEADERS_MAX:
            self.stop(head_too_large("REQUEST_HEADERS_MAX", REQUEST_HEADERS_MAX))
        if name in self.fields and name in SINGLE_FIELDS:
            self.stop(BadRequest(f"the header field '{name.decode('latin-1')}' is given twice"))
        self.fields[name] = value.strip(b" \t")

    def on_headers_complete(self) -> None:
        self.in_head = False
        self.in_body = True
        self.requests += 1
        self.window_at = self.listener.now
        self.window_size = 0
        fields = self.fields
        version = self.parser.get_http_version()
        check_head(self, fields, version)
        request = self.make_request(version)
        gzip = self.accepts_body(request, fields)
        if request.route.body is Body.STREAM:
            request.stream = BodyStream(gzip, self.update_reading)
            self.buffer = None
            self.request = request
            self.submit(request)
        else:
            self.buffer = BufferedBody(request.route.body_size_bytes_max, gzip)
            self.request = request
        if b"expect" in fields and version == "1.1":
            self.continue_due = True
            self.send_continue()

    def make_request(self, version: str) -> Request:
        path, _, query = self.target.decode("ascii").partition("?")
        method = self.parser.get_method().decode("ascii")
        database_name = ""
        try:
            route, database_name = self.listener.router.find(method, path)
        except PynoriError as error:
            route = answering(error)
        request = Request(self.listener, method, path, query, self.fields, route, database_name, b"")
        request.keep_alive = self.parser.should_keep_alive() and version == "1.1"
        request.state_fields = any(name in self.fields for name in STATE_FIELDS)
        return request

    def accepts_body(self, request: Request, fields: dict[bytes, bytes]) -> bool:
        """Refuse a body that the route does not take before a byte of it is read; tell whether it is gzip."""
        length = fields.get(b"content-length")
        route = request.route
        if length is not None and route.body is not Body.STREAM and int(length) > route.body_size_bytes_max:
            self.stop(body_too_large(route.body_size_bytes_max))
        coding = fields.get(b"content-encoding", b"identity").lower()
        if coding not in (b"gzip", b"identity"):
            self.stop(BadRequest(f"Content-Encoding '{coding.decode('latin-1')[:40]}' is not known, only gzip is"))
        return coding == b"gzip"

    def on_body(self, data: bytes) -> None:
        self.window_size += len(data)
        request = self.request
        if request is not None and request.stream is not None:
            request.stream.push(data)
            if request.stream.full:
                self.update_reading()
        elif self.buffer is not None:
            try:
                self.buffer.push(data)
            except PynoriError as error:
                self.stop(error)

    def on_message_complete(self) -> None:
        self.in_body = False
        self.continue_due = False
        request, self.request = self.request, None
        if request is None:
            return
        if request.stream is not None:
            request.stream.end()
        elif self.buffer is not None:
            try:
                request.body = self.buffer.take()
            except PynoriError as error:
                request.route = answering(error)
            self.buffer = None
            self.submit(request)

    def stop(self, error: PynoriError) -> None:
        """End the parsing from inside a callback."""
        self.fault = error
        raise error

    def reject(self, error: PynoriError) -> None:
        """The bytes are no request that we take: answer so, after the earlier answers, and close."""
        request, self.request = self.request, None
        self.in_head = self.in_body = False
        self.known_size = 0
        if request is not None and request.stream is not None:
            # Its handler is at work or next in line; it meets the error where it reads, and answers it.
            request.stream.fail(error)
            request.keep_alive = False
            self.last_request = True
            return
        path = self.target.decode("latin-1").partition("?")[0]
        refusal = Request(self.listener, "", path, "", {}, answering(error), "", b"")
        refusal.keep_alive = False
        refusal.unread = True
        self.submit(refusal)
        self.last_request = True

    # ---------------------------------------------------------------- requests to answers

    def submit(self, request: Request) -> None:
        if self.current is None and not self.queue and not self.write_paused:
            self.start(request)
        else:
            self.queue.append(request)
            self.update_reading()

    def start(self, request: Request) -> None:
        """Call the handler; answer at once when it has an answer at once."""
        reply: Reply
        try:
            reply = self.listener.wait_for_state(request) if request.state_fields else request.route.handler(request)
        except Exception as error:
            reply = error_response(error, request.url)
        if reply.__class__ is Response:
            self.respond(request, cast(Response, reply))
            return
        self.current = request
        if isinstance(reply, Deferred):
            self.deferred = reply
            reply.future.add_done_callback(self.on_deferred)
        else:
            self.task = self.listener.loop.create_task(self.run(request, reply))

    def on_deferred(self, future: asyncio.Future[Any]) -> None:
        request, deferred = self.current, self.deferred
        self.deferred = None
        if request is None or deferred is None or self.transport is None:
            if not future.cancelled():
                future.exception()  # nobody is left to be told
            return
        try:
            response = deferred.render(future.result())
        except (Exception, asyncio.CancelledError) as error:
            response = error_response(error, request.url)
        self.current = None
        self.respond(request, response)
        self.advance()

    async def run(self, request: Request, reply: Reply) -> None:
        """The task of a request whose handler has to wait, or whose answer is a stream."""
        answer: Answer
        try:
            answer = await settle(reply)
        except Exception as error:
            answer = error_response(error, request.url)
        if isinstance(answer, StreamResponse):
            await send_stream(self, request, answer)
        else:
            self.respond(request, answer)
        self.task = None
        self.current = None
        self.advance()

    def advance(self) -> None:
        """Run what waits, and continue reading when there is room again."""
        while self.queue and self.current is None and not self.write_paused and not self.closing:
            self.start(self.queue.popleft())
        self.close_if_done()
        if not self.closing:
            self.send_continue()
            self.update_reading()

    def respond(self, request: Request, response: Response) -> None:
        """Write one whole answer."""
        transport = self.transport
        if transport is None or self.closing:
            return
        listener = self.listener
        status = response.status
        body = response.body
        fields = response.fields
        if request.state_fields:
            fields += listener.freshness(request)
        close = response.close or not request.keep_alive or listener.draining
        unread = request.unread or (request.stream is not None and not request.stream.ended)
        if close or unread:
            close = True
            fields += b"Connection: close\r\n"
        if status in (204, 304):
            transport.write(listener.bare_head(status) + fields + b"\r\n")
        else:
            head = b"%bContent-Length: %d\r\n%b\r\n" % (listener.head(status, response.content_type), len(body), fields)
            if request.method == "HEAD":
                transport.write(head)
            elif len(body) <= JOINED_BODY_SIZE_BYTES_MAX:
                transport.write(head + body)
            else:
                transport.writelines((head, body))
        self.active_at = listener.now
        if close:
            self.close(unread)

    def send_continue(self) -> None:
        if self.continue_due and self.transport is not None and not self.queue:
            stream = self.request.stream if self.request is not None else None
            if self.current is None or (stream is not None and self.current is self.request):
                self.continue_due = False
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    # ---------------------------------------------------------------- flow

    def pause_writing(self) -> None:
        self.write_paused = True
        self.update_reading()

    def resume_writing(self) -> None:
        self.write_paused = False
        self.active_at = self.listener.now
        if self.drained is not None and not self.drained.done():
            self.drained.set_result(None)
        self.advance()

    async def drain(self) -> None:
        """Wait until the socket takes more. Returns at once when it does."""
        if self.write_paused and self.transport is not None:
            self.drained = self.listener.loop.create_future()
            await self.drained
            self.drained = None

    def update_reading(self) -> None:
        """Read from the socket only while there is room for what it brings."""
        if self.transport is None or self.closing or self.transport.is_closing():
            return
        stream = self.request.stream if self.request is not None else None
        pause = self.write_paused or len(self.queue) >= PIPELINED_REQUESTS_MAX or (stream is not None and stream.full)
        if pause and not self.reading_paused:
            self.reading_paused = True
            self.transport.pause_reading()
        elif not pause and self.reading_paused:
            self.reading_paused = False
            self.window_at = self.listener.now
            self.window_size = 0
            self.transport.resume_reading()

    # ---------------------------------------------------------------- the end

    @property
    def idle(self) -> bool:
        return self.current is None and not self.queue and not self.in_head and not self.in_body

    def close_if_done(self) -> None:
        if self.last_request and self.current is None and not self.queue:
            self.close(unread=False)

    def close(self, unread: bool) -> None:
        """Close after what is written. `unread`: the peer may still be sending; read on for a while, or the answer that
        it has not read yet would be lost with the reset."""
        transport = self.transport
        if transport is None or self.closing:
            return
        self.closing = True
        self.queue.clear()
        if unread and transport.can_write_eof():
            self.close_deadline = self.listener.now + self.listener.limits.linger_ms / 1_000
            if self.reading_paused:
                self.reading_paused = False
                transport.resume_reading()
            transport.write_eof()
        else:
            transport.close()

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def eof_received(self) -> bool:
        """The peer sends no more. Answers that are due still go out."""
        stream = self.request.stream if self.request is not None else None
        if self.closing:
            return False
        if stream is not None:
            stream.fail(BodyBroken("the request body ended before its announced end"))
        self.last_request = True
        return self.current is not None or bool(self.queue)

    def connection_lost(self, failure: Exception | None) -> None:
        self.transport = None
        self.closing = True
        self.listener.lost(self)
        if self.request is not None and self.request.stream is not None:
            self.request.stream.fail(BodyBroken("the connection was lost before the request's end"))
        if self.drained is not None and not self.drained.done():
            self.drained.set_result(None)
        if self.task is not None:
            self.task.cancel()
        self.queue.clear()

    def check_time(self, now: float) -> None:
        """Called every tick: end what takes longer than its limit."""
        limits = self.listener.limits
        if self.closing:
            if (self.close_deadline and now > self.close_deadline) or now - self.active_at > limits.idle_timeout_ms / 1_000:
                self.abort()
        elif self.write_paused:
            if now - self.active_at > limits.idle_timeout_ms / 1_000:
                self.abort()
        elif self.in_head:
            if now - self.window_at > limits.header_timeout_ms / 1_000:
                self.reject(RequestTimeout(f"the request head took longer than HEADER_TIMEOUT_MS ({limits.header_timeout_ms})"))
        elif self.in_body:
            self.check_body_rate(now)
        elif self.current is None and now - self.active_at > limits.idle_timeout_ms / 1_000:
            self.close(unread=False)

    def check_body_rate(self, now: float) -> None:
        limits = self.listener.limits
        elapsed = now - self.window_at
        if self.reading_paused or self.continue_due:
            self.window_at = now
            self.window_size = 0
        elif self.request is not None and self.request.stream is not None:
            # A stream may pause, as a bulk insert does while its client computes; it may not fall silent.
            if now - self.active_at > limits.idle_timeout_ms / 1_000:
                self.reject(RequestTimeout(f"the request body was silent for IDLE_TIMEOUT_MS ({limits.idle_timeout_ms})"))
        elif elapsed > limits.header_timeout_ms / 1_000:
            if self.window_size < elapsed * BODY_RATE_BYTES_PER_SECOND_MIN:
                self.reject(
                    RequestTimeout(
                        "the request body came slower than BODY_RATE_BYTES_PER_SECOND_MIN "
                        f"({BODY_RATE_BYTES_PER_SECOND_MIN})"
                    )
                )
            self.window_at = now
            self.window_size = 0


def check_head(connection: Connection, fields: dict[bytes, bytes], version: str) -> None:
    """What llhttp lets pass and we do not: each of these lets two readers see two different requests."""
    target = connection.target
    if version not in ("1.0", "1.1"):
        connection.stop(BadRequest(f"HTTP version {version} is not served, only 1.0 and 1.1 are"))
    if not target.startswith(b"/"):
        connection.stop(BadRequest("the request target must be a path that begins with '/'"))
    if b"#" in target or not target.isascii():
        connection.stop(BadRequest("the request target holds a character that must be percent-encoded"))
    coding = fields.get(b"transfer-encoding")
    if coding is not None and (coding.lower() != b"chunked" or version == "1.0"):
        connection.stop(BadRequest("Transfer-Encoding must be 'chunked', with HTTP/1.1"))
    host = fields.get(b"host")
    if version == "1.1" and not host:
        connection.stop(BadRequest("the header field 'Host' is missing"))
    if host is not None and not HOST.fullmatch(host):
        connection.stop(BadRequest("the header field 'Host' is not a host name with an optional port"))
    if fields.get(b"expect", b"100-continue").lower() != b"100-continue":
        connection.stop(BadRequest("the header field 'Expect' may only be '100-continue'"))
    origin = fields.get(b"origin")
    if origin is not None and connection.parser.get_method() not in (b"GET", b"HEAD"):
        # A browser attaches certificates to whatever page asks it to; only pages of this server may change things.
        if origin.partition(b"://")[2] != host:
            connection.stop(Forbidden("requests from pages of another origin may not change anything"))


HOST = re.compile(rb"[A-Za-z0-9._~%!$&'()*+,;=\[\]:-]+")


def head_too_large(name: str, limit: int) -> LimitExceeded:
    return LimitExceeded(f"the request head exceeds {name} ({limit})")
