"""An HTTP answer as it comes over a connection: its head, then its body piece by piece."""

from __future__ import annotations

import socket
from collections import deque
from dataclasses import dataclass

import httptools

_STEP = 16 << 10
"""Bytes read at once where nobody knows how many are to come."""
_LONGEST_HEAD = 256 << 10
_LONGEST_BODY = 64 << 20
"""No answer that is not an object's bytes is longer."""


class Broken(ConnectionError):
    """An answer broke off, or is none."""


@dataclass(slots=True)
class Reply:
    """An answer: the status, headers by name in lower case, and the whole body unless streamed."""

    status: int
    headers: dict[str, str]
    body: bytes = b""
    closes: bool = False
    """Whether the connection cannot be used again."""


class Answer:
    """An answer whose head has been read.

    A body whose length was stated goes from the socket to where it is wanted; the parser sees of it
    only what came with the head.

    Attributes:
        status: The final one: those of the 100s were passed over.
        headers: By name in lower case.
    """

    def __init__(self, connection: socket.socket, method: str) -> None:
        """Read the head.

        Raises:
            Broken: The connection was closed, or what came is no HTTP.
        """
        self.status = 0
        self.headers: dict[str, str] = {}
        self._raw: dict[bytes, bytes] = {}
        self.on_header = self._raw.__setitem__
        self._connection, self._bodiless = connection, method == "HEAD"
        self._parser = httptools.HttpResponseParser(self)
        self._pieces: deque[memoryview] = deque()
        self._left: int | None = None
        self._complete = self._surplus = self._kept_alive = False
        read = 0
        while not self.status:
            read += self._feed()
            if read > _LONGEST_HEAD:
                raise Broken("the head of the answer does not end")

    def readinto(self, buffer: memoryview) -> int:
        """Read some of the body into `buffer`; 0 at its end.

        Raises:
            Broken: It broke off.
        """
        while not self._pieces:
            if self._complete or self._bodiless:
                return 0
            if self._left is not None:
                return self._straight(buffer)
            self._feed()
        piece = self._pieces.popleft()
        count = min(len(piece), len(buffer))
        buffer[:count] = piece[:count]
        if count < len(piece):
            self._pieces.appendleft(piece[count:])
        return count

    def whole(self) -> Reply:
        """Read all of the body."""
        if self._complete or self._bodiless:
            return self.reply(b"".join(self._pieces))
        buffer, data = memoryview(bytearray(_STEP)), bytearray()
        while count := self.readinto(buffer):
            data += buffer[:count]
            if len(data) > _LONGEST_BODY:
                raise Broken("the answer does not end")
        return self.reply(bytes(data))

    def reply(self, body: bytes = b"") -> Reply:
        """Return the answer as it is now that its body has been read; nothing more can be."""
        del self._parser  # it holds on to this object: without a cycle nobody has to collect it
        return Reply(self.status, self.headers, body, not self._reusable())

    def _reusable(self) -> bool:
        """Whether the next answer on this connection begins with the next byte."""
        return (self._complete or self._bodiless) and self._kept_alive and not self._surplus

    def _straight(self, buffer: memoryview) -> int:
        """Read bytes of a body whose length was stated."""
        assert self._left is not None
        count = self._connection.recv_into(buffer[: self._left])
        if not count:
            raise Broken("the data broke off")
        self._left -= count
        self._complete = not self._left
        return count

    def _feed(self) -> int:
        """Have the parser see what comes next."""
        data = self._connection.recv(_STEP)
        if not data:
            self._end()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            if not self._complete:
                raise Broken(f"this is no HTTP answer: {error}") from error
            self._surplus = True
        return len(data)

    def _end(self) -> None:
        """The connection was closed: that ends the body of an answer that states no length."""
        endless = self.status and "transfer-encoding" not in self.headers and self._left is None
        if not endless:
            raise Broken("the data broke off" if self.status else "the server hung up")
        self._complete, self._kept_alive = True, False

    # ---- what the parser says --------------------------------------------------------------------
    def on_message_begin(self) -> None:
        """Notice what nobody asked for."""
        self._surplus = self._surplus or self._complete

    def on_headers_complete(self) -> None:
        """Take the head, unless it only says that the answer is to come."""
        status = self._parser.get_status_code()
        if status < 200:
            self._raw.clear()
        elif not self.status:
            self.status = status
            self.headers = {
                name.decode("latin-1").lower(): text.decode("latin-1")
                for name, text in self._raw.items()
            }
            self._kept_alive = _kept_alive(self._parser.get_http_version(), self.headers)
            length = self.headers.get("content-length")
            self._left = int(length) if length else None

    def on_body(self, data: bytes) -> None:
        """Take bytes of the body."""
        if self._complete or self._bodiless:
            self._surplus = True
            return
        self._pieces.append(memoryview(data))
        if self._left is not None:
            self._left -= len(data)

    def on_message_complete(self) -> None:
        """Know the end of the body."""
        self._complete = bool(self.status)


def _kept_alive(version: str, headers: dict[str, str]) -> bool:
    said = headers.get("connection", "").lower()
    return "keep-alive" in said if version == "1.0" else "close" not in said
