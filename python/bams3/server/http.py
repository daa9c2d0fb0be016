"""HTTP/1.1 on a socket: parsing, limits, timeouts, and bodies that a client's pace holds back.

The parser is llhttp (httptools), the loop libuv (uvloop). Of general servers none had all of this:
the path as it was sent, limits on headers and on slow clients, back-pressure, and a file sent by
the kernel; docs/concepts/server.md has the figures.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
import time
from collections import deque
from collections.abc import Awaitable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from threading import Event
from typing import Any, cast

import httptools

from bams3.server.limits import Limits
from bams3.server.messages import Application, Refusal, Request, Response
from bams3.server.sending import FileSender, hold_back, pieces_of

log = logging.getLogger(__name__)

_PIPELINED = 16
_LINGER = 2.0
"""Seconds for a client to read why it was refused, while it is still sending."""
_SECURITY = (
    "X-Content-Type-Options: nosniff\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "Cross-Origin-Opener-Policy: same-origin\r\n"
    "Vary: Origin, Authorization\r\n"
)
_SINGLE = {"host", "content-length", "authorization", "content-type"}


@dataclass(slots=True)
class Shared:
    """What all connections of a server have in common.

    Attributes:
        standing: The header lines of every answer.
    """

    application: Application
    limits: Limits
    threads: ThreadPoolExecutor
    connections: set[Connection] = field(default_factory=set)
    standing: str = ""

    def __post_init__(self) -> None:
        self._tell_time()

    def sweep(self) -> None:
        """Cut the connections whose time is up. Called every second, or so."""
        now = time.monotonic()
        self._tell_time()
        for connection in [c for c in self.connections if c.deadline < now]:
            connection.expire()

    def _tell_time(self) -> None:
        self.standing = f"{_SECURITY}Date: {formatdate(usegmt=True)}\r\n"


class _TooLarge(Exception):
    """A request beyond the limits; the status says which."""

    def __init__(self, status: int) -> None:
        self.status = status


class Connection(asyncio.Protocol):
    """One client's connection; requests are answered one after the other."""

    def __init__(self, shared: Shared) -> None:
        self._shared, self._limits = shared, shared.limits
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Request] = deque()
        self._busy = self._gone = self._closing = self._lingering = False
        self._in_head = self._in_body = False
        self._head_bytes = 0
        self._writable: asyncio.Future[None] | None = None
        self._paused = False
        self._sender: FileSender | None = None
        self._left: Event | None = None
        self._request = Request("", "")
        self.deadline = time.monotonic() + self._limits.head_time

    # ---- the transport's side --------------------------------------------------------------------
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; refuse where there are too many."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=256 << 10)
        self._parser = httptools.HttpRequestParser(self)
        peer = transport.get_extra_info("peername")
        self._peer = str(peer[0]) if peer else ""
        self._secure = transport.get_extra_info("sslcontext") is not None
        if not self._secure and hasattr(os, "sendfile"):
            handle = transport.get_extra_info("socket").fileno()
            self._sender = FileSender(handle, self._shared.threads, self)
        self._shared.connections.add(self)
        if len(self._shared.connections) > self._limits.connections:
            self._refuse(503, "too many connections", "try again later")

    def connection_lost(self, problem: Exception | None) -> None:
        """Let go of everything; what is being read in a thread is closed when its step is done."""
        self._gone = True
        self._shared.connections.discard(self)
        self._queue.clear()
        self._wake()
        if self._left:
            self._left.set()
        if self._sender:
            self._sender.close()

    def pause_writing(self) -> None:
        """Note that the client is slower than we are."""
        self._paused = True

    def resume_writing(self) -> None:
        """Go on."""
        self._paused = False
        self.progressed()
        self._wake()

    def eof_received(self) -> bool:
        """Close: a client that sends no more is not waited for."""
        return self._busy and not self._secure

    def data_received(self, data: bytes) -> None:
        """Parse; requests beyond the limits are refused."""
        if self._closing:
            return
        if not (self._busy or self._in_head or self._in_body):
            self.deadline = time.monotonic() + self._limits.head_time
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # the request was answered as any other
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            self._refuse(cause.status if isinstance(cause, _TooLarge) else 400, "the request")
        except httptools.HttpParserError as error:
            self._refuse(400, f"not HTTP: {error}")
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > self._limits.head:
                self._refuse(431, "the request's head")

    def expire(self) -> None:
        """Act upon the deadline."""
        self.deadline = float("inf")
        if self._busy or self._lingering:
            self.abort()
        elif self._in_head or self._in_body:
            self._refuse(408, "the request took too long")
        else:
            self._transport.close()

    def end(self) -> None:
        """Close after the answer that is under way."""
        self._closing = True
        self._queue.clear()
        if not self._busy:
            self._transport.close()

    def abort(self) -> None:
        """Cut: the client sees a reset, and the kernel keeps nothing for it."""
        if self._gone:
            return
        with suppress(OSError):
            peer = self._transport.get_extra_info("socket")
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    # ---- the parser's side -----------------------------------------------------------------------
    def on_message_begin(self) -> None:
        """A request begins."""
        self._in_head, self._head_bytes = True, 0
        self._url = b""
        self._headers: dict[str, str] = {}
        self._count, self._size = 0, 0
        self._body: list[bytes] = []

    def on_url(self, url: bytes) -> None:
        """Take a part of the target."""
        self._url += url
        if len(self._url) > self._limits.head:
            raise _TooLarge(414)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self._count += 1
        self._size += len(name) + len(value)
        if self._count > self._limits.headers or self._size > self._limits.head:
            raise _TooLarge(431)
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        if key in self._headers:
            if key in _SINGLE:
                raise _TooLarge(400)
            text = f"{self._headers[key]}, {text}"
        self._headers[key] = text

    def on_headers_complete(self) -> None:
        """Refuse a body that is too large before it comes."""
        self._in_head, self._in_body, self._size = False, True, 0
        self._closing = self._closing or self._parser.should_upgrade()
        length = self._headers.get("content-length", "0")
        if len(length) > 18 or int(length) > self._limits.body:
            raise _TooLarge(413)
        self.deadline = time.monotonic() + self._limits.body_time
        if self._headers.get("expect", "").lower() == "100-continue" and not self._busy:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, data: bytes) -> None:
        """Take a part of the body."""
        self._size += len(data)
        if self._size > self._limits.body:
            raise _TooLarge(413)
        self._body.append(data)

    def on_message_complete(self) -> None:
        """Answer, after what came before."""
        self._in_body = False
        path, _, query = self._url.decode("latin-1").partition("?")
        request = Request(
            self._parser.get_method().decode("latin-1"), path, query, self._headers,
            b"".join(self._body), self._peer, self._secure,
        )  # fmt: skip
        if not self._parser.should_keep_alive():
            self._closing = True
        if self._busy:
            if len(self._queue) >= _PIPELINED:
                raise _TooLarge(429)
            self._queue.append(request)
            return
        self._answer(request)

    # ---- answering -------------------------------------------------------------------------------
    def _answer(self, request: Request) -> None:
        self._busy, self._request = True, request
        self.deadline = float("inf")
        try:
            found = self._shared.application.handle(request)
        except Exception as error:
            found = self._shared.application.explain(error)
        if isinstance(found, Response):
            self._send(found)
        else:
            self._spawn(self._wait(found))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._loop.create_task(work).add_done_callback(_report)

    async def _wait(self, coming: Awaitable[Response]) -> None:
        try:
            response = await coming
        except Exception as error:
            response = self._shared.application.explain(error)
        if self._gone:
            await self._discard(response)
        else:
            self._send(response)

    async def _discard(self, response: Response) -> None:
        """Close an answer that nobody waits for any more."""
        if response.pieces is not None:
            await self._loop.run_in_executor(self._shared.threads, _close, response.pieces)
        self._finish(response, 0, False)

    def _send(self, response: Response) -> None:
        self.deadline = time.monotonic() + self._limits.stall_time
        head = self._head(response)
        if self._request.method == "HEAD" or response.status in (204, 304):
            self._transport.write(head)
            pieces, response.pieces = response.pieces, None
            if pieces is not None:
                _close(pieces)
            self._done(response, 0, True)
        elif response.file and self._sender and not self._transport.get_write_buffer_size():
            # After all requests that this turn of the loop has read: what parses them stays in the
            # CPU's caches, and a client that waits is not woken for every single answer.
            self._loop.call_soon(self._sender.send, response, response.file, head)
        elif response.file or response.pieces is not None:
            if response.file:
                response.pieces = pieces_of(response.file)
            self._spawn(self._stream(response, head))
        else:
            self._transport.write(head + response.body)
            self._done(response, len(response.body), True)

    def _head(self, response: Response) -> bytes:
        return response.head(self._shared.standing, closing=self._closing)

    def _done(self, response: Response, sent: int, complete: bool) -> None:
        """Finish one request and begin the next."""
        self._finish(response, sent, complete)
        self._busy = False
        if self._gone:
            return
        wait = self._limits.head_time if self._in_head else self._limits.idle_time
        self.deadline = time.monotonic() + wait
        if self._queue:
            self._loop.call_soon(self._next)
        elif self._closing:
            self._transport.close()

    def _finish(self, response: Response, sent: int, complete: bool) -> None:
        if response.finished:
            response.finished(sent, complete)
        self._shared.application.observe(self._request, response, sent, complete)

    def _next(self) -> None:
        if self._queue and not self._busy and not self._gone:
            self._answer(self._queue.popleft())

    def _refuse(self, status: int, what: str, hint: str | None = None) -> None:
        """Say why, and close when the client has had the time to read it."""
        if self._closing:
            return
        text = {413: "is too large", 414: "is too long", 431: "is too large"}.get(status, "")
        message = " ".join(word for word in (what, text) if word)
        self._closing, self._in_head, self._in_body = True, False, False
        if self._busy:  # an answer to an earlier request is on its way: finish that
            return
        response = Refusal(status, message, hint).response()
        self._transport.write(self._head(response) + response.body)
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._lingering, self.deadline = True, time.monotonic() + _LINGER

    # ---- bodies in pieces ------------------------------------------------------------------------
    async def _stream(self, response: Response, head: bytes) -> None:
        """Send pieces at the client's pace; once the head is out, an error cuts the connection."""
        pieces = cast("Iterator[bytes]", response.pieces)
        chunked, sent, complete = response.length is None, 0, False
        self._left = response.left
        try:
            piece = await self._piece(pieces)
        except Exception as error:
            self._finish(response, 0, False)
            return self._send(self._shared.application.explain(error))
        try:
            self._hold_back(True)
            self._transport.write(head)
            while piece and not self._gone:
                self._transport.write(_chunk(piece) if chunked else piece)
                await self._drained()
                sent += len(piece)
                piece = b"" if self._gone else await self._piece(pieces)
            complete = not self._gone and (chunked or sent == response.length)
            if complete and chunked:
                self._transport.write(b"0\r\n\r\n")
        except Exception as error:
            log.error("%s: cut off after %d bytes: %s", self._request.path, sent, error)
        finally:
            await self._loop.run_in_executor(self._shared.threads, _close, pieces)
            self._hold_back(False)
            if not complete:
                self.abort()
            self._done(response, sent, complete)

    def _hold_back(self, wanted: bool) -> None:
        if not self._gone:
            hold_back(self._transport.get_extra_info("socket"), wanted)

    async def _piece(self, pieces: Iterator[bytes]) -> bytes:
        """Return the next piece, empty after the last one; the store has its own time limits."""
        self.deadline = float("inf")
        piece = await self._loop.run_in_executor(self._shared.threads, next, pieces, b"")
        self.deadline = time.monotonic() + self._limits.stall_time
        return piece

    async def _drained(self) -> None:
        """Wait until the client has taken most of what was written."""
        while self._paused and not self._gone:
            self._writable = self._loop.create_future()
            await self._writable

    def _wake(self) -> None:
        if self._writable and not self._writable.done():
            self._writable.set_result(None)

    # ---- local files -----------------------------------------------------------------------------
    def file_sent(self, response: Response, sent: int, complete: bool) -> None:
        """End an answer; where its file was not sent whole, the connection is cut."""
        if not complete:
            self.abort()
        self._done(response, sent, complete)

    def progressed(self) -> None:
        """Note that the client has taken bytes."""
        self.deadline = time.monotonic() + self._limits.stall_time


def _chunk(piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece)


def _close(pieces: Iterator[bytes]) -> None:
    close: Any = getattr(pieces, "close", None)
    if close:
        close()


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception():
        log.error("a connection failed", exc_info=task.exception())
