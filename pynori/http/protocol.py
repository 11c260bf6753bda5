"""One HTTP/1.1 connection: bytes in, requests to handlers, answers out in the order of the requests.

Heads and framing are read by httptools (llhttp in its strict mode); limits, bodies, order, back-pressure and closing
are ours. Requests run one after the other, so pipelined ones see what the earlier ones did. A handler that answers at
once costs no task; see response.py. The native half, `pynori_core.http_wire`, collects heads and takes the short cuts
for clients that repeat themselves.

Invariants:
- `current` is the request whose answer is due; `queue` holds later ones, in order. current None => queue empty, unless
  writing is paused.
- After `closing` is set nothing more is parsed; what still arrives is thrown away until the peer or a deadline ends it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, NoReturn

import httptools
from pynori_core.http_wire import Wire

from pynori.errors import BadRequest, PynoriError
from pynori.http.body import BodyBroken, BodyStream, BufferedBody
from pynori.http.handlers.documents import put, written
from pynori.http.head import can_be_repeated, check_head, head_too_large, takes_gzip
from pynori.http.request import Request
from pynori.http.response import Answer, Deferred, Reply, Response, StreamResponse, Upgrade, field, settle
from pynori.http.routes import Body, Permission, Route, answering
from pynori.http.shapes import error_response
from pynori.http.stream import send_stream
from pynori.limits import PIPELINED_REQUESTS_MAX, REQUEST_HEAD_SIZE_BYTES_MAX

if TYPE_CHECKING:
    from pynori.http.listener import Listener

# Requests with these need a look at the state of the cluster before or after their handler.
STATE_FIELDS = frozenset((b"topology-etag", b"client-configuration-etag", b"known-raft-index"))
RESET = b"RESET "
STAND_IN = b"PATCH "  # as long, so that positions stay true
BODY_FIELDS = frozenset((b"content-length", b"transfer-encoding"))
# The route of what the native half has begun.
COUNTED = Route("PUT", "", put, Permission.WRITE)
JOINED_BODY_SIZE_BYTES_MAX = 64 * 1024  # larger bodies are handed over beside their head instead of copied behind it


class Connection(Wire, asyncio.Protocol):
    """The protocol object of one accepted socket."""

    def __init__(self, listener: Listener) -> None:
        super().__init__(listener.moment)
        self.listener = listener

        # The message that is being parsed.
        self.parser = httptools.HttpRequestParser(self)
        self.head_fed = 0  # bytes fed since the head began in an earlier feed
        self.request: Request | None = None  # its head is complete, its body is not
        self.buffer: BufferedBody | None = None
        self.fault: PynoriError | None = None  # why a callback ended the parsing
        self.continue_due = False  # "100 Continue" has to be sent when the earlier answers are out
        self.is_reset = False  # the head that is being parsed began with RESET
        self.known_state_fields = False  # of the field block that `Wire` remembers
        self.write_path = ""  # of the writes that `Wire` begins

        # Requests on their way to an answer.
        self.queue = deque[Request]()
        self.task: asyncio.Task[None] | None = None
        self.deferred: Deferred | None = None

        # Flow and end.
        self.write_paused = False
        self.drained: asyncio.Future[None] | None = None
        self.reading_paused = False
        self.peer_done = False  # the peer sends no more
        self.upgrading: Upgrade | None = None  # agreed to; the parser has not come to the end of the request
        self.behind_upgrade = b""  # what came behind the request that asks for an upgrade
        self.close_deadline = 0.0
        self.window_at = 0.0  # begin of the window over which the body's rate is measured, or of the head
        self.window_size = 0

    # ---------------------------------------------------------------- bytes in

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.listener.opened(self)

    def take(self, method: str, path: str, query: str, body: bytes) -> bool:
        """Run a request whose field block has been accepted before. False: it has to be parsed after all."""
        listener = self.listener
        try:
            route, database_name = listener.router.find(method, path)
        except PynoriError as error:
            route, database_name = answering(error), ""
        if body and (route.body is Body.STREAM or len(body) > route.body_size_bytes_max):
            return False
        self.requests += 1
        request = Request(listener, method, path, query, self.known, route, database_name, body)
        request.state_fields = self.known_state_fields
        self.start(request)
        if route.by_id and query.startswith("id="):
            self.remember_way(request)
        return True

    def remember_way(self, request: Request) -> None:
        """Let the native half run what differs from this request in the document's id and body alone."""
        fields = request.fields
        if "&" in request.query_text or b"if-none-match" in fields or b"if-match" in fields:
            return
        state = self.listener.server.state
        index = state.raft_index
        if request.state_fields and (self.listener.freshness(request) or b"known-raft-index" in fields):
            return
        try:
            database = request.open_database().database
        except PynoriError:
            return
        prefix = f"{request.method} {request.path}?id=".encode("ascii")
        watched = state if request.state_fields else None
        if request.method == "GET":
            self.remember_read(prefix, database.answer, watched, index)
        elif request.method == "PUT":
            self.write_path = request.path
            self.remember_write(prefix, database.puts, watched, index)

    def answer_write(self, id: str, change_vector: str) -> None:
        """The answer of a write that the native half has begun, where it is not a common one."""
        self.respond(self.written_request(), written(id, change_vector))

    def answer_write_failure(self, error: BaseException) -> None:
        self.respond(self.written_request(), error_response(error, self.write_path))

    def written_request(self) -> Request:
        """Stands for a request that the native half has begun; it counts the duration itself."""
        return Request(self.listener, "PUT", self.write_path, "", self.known, COUNTED, "", b"")

    def parse(self, data: bytes) -> None:
        """Feed what has arrived to the parser."""
        if self.closing or self.last_request:
            return
        between = not (self.in_head or self.in_body)
        if between and data.startswith(RESET):
            # The parser knows the methods of the standards alone; this one begins a message or is refused.
            data = STAND_IN + data[len(RESET) :]
            self.is_reset = True
            between = False
        if self.in_head:
            self.head_fed += len(data)
        before = self.requests
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            # The handler decides whether the connection leaves HTTP. If not, this was its last request.
            self.last_request = True
            self.behind_upgrade = data[upgrade.args[0] :]
            if self.upgrading is not None:
                self.give_away(self.upgrading)
            else:
                self.close_if_done()
            return
        except httptools.HttpParserError as error:
            self.reject(self.fault or BadRequest(f"malformed HTTP request: {str(error)[:200]}"))
            return
        if self.in_head and self.head_fed > REQUEST_HEAD_SIZE_BYTES_MAX:
            self.reject(head_too_large("REQUEST_HEAD_SIZE_BYTES_MAX"))
        elif between and self.requests == before + 1 and not (self.in_head or self.in_body or self.last_request):
            fields = self.fields
            if can_be_repeated(fields) and self.parser.get_http_version() == "1.1":
                self.remember(data, int(fields.get(b"content-length", b"0")))
                self.known_state_fields = not STATE_FIELDS.isdisjoint(fields)

    # ---------------------------------------------------------------- callbacks of the parser; see also Wire

    def head_begun(self) -> None:
        self.head_fed = 0
        self.window_at = self.moment.now

    def on_headers_complete(self) -> None:
        self.in_head = False
        self.in_body = True
        self.requests += 1
        self.window_at = self.moment.now
        self.window_size = 0
        version = self.parser.get_http_version()
        request = self.make_request(version)
        gzip = False
        try:
            check_head(request, version)
            gzip = takes_gzip(request)
        except PynoriError as error:
            self.stop(error)
        self.request = request
        if request.route.body is Body.STREAM:
            request.stream = BodyStream(gzip, self.update_reading)
            self.submit(request)
        elif not BODY_FIELDS.isdisjoint(request.fields):
            self.buffer = BufferedBody(request.route.body_size_bytes_max, gzip)
        if b"expect" in request.fields and version == "1.1":
            self.continue_due = True
            self.send_continue()

    def make_request(self, version: str) -> Request:
        path, _, query = self.target.decode("latin-1").partition("?")
        method = "RESET" if self.is_reset else self.parser.get_method().decode("ascii")
        self.is_reset = False
        database_name = ""
        try:
            route, database_name = self.listener.router.find(method, path)
        except PynoriError as error:
            route = answering(error)
        request = Request(self.listener, method, path, query, self.fields, route, database_name, b"")
        request.keep_alive = self.parser.should_keep_alive() and version == "1.1"
        request.state_fields = not STATE_FIELDS.isdisjoint(self.fields)
        return request

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
            return
        if self.buffer is not None:
            try:
                request.body = self.buffer.take()
            except PynoriError as error:
                request.route = answering(error)
            self.buffer = None
        self.submit(request)

    def refuse_head(self, limit: str) -> None:
        self.stop(head_too_large(limit))

    def refuse_twice(self, name: bytes) -> None:
        self.stop(BadRequest(f"the header field '{name.decode('latin-1')}' is given twice"))

    def stop(self, error: PynoriError) -> NoReturn:
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
        if isinstance(reply, Response):
            self.respond(request, reply)
            return
        if isinstance(reply, Upgrade):
            self.upgrade(request, reply)
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
        elif isinstance(answer, Upgrade):
            self.task = None
            self.current = None
            self.upgrade(request, answer)
            return
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
        close = response.close or not request.keep_alive or self.moment.draining
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
        self.active_at = self.moment.now
        if request.route.operation:
            listener.count(request, status)
        if close:
            self.close(linger=True)

    def upgrade(self, request: Request, upgrade: Upgrade) -> None:
        """Leave HTTP as soon as the parser has said where the request ends, if it was one that asks for that."""
        if request.fields.get(b"upgrade", b"").lower() != upgrade.name.encode("ascii"):
            fields = field("Upgrade", upgrade.name)
            self.respond(request, Response(426, b"", fields, close=True))
        elif self.last_request:
            self.give_away(upgrade)
        else:
            self.upgrading = upgrade

    def give_away(self, upgrade: Upgrade) -> None:
        """The socket belongs to another protocol from here on."""
        transport = self.transport
        if transport is None or self.closing:
            return
        lines = b"Connection: Upgrade\r\n" + field("Upgrade", upgrade.name) + upgrade.fields
        transport.write(self.listener.bare_head(101) + lines + b"\r\n")
        if self.reading_paused:
            self.reading_paused = False
            transport.resume_reading()
        protocol, rest = upgrade.protocol, self.behind_upgrade
        self.upgrading = None
        self.transport = None
        self.closing = True
        self.listener.lost(self)
        self.listener.gave_away(transport)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if rest:
            protocol.data_received(rest)

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
        self.active_at = self.moment.now
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
            self.window_at = self.moment.now
            self.window_size = 0
            self.transport.resume_reading()

    # ---------------------------------------------------------------- the end

    @property
    def idle(self) -> bool:
        return self.current is None and not self.queue and not self.in_head and not self.in_body

    def close_if_done(self) -> None:
        if self.last_request and self.current is None and not self.queue:
            self.close(linger=True)

    def close(self, linger: bool) -> None:
        """Close after what is written. `linger`: read on until the peer closes too, for a while; a reset, which is what
        a peer that still sends would get, takes away the answer that it has not read yet."""
        transport = self.transport
        if transport is None or self.closing:
            return
        self.closing = True
        self.queue.clear()
        if linger and not self.peer_done and transport.can_write_eof():
            self.close_deadline = self.moment.now + self.listener.limits.linger_ms / 1_000
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
        self.peer_done = True
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
