"""Connections that are kept alive, and bodies that pass through one buffer a thread."""

from __future__ import annotations

import functools
import http.client
import os
import random
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from bams3._core import crc64nvme
from bams3.config import StorageOptions
from bams3.errors import Bams3Error, InputError, NotFoundError, StorageError
from bams3.storage.objects import Body, Reader, crc_text

BUFFER = 256 << 10
"""Bytes of a thread's buffer: reading, checksum and sending go in such pieces."""
_ANSWER = 64 << 20
"""No answer that is not an object's bytes is longer."""
_LONGEST_PAUSE = 15.0

LOST = (OSError, http.client.HTTPException)
"""What a connection may raise when it fails; to be tried again on a new one."""


@dataclass(slots=True)
class Call:
    """One request as it goes over the wire."""

    method: str
    target: str
    """Path and query, percent-encoded."""
    headers: dict[str, str]
    payload: bytes | memoryview = b""


@dataclass(slots=True)
class Reply:
    """An answer: the status, headers by name in lower case, and the whole body unless streamed."""

    status: int
    headers: dict[str, str]
    body: bytes = b""
    closes: bool = False
    """Whether the connection cannot be used again."""


@dataclass(slots=True)
class Sent:
    """What went over the wire as a body."""

    crc64nvme: int = 0
    size: int = 0


class Wire:
    """The way to one host. `send` and `receive` make one attempt each; `LOST` may be raised."""

    def __init__(self, endpoint: str, options: StorageOptions) -> None:
        parts = urlsplit(endpoint)
        self._secure = parts.scheme == "https"
        self._address = parts.hostname or "", parts.port or (443 if self._secure else 80)
        self._timeout = options.timeout
        self._local = threading.local()
        self._idle: list[socket.socket] = []
        self._guard = threading.Lock()

    @property
    def buffer(self) -> memoryview:
        """This thread's buffer."""
        found: memoryview | None = getattr(self._local, "buffer", None)
        if found is None:
            found = self._local.buffer = memoryview(bytearray(BUFFER))
        return found

    def send(self, call: Call) -> Reply:
        """Send a request and return the whole answer."""

        def exchange(connection: socket.socket) -> Reply:
            try:
                _send(connection, _head(call), memoryview(call.payload))
            except OSError as error:
                return self._early_answer(connection, call, error)
            with self._answer(connection, call) as answer:
                return _whole(answer)

        return self._with_connection(exchange)

    def load(self, body: Body) -> memoryview:
        """Read a body of at most `BUFFER` bytes into this thread's buffer. Raises InputError."""
        with body.open() as reader:
            return _fill(reader, self.buffer[: body.size])

    def send_body(
        self, call: Call, body: Body, sent: Sent, passing: Callable[[int], None], trailer: bool
    ) -> Reply:
        """Send a request whose body passes through this thread's buffer, read once.

        Args:
            call: The request, with all headers.
            body: What to send.
            sent: Gets size and CRC64NVME of what was sent.
            passing: Is told the number of bytes that go out, before they do.
            trailer: Whether the CRC64NVME follows the body, which is one `aws-chunked` chunk.

        Raises:
            InputError: The body has fewer bytes than its size, or more.
        """
        head = _head(call) + (f"{body.size:x}\r\n".encode() if trailer else b"")

        def exchange(connection: socket.socket) -> Reply:
            try:
                with body.open() as reader:
                    self._pour(connection, head, reader, body.size, sent, passing)
                if trailer:
                    connection.sendall(_tail(sent.crc64nvme))
            except Bams3Error:
                raise
            except OSError as error:
                # The server may have refused before it had read everything: look what it says.
                return self._early_answer(connection, call, error)
            with self._answer(connection, call) as answer:
                return _whole(answer)

        return self._with_connection(exchange)

    def receive(self, call: Call, write: Callable[[memoryview], None]) -> Reply:
        """Send a request; hand the body of a success to `write` in pieces.

        Raises:
            http.client.IncompleteRead: The body broke off.
        """

        def exchange(connection: socket.socket) -> Reply:
            connection.sendall(_head(call))
            with self._answer(connection, call) as answer:
                if answer.status >= 300:
                    return _whole(answer)
                buffer, left = self.buffer, answer.length
                while count := answer.readinto(buffer):
                    left = None if left is None else left - count
                    write(buffer[:count])
                if left:
                    raise http.client.IncompleteRead(b"", left)
                return _reply(answer, b"")

        return self._with_connection(exchange)

    def close(self) -> None:
        """Close the idle connections."""
        with self._guard:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    __del__ = close

    # ---- connections -----------------------------------------------------------------------------
    def _with_connection(self, exchange: Callable[[socket.socket], Reply]) -> Reply:
        """Do one request and its answer; the connection is not used again after an error."""
        connection = self._take()
        try:
            reply = exchange(connection)
        except BaseException:
            connection.close()
            raise
        if reply.closes:
            connection.close()
        else:
            with self._guard:
                self._idle.append(connection)
        return reply

    def _take(self) -> socket.socket:
        """Return an idle connection, or a new one."""
        while True:
            with self._guard:
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                return self._connect()
            if not _hung_up(connection):
                return connection
            connection.close()

    def _connect(self) -> socket.socket:
        connection = socket.create_connection(self._address, timeout=min(self._timeout, 10.0))
        connection.settimeout(self._timeout)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if not self._secure:
            return connection
        try:
            return _tls().wrap_socket(connection, server_hostname=self._address[0])
        except BaseException:
            connection.close()
            raise

    # ---- answers ---------------------------------------------------------------------------------
    @contextmanager
    def _answer(self, connection: socket.socket, call: Call) -> Iterator[http.client.HTTPResponse]:
        """Yield the answer, its headers read. It holds on to the socket until it is closed."""
        with closing(http.client.HTTPResponse(connection, method=call.method)) as answer:
            answer.begin()
            yield answer

    def _early_answer(self, connection: socket.socket, call: Call, error: OSError) -> Reply:
        try:
            connection.settimeout(1.0)
            with self._answer(connection, call) as answer:
                reply = _whole(answer)
        except LOST:
            raise error from None
        if reply.status < 300:
            raise error
        reply.closes = True
        return reply

    def _pour(
        self,
        connection: socket.socket,
        head: bytes,
        reader: Reader,
        size: int,
        sent: Sent,
        passing: Callable[[int], None],
    ) -> None:
        """Send `head`, then `size` bytes of the reader."""
        buffer, left = self.buffer, size
        while True:
            piece = _fill(reader, buffer[: min(left, len(buffer))])
            passing(len(piece))
            sent.crc64nvme = crc64nvme(piece, sent.crc64nvme)
            sent.size += len(piece)
            left -= len(piece)
            _send(connection, head, piece)
            head = b""
            if not left:
                return


