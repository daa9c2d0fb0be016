"""A web server over a dictionary, with or without byte ranges."""

from __future__ import annotations

import re
from http.server import BaseHTTPRequestHandler
from urllib.parse import unquote, urlsplit

from tests.servers.threaded import Server


class FileServer(Server):
    """Serves `files`; `queries` lists the query strings that came."""

    def __init__(self, ranges: bool = True, etag: str | None = '"v1"') -> None:
        self.files: dict[str, bytes] = {}
        self.ranges = ranges
        self.etag = etag
        self.queries: list[str] = []
        super().__init__(Handler)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FileServer

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self.server.queries.append(parts.query)
        data = self.server.files.get(unquote(parts.path))
        if data is None:
            return self.send(404, b"not here")
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if not (wanted and self.server.ranges):
            return self.send(200, data)
        start, end = int(wanted[1]), min(int(wanted[2] or 1 << 62) + 1, len(data))
        if start >= end:
            return self.send(416, b"", f"bytes */{len(data)}")
        return self.send(206, data[start:end], f"bytes {start}-{end - 1}/{len(data)}")

    do_HEAD = do_GET

    def send(self, status: int, body: bytes, span: str | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if span:
            self.send_header("Content-Range", span)
        if self.server.etag:
            self.send_header("ETag", self.server.etag)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)
