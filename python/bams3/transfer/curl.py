"""One request of libcurl at a time, as an answer that is read rather than called back.

Connections are kept: a `Channel` that has served one request serves the next over the same one.
"""

from __future__ import annotations

from collections import deque
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import pycurl

_AHEAD = 1 << 20
"""Bytes of a body that may wait to be read; then libcurl is told to pause."""
_BUFFER = 256 << 10
_URL_SAFE = "%/:?#[]@!$&'()*+,;=~-._"


class CurlError(Exception):
    """A request failed; `code` is libcurl's, `status` the server's last answer."""

    def __init__(self, code: int, message: str, status: int) -> None:
        super().__init__(message or f"libcurl: {code}")
        self.code = code
        self.status = status


class Channel:
    """A handle with its connections; for one request at a time."""

    def __init__(self) -> None:
        self.easy = pycurl.Curl()
        self.multi = pycurl.CurlMulti()


class Answer:
    """The answer to one GET: its status, its headers, and its body in order.

    Args:
        channel: What to ask over; not usable after an error.
        url: An http(s) or ftp(s) address.
        timeout: Seconds without a byte after which the request has failed.
        span: Bytes `FIRST-LAST`, both inclusive.
        headers: Request headers (HTTP).
        head: Ask for size and time alone.

    Raises:
        CurlError: The request failed.
    """

    def __init__(
        self,
        channel: Channel,
        url: str,
        timeout: float,
        span: str = "",
        headers: tuple[str, ...] = (),
        head: bool = False,
    ) -> None:
        self.headers: dict[str, str] = {}
        self._channel = channel
        self._chunks: deque[memoryview] = deque()
        self._held = 0
        self._paused = self._done = False
        self._failure: CurlError | None = None
        self._configure(url, timeout, span, headers, head)
        channel.multi.add_handle(channel.easy)
        try:
            self._wait()
        except BaseException:
            self.close()
            raise

    def _configure(
        self, url: str, timeout: float, span: str, headers: tuple[str, ...], head: bool
    ) -> None:
        easy = self._channel.easy
        easy.reset()
        settings: list[tuple[int, Any]] = [
            (pycurl.URL, quote(url, safe=_URL_SAFE)),
            (pycurl.PROTOCOLS, _PROTOCOLS),
            (pycurl.REDIR_PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS),
            (pycurl.FOLLOWLOCATION, True),
            (pycurl.MAXREDIRS, 10),
            (pycurl.NOSIGNAL, True),
            (pycurl.CONNECTTIMEOUT_MS, int(timeout * 1000)),
            (pycurl.LOW_SPEED_LIMIT, 1),
            (pycurl.LOW_SPEED_TIME, max(int(timeout), 1)),
            (pycurl.BUFFERSIZE, _BUFFER),
            (pycurl.OPT_FILETIME, True),
            (pycurl.NOBODY, head),
            (pycurl.HTTPHEADER, ["Accept-Encoding: identity", *headers]),
            (pycurl.USERAGENT, "bams3"),
            (pycurl.HEADERFUNCTION, self._on_header),
            (pycurl.WRITEFUNCTION, self._on_body),
        ]
        for name, value in settings:
            easy.setopt(name, value)
        if span:
            easy.setopt(pycurl.RANGE, span)

    @property
    def status(self) -> int:
        """The server's last answer: HTTP's, or FTP's."""
        return int(self._channel.easy.getinfo(pycurl.RESPONSE_CODE))

    @property
    def length(self) -> int | None:
        """How many bytes the server announces."""
        count = int(self._channel.easy.getinfo(pycurl.CONTENT_LENGTH_DOWNLOAD_T))
        return count if count >= 0 else None

    @property
    def filetime(self) -> int:
        """Seconds since 1970 of the file's last change; -1 where the server does not tell."""
        return int(self._channel.easy.getinfo(pycurl.FILETIME_T))

    def readinto(self, buffer: memoryview, /) -> int:
        """Read into `buffer`, at least a byte; 0 at the end. Raises CurlError."""
        self._wait()
        filled = 0
        while self._chunks and filled < len(buffer):
            chunk = self._chunks.popleft()
            taken = min(len(chunk), len(buffer) - filled)
            buffer[filled : filled + taken] = chunk[:taken]
            filled += taken
            if taken < len(chunk):
                self._chunks.appendleft(chunk[taken:])
        self._held -= filled
        return filled

    def drain(self) -> None:
        """Read to the end; then the connection may be used again, and all is known."""
        buffer = memoryview(bytearray(1024))
        while self.readinto(buffer):
            pass

    def _wait(self) -> None:
        """Let libcurl work until there is a byte to be read, or none will come."""
        multi = self._channel.multi
        while not self._chunks and not self._done:
            if self._paused:
                self._paused = False
                self._channel.easy.pause(pycurl.PAUSE_CONT)
            multi.perform()
            self._look_for_the_end()
            if not self._chunks and not self._done:
                multi.select(1.0)
        if not self._chunks and self._failure:
            raise self._failure

    def _look_for_the_end(self) -> None:
        _, finished, failed = self._channel.multi.info_read()
        if finished or failed:
            self._done = True
        for _, code, message in failed:
            self._failure = CurlError(code, message, self.status)

    def _on_header(self, line: bytes) -> None:
        text = line.decode("iso-8859-1")
        if text.startswith("HTTP/"):
            self.headers.clear()
        name, colon, value = text.partition(":")
        if colon:
            self.headers[name.strip().lower()] = value.strip()

    def _on_body(self, data: bytes) -> int | None:
        if self._held >= _AHEAD:
            self._paused = True
            return int(pycurl.WRITEFUNC_PAUSE)
        self._chunks.append(memoryview(data))
        self._held += len(data)
        return None

    @property
    def is_whole(self) -> bool:
        """Whether the answer came to its end, so that its connection may be used again."""
        return self._done and self._failure is None

    def close(self) -> None:
        """Take the request off its channel."""
        self._channel.multi.remove_handle(self._channel.easy)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


_PROTOCOLS = pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS | pycurl.PROTO_FTP | pycurl.PROTO_FTPS