def _whole(answer: http.client.HTTPResponse) -> Reply:
    data = answer.read(_ANSWER)
    if answer.length:
        raise http.client.IncompleteRead(data, answer.length)
    return _reply(answer, data)


def _reply(answer: http.client.HTTPResponse, data: bytes) -> Reply:
    headers = {name.lower(): text for name, text in answer.getheaders()}
    return Reply(answer.status, headers, data, answer.will_close)


class Attempts:
    """Counts attempts; `failed` waits before the next one, or raises where there were enough.

    The clock of `retry_seconds` starts with the first failure, so that a long request may fail
    once; bytes that came through (`moved`) start the count anew.
    """

    def __init__(self, options: StorageOptions) -> None:
        self._options = options
        self.moved()

    def moved(self) -> None:
        """Forget the failures: there is progress."""
        self._left, self._pause, self._since = self._options.retries, self._options.backoff, 0.0

    def failed(self, error: Exception) -> None:
        """Wait before another attempt. Raises `error` where there is none."""
        self._since = self._since or time.monotonic()
        pause = random.uniform(self._pause / 2, self._pause)
        late = time.monotonic() + pause > self._since + self._options.retry_seconds
        if self._left <= 0 or late:
            raise error
        self._left -= 1
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        time.sleep(pause)


def lost(error: BaseException, url: str) -> Bams3Error:
    """Return the error of a connection that failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return StorageError(
            f"{url}: the server's certificate is not trusted: {error.verify_message}",
            "set AWS_CA_BUNDLE to the file of its authority",
        )
    why = str(error) or type(error).__name__
    if isinstance(error, http.client.IncompleteRead):
        why = "the data broke off"
    return StorageError(
        f"{url}: {why}", "check the address (--endpoint-url, AWS_ENDPOINT_URL) and the network"
    )


def is_final(error: BaseException) -> bool:
    """Whether trying again is of no use."""
    unknown = isinstance(error, socket.gaierror) and error.errno != socket.EAI_AGAIN
    return unknown or isinstance(error, ssl.SSLCertVerificationError)


def framed(size: int) -> int:
    """Return the Content-Length of a body of `size` bytes with its trailer."""
    return len(f"{size:x}\r\n") + size + len(_tail(0))


def _tail(crc: int) -> bytes:
    return f"\r\n0\r\nx-amz-checksum-crc64nvme:{crc_text(crc)}\r\n\r\n".encode()


def _head(call: Call) -> bytes:
    lines = "".join(f"{name}: {text}\r\n" for name, text in call.headers.items())
    return f"{call.method} {call.target} HTTP/1.1\r\n{lines}\r\n".encode()


def _fill(reader: Reader, buffer: memoryview) -> memoryview:
    """Read until `buffer` is full. Raises InputError at the end of data."""
    filled = 0
    while filled < len(buffer):
        count = reader.readinto(buffer[filled:])
        if not count:
            raise InputError("the source ended early: it became shorter", "start again")
        filled += count
    return buffer


def _send(connection: socket.socket, head: bytes, piece: memoryview) -> None:
    """Send both; in one system call where the connection can."""
    if not head:
        return connection.sendall(piece)
    if isinstance(connection, ssl.SSLSocket) or not piece:
        connection.sendall(head)
        return connection.sendall(piece)
    count = connection.sendmsg([head, piece])
    if count < len(head):
        connection.sendall(head[count:])
        return connection.sendall(piece)
    return connection.sendall(piece[count - len(head) :])


def _hung_up(connection: socket.socket) -> bool:
    """Whether an idle connection has something to read: its end, or what nobody asked for."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))


@functools.cache
def _tls() -> ssl.SSLContext:
    bundle = os.environ.get("AWS_CA_BUNDLE")
    if bundle and not os.path.exists(bundle):
        raise NotFoundError(f"AWS_CA_BUNDLE={bundle}: no such file")
    context = ssl.create_default_context()
    if bundle:
        context.load_verify_locations(bundle)
    return context
