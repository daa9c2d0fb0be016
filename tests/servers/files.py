"""A web server over a dictionary, with or without byte ranges, that can change its mind.

with FileServer() as server:
    server.files["/a"] = b"..."
    server.before[3] = lambda: server.replace("/a", b"other", '"v2"')   # before the 3rd request
    server.fail_at = 1000          # answers are cut when they come to this byte of the file
"""

from __future__ import annotations

import re
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from urllib.parse import unquote, urlsplit

from tests.servers.threaded import Server


class FileServer(Server):
    """Serves `files`; `queries` lists the query strings that came, `spans` the ranges asked for."""

    def __init__(self, ranges: bool = True, etag: str | None = '"v1"') -> None:
        self.files: dict[str, bytes] = {}
        self.ranges = ranges
        self.etag = etag
        self.modified: str | None = None
        self.length = True
        """Whether the size is told; without, an answer ends with its connection."""
        self.fail_at: int | None = None
        self.queries: list[str] = []
        self.spans: list[str | None] = []
        self.connections = 0
        self.before: dict[int, Callable[[], None]] = {}
        super().__init__(Handler)

    def replace(self, path: str, data: bytes, etag: str | None) -> None:
        """Put another file in place of one."""
        self.files[path], self.etag = data, etag


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FileServer

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self.server.queries.append(parts.query)
        self.server.spans.append(self.headers.get("Range"))
        self.server.before.pop(len(self.server.queries), lambda: None)()
        data = self.server.files.get(unquote(parts.path))
        if data is None:
            return self.send(404, b"not here")
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if not (wanted and self.server.ranges and self.is_same()):
            return self.send(200, data)
        start, end = int(wanted[1]), min(int(wanted[2] or 1 << 62) + 1, len(data))
        if start >= end:
            return self.send(416, b"", f"bytes */{len(data)}")
        return self.send(206, data[start:end], f"bytes {start}-{end - 1}/{len(data)}", start)

    do_HEAD = do_GET

    def is_same(self) -> bool:
        """Whether the file is the one that If-Range speaks of."""
        condition = self.headers.get("If-Range")
        return condition is None or condition in (self.server.etag, self.server.modified)

    def send(self, status: int, body: bytes, span: str | None = None, start: int = 0) -> None:
        self.send_response(status)
        if self.server.length or status >= 300:
            self.send_header("Content-Length", str(len(body)))
        else:
            self.send_header("Connection", "close")
        if span:
            self.send_header("Content-Range", span)
        if self.server.etag:
            self.send_header("ETag", self.server.etag)
        if self.server.modified:
            self.send_header("Last-Modified", self.server.modified)
        self.end_headers()
        if self.command == "GET":
            self.write(body, start)

    def write(self, body: bytes, start: int) -> None:
        end = self.server.fail_at
        if end is not None and start + len(body) > end:
            body, self.close_connection = body[: max(end - start, 0)], True
        self.wfile.write(body)


class Redirect(Server):
    """Leads every request to the same file below another address."""

    def __init__(self, target: str) -> None:
        class Leading(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                self.send_response(302)
                self.send_header("Location", f"{target.rstrip('/')}{self.path}")
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_HEAD = do_GET

        super().__init__(Leading)
