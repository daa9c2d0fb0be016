"""Objects of a store, served on loopback to a child process that reads addresses by itself.

htslib wants to seek in a reference. It is given an address on this machine, behind which stand the
options, credentials, retries and checks of this package.
"""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple, Self
from urllib.parse import urlsplit

from bams3.config import StorageOptions
from bams3.errors import Bams3Error, NotFoundError
from bams3.storage.remote import Handle, fetch, request
from bams3.storage.store import scheme_of

_FIRST, _MOST = 64 << 10, 8 << 20


class _Object(NamedTuple):
    """One version of an object."""

    handle: Handle
    size: int
    etag: str


class Loopback(ThreadingHTTPServer):
    """Serves the remote object `url`, and those that have its name and a suffix (`.fai`).

    Args:
        url: `s3://` or `http(s)://` address (with query, if any).
        options: How to reach it.

    Attributes:
        address: Where the object is served, to whoever knows this address.
        failure: The last error of the store, if there was one.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, url: str, options: StorageOptions | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.options = options or StorageOptions.resolve()
        self.failure: Bams3Error | None = None
        name = urlsplit(url).path.rpartition("/")[2] if scheme_of(url) != "s3" else "object"
        self.path = f"/{secrets.token_hex(16)}/{name}"
        self.address = f"http://127.0.0.1:{self.server_address[1]}{self.path}"
        self._url, self._objects = url, dict[str, _Object]()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def find(self, suffix: str = "") -> _Object:
        """Return what is known of an object; one small request the first time.

        Raises:
            NotFoundError, PermissionDenied, StorageError, UsageError: It cannot be read.
        """
        if suffix not in self._objects:
            handle = self._handle(suffix)
            meta = request(handle, (0, 1), "").meta
            self._objects[suffix] = _Object(handle, meta["size"], meta["e_tag"] or "")
        return self._objects[suffix]

    def _handle(self, suffix: str) -> Handle:
        if scheme_of(self._url) == "s3":
            from bams3.storage.s3 import object_handle

            return object_handle(self._url + suffix, self.options)
        from bams3.storage.http import object_handle

        parts = urlsplit(self._url)
        return object_handle(parts._replace(path=parts.path + suffix).geturl(), self.options)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a child that hangs up: it has read enough."""

    def close(self) -> None:
        """Stop serving."""
        self.shutdown()
        self._thread.join()
        self.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Loopback

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if not path.startswith(self.server.path):
            return self.send_error(404)
        self._begun = False
        try:
            self._answer(self.server.find(path.removeprefix(self.server.path)))
        except Bams3Error as error:
            self.close_connection = True
            if not isinstance(error, NotFoundError):
                self.server.failure = error
            if not self._begun:
                self.send_error(404)  # which nobody asks for again
        return None

    def _answer(self, found: _Object) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        start = int(wanted[1]) if wanted else 0
        end = min(int(wanted[2]) + 1, found.size) if wanted and wanted[2] else found.size
        if start >= found.size:
            return self.send_error(416)
        for piece in self._pieces(found, start, end):
            if not self._begun:
                self._begin(found, start, end, bool(wanted))
            self.wfile.write(piece)
        return None

    def _begin(self, found: _Object, start: int, end: int, partial: bool) -> None:
        self._begun = True
        self.send_response_only(206 if partial else 200)
        self.send_header("Content-Length", str(end - start))
        if partial:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{found.size}")
        self.end_headers()

    def _pieces(self, found: _Object, start: int, end: int) -> Iterator[bytes]:
        """Read a range in growing pieces: most readers hang up early."""
        size = _FIRST
        while start < end:
            span = start, min(start + size, end)
            yield fetch(found.handle, self.server.options, span, found.etag).data
            start, size = span[1], min(2 * size, _MOST)
