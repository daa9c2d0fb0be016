"""Connections that are kept alive, and bodies that pass through one buffer a thread."""

from __future__ import annotations

import random
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bams3._core import crc64nvme
from bams3.config import StorageOptions
from bams3.errors import Bams3Error, InputError, StorageError
from bams3.storage.answer import Answer, Reply
from bams3.storage.connections import Connections
from bams3.storage.objects import Body, Reader, crc_text

BUFFER = 256 << 10
"""Bytes of a thread's buffer: reading, checksum and sending go in such pieces."""
_LONGEST_PAUSE = 15.0


@dataclass(slots=True)
class Call:
    """One request as it goes over the wire."""

    method: str
    target: str
    """Path and query, percent-encoded."""
    headers: dict[str, str]
    payload: bytes | memoryview = b""


@dataclass(slots=True)
class Sent:
    """What went over the wire as a body."""

    crc64nvme: int = 0
    size: int = 0


class Wire:
    """The way to one host. `send` and `receive` make one attempt each; `OSError` may be raised."""

    def __init__(self, endpoint: str, options: StorageOptions) -> None:
        self._connections = Connections(endpoint, options.timeout)
        self._buffers: list[memoryview] = []
        proxy = self._connections.proxy
        # Where all is encrypted a proxy sees of it only that it has to connect.
        spoken_to = proxy is not None and not self._connections.secure
        self._before, self._said = (endpoint, proxy.headers) if proxy and spoken_to else ("", "")

    @contextmanager
    def buffer(self) -> Iterator[memoryview]:
        """Lend a buffer: the one that was used last, which the CPU's caches know best."""
        try:
            found = self._buffers.pop()
        except IndexError:
            found = memoryview(bytearray(BUFFER))
        try:
            yield found
        finally:
            self._buffers.append(found)

    def send(self, call: Call) -> Reply:
        """Send a request and return the whole answer."""

        def exchange(connection: socket.socket) -> Reply:
            try:
                _send(connection, self._head(call), call.payload)
            except OSError as error:
                return self._early_answer(connection, call, error)
            return Answer(connection, call.method).whole()

        return self._with_connection(exchange)

    def load(self, body: Body, buffer: memoryview) -> memoryview:
        """Read a body of at most `BUFFER` bytes into a buffer. Raises InputError."""
        with body.open() as reader:
            return _fill(reader, buffer[: body.size])

    def send_body(
        self, call: Call, body: Body, sent: Sent, passing: Callable[[int], None], trailer: bool
    ) -> Reply:
        """Send a request whose body passes through a buffer, read once.

        Args:
            call: The request, with all headers.
            body: What to send.
            sent: Gets size and CRC64NVME of what was sent.
            passing: Is told the number of bytes that go out, before they do.
            trailer: Whether the CRC64NVME follows the body, which is one `aws-chunked` chunk.

        Raises:
            InputError: The body has fewer bytes than its size, or more.
        """
        head = self._head(call) + (f"{body.size:x}\r\n".encode() if trailer else b"")

        def exchange(connection: socket.socket) -> Reply:
            try:
                with self.buffer() as buffer:
                    self._pour(connection, head, body, sent, passing, trailer, buffer)
            except Bams3Error:
                raise
            except OSError as error:
                # The server may have refused before it had read everything: look what it says.
                return self._early_answer(connection, call, error)
            return Answer(connection, call.method).whole()

        return self._with_connection(exchange)

    def receive(self, call: Call, write: Callable[[memoryview], None]) -> Reply:
        """Send a request; hand the body of a success to `write` in pieces.

        Raises:
            Broken: The body broke off.
        """

        def exchange(connection: socket.socket) -> Reply:
            connection.sendall(self._head(call))
            answer = Answer(connection, call.method)
            if answer.status >= 300:
                return answer.whole()
            with self.buffer() as buffer:
                while count := answer.readinto(buffer):
                    write(buffer[:count])
            return answer.reply()

        return self._with_connection(exchange)

    def close(self) -> None:
        """Close the idle connections."""
        self._connections.close()

    # ---- what they share -------------------------------------------------------------------------
    def _with_connection(self, exchange: Callable[[socket.socket], Reply]) -> Reply:
        """Do one request and its answer; the connection is not used again after an error."""
        connection = self._connections.take()
        try:
            reply = exchange(connection)
        except BaseException:
            connection.close()
            raise
        if reply.closes:
            connection.close()
        else:
            self._connections.give(connection)
        return reply

    def _head(self, call: Call) -> bytes:
        lines = "".join([f"{name}: {text}\r\n" for name, text in call.headers.items()])
        first = f"{call.method} {self._before}{call.target} HTTP/1.1\r\n"
        return f"{first}{self._said}{lines}\r\n".encode()

    def _early_answer(self, connection: socket.socket, call: Call, error: OSError) -> Reply:
        try:
            connection.settimeout(1.0)
            reply = Answer(connection, call.method).whole()
        except OSError:
            raise error from None
        if reply.status < 300:
            raise error
        reply.closes = True
        return reply

    def _pour(
        self,
        connection: socket.socket,
        head: bytes,
        body: Body,
        sent: Sent,
        passing: Callable[[int], None],
        trailer: bool,
        buffer: memoryview,
    ) -> None:
        """Send `head`, the body, its checksum. The last piece goes when the body was closed."""
        left = body.size
        with body.open() as reader:
            while True:
                piece = _fill(reader, buffer if left >= BUFFER else buffer[:left])
                passing(len(piece))
                sent.crc64nvme = crc64nvme(piece, sent.crc64nvme)
                sent.size += len(piece)
                left -= len(piece)
                if not left:
                    break
                _send(connection, head, piece)
                head = b""
        _send(connection, head, piece, _tail(sent.crc64nvme) if trailer else b"")


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
    if isinstance(error, BlockingIOError):
        why = "timed out"  # as the kernel has it: `connections`
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


def _fill(reader: Reader, buffer: memoryview) -> memoryview:
    """Read until `buffer` is full. Raises InputError at the end of data."""
    filled = reader.readinto(buffer) if buffer else 0
    while filled < len(buffer):
        count = reader.readinto(buffer[filled:])
        if not count:
            raise InputError("the source ended early: it became shorter", "start again")
        filled += count
    return buffer


def _send(connection: socket.socket, *pieces: bytes | memoryview) -> None:
    """Send all of them; in one system call where the connection can."""
    count = 0 if isinstance(connection, ssl.SSLSocket) else connection.sendmsg(pieces)
    for piece in pieces:
        if count < len(piece):
            connection.sendall(memoryview(piece)[count:])
            count = 0
        else:
            count -= len(piece)
