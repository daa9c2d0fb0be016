"""Requests and responses: what passes between the connection and the routes."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from threading import Event
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

_REASONS = {status.value: status.phrase for status in HTTPStatus}


class Request(NamedTuple):
    """One request, complete and within the limits.

    Attributes:
        method: In upper case, as it came.
        path: Path as it came, still percent-encoded.
        query: Without the question mark, as it came.
        headers: By name in lower case; values of a header that came several times joined by comma.
        body: At most `Limits.body` bytes.
        peer: Address of the other end.
        secure: The connection is encrypted.
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = MappingProxyType({})
    body: bytes = b""
    peer: str = ""
    secure: bool = False


class FileSpan(NamedTuple):
    """Bytes [start, end) of an open local file, which the kernel can send by itself."""

    descriptor: int
    start: int
    end: int


@dataclass(slots=True)
class Response:
    """One response. Of `body`, `file` and `pieces` at most one is set.

    Attributes:
        status: HTTP status.
        headers: Without those that every answer has, Content-Length and Connection.
        body: The whole body.
        file: A span of a local file.
        pieces: The body in pieces, each got in a worker thread; closed when the client goes away.
            What it raises cuts the connection.
        length: Bytes of `pieces`; None sends them in chunks. For HEAD, the length of the GET.
        left: Set when the client goes away before the end of `pieces`.
        finished: Called once, with the bytes of the body that were sent and whether that was all.
        route: The path of the route that answered, for the metrics.
    """

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    file: FileSpan | None = None
    pieces: Iterator[bytes] | None = None
    length: int | None = None
    left: Event | None = None
    finished: Callable[[int, bool], None] | None = None
    route: str = ""

    def head(self, standing: str, *, closing: bool) -> bytes:
        """Return status line and headers.

        Args:
            standing: Lines of headers that every answer has.
            closing: No other answer follows on the connection.
        """
        lines = [f"HTTP/1.1 {self.status} {_REASONS.get(self.status, 'Unknown')}\r\n{standing}"]
        lines += [f"{name}: {value}\r\n" for name, value in self.headers.items()]
        if self.file:
            self.length = self.file.end - self.file.start
        elif self.pieces is None and self.length is None:
            self.length = len(self.body)
        if self.length is not None and self.status not in (204, 304):
            lines.append(f"Content-Length: {self.length}\r\n")
        elif self.pieces is not None:
            lines.append("Transfer-Encoding: chunked\r\n")
        lines.append("Connection: close\r\n\r\n" if closing else "\r\n")
        return "".join(lines).encode("latin-1")


class Application(Protocol):
    """What answers requests."""

    def handle(self, request: Request) -> Response | Awaitable[Response]:
        """Answer; at once where there is nothing to wait for."""

    def explain(self, error: Exception) -> Response:
        """Return the answer to what `handle`, or the first piece of its answer, raised."""

    def observe(self, request: Request, response: Response, sent: int, complete: bool) -> None:
        """Take note of an answer that is over: bytes of its body sent, and whether all were."""


def json_response(
    status: int, value: Any, headers: Mapping[str, str] | None = None, kind: str = "json"
) -> Response:
    """Return `value` as JSON."""
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
    return Response(status, {"Content-Type": f"application/{kind}"} | dict(headers or {}), body)


class Refusal(Exception):
    """A request that is answered with an error: status, what happened, what to do about it."""

    def __init__(
        self,
        status: int,
        message: str,
        hint: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.hint = status, message, hint
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """Return it as JSON: `{"error": {"status": 404, "message": ..., "hint": ...}}`."""
        error: dict[str, Any] = {"status": self.status, "message": self.message}
        if self.hint:
            error["hint"] = self.hint
        return json_response(self.status, {"error": error}, self.headers)
