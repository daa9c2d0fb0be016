"""An in-process S3 server for speed: no signatures, everything in memory, every request counted.

    with FakeS3() as server:
        server.latency = 0.05          # seconds added to each request
        ...                            # server.url, server.requests, server.bytes_out

It knows PUT, GET (ranges, If-Match), HEAD, DELETE, CopyObject, If-None-Match and If-Match on
writes, ListObjectsV2 with pages, DeleteObjects, multipart uploads. Buckets spring up when written
to.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import threading
import time
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from xml.sax.saxutils import escape, unescape

from tests.servers.threaded import Server


@dataclass
class Blob:
    data: bytes
    etag: str
    modified: float = field(default_factory=time.time)


@dataclass(frozen=True)
class Request:
    method: str
    key: str
    query: str
    range: str | None
    started: float
    ended: float
    bytes_out: int
    headers: dict[str, str]


class FakeS3(Server):
    """The server; `requests` lists what was asked, in the order of the answers."""

    def __init__(self, page: int = 1000) -> None:
        self.page = page
        self.latency = 0.0
        self.buckets: dict[str, dict[str, Blob]] = {}
        self.uploads: dict[str, dict[int, Blob]] = {}
        self.requests: list[Request] = []
        self.lock = threading.Lock()
        self.names = itertools.count(1)
        super().__init__(Handler)

    @property
    def bytes_out(self) -> int:
        return sum(request.bytes_out for request in self.requests)

    @property
    def rounds(self) -> int:
        """How many times a request waited for all before it; set `latency` to be sure."""
        rounds, end = 0, 0.0
        for request in sorted(self.requests, key=lambda request: request.started):
            if request.started >= end:
                rounds += 1
                end = request.ended
        return rounds

    def reset(self) -> None:
        """Forget the counted requests."""
        self.requests.clear()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: FakeS3

    def log_message(self, *_: object) -> None:
        pass

    def handle_any(self) -> None:
        self.started = time.monotonic()
        if self.server.latency:
            time.sleep(self.server.latency)
        parts = urlsplit(self.path)
        bucket, _, key = parts.path.lstrip("/").partition("/")
        self.bucket, self.key, self.query = unquote(bucket), unquote(key), parts.query
        self.args = dict(parse_qsl(parts.query, keep_blank_values=True))
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        getattr(self, f"on_{self.command.lower()}")()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any

    # ---- answers ---------------------------------------------------------------------------------
    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.server.requests.append(
            Request(
                method=self.command,
                key=self.key,
                query=self.query,
                range=self.headers.get("Range"),
                started=self.started,
                ended=time.monotonic(),
                bytes_out=len(body),
                headers={name.lower(): value for name, value in self.headers.items()},
            )
        )
        self.send_response(status)
        headers.setdefault("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def fail(self, status: int, code: str) -> None:
        body = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>"
        self.answer(status, body.encode())

    def xml(self, text: str) -> None:
        self.answer(200, f'<?xml version="1.0"?>{text}'.encode(), Content_Type="application/xml")

    # ---- objects ---------------------------------------------------------------------------------
    @property
    def objects(self) -> dict[str, Blob]:
        return self.server.buckets.setdefault(self.bucket, {})

    def on_get(self) -> None:
        if not self.key:
            return self.list()
        blob = self.objects.get(self.key)
        if blob is None:
            return self.fail(404, "NoSuchKey")
        if self.headers.get("If-Match", blob.etag) != blob.etag:
            return self.fail(412, "PreconditionFailed")
        common = {"ETag": blob.etag, "Last_Modified": formatdate(blob.modified, usegmt=True)}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if not wanted:
            return self.answer(200, blob.data, **common)
        start, end = int(wanted[1]), min(int(wanted[2] or 1 << 62) + 1, len(blob.data))
        if start >= end:
            return self.fail(416, "InvalidRange")
        span = f"bytes {start}-{end - 1}/{len(blob.data)}"
        return self.answer(206, blob.data[start:end], Content_Range=span, **common)

    def on_head(self) -> None:
        blob = self.objects.get(self.key)
        if blob is None:
            return self.answer(404)
        modified = formatdate(blob.modified, usegmt=True)
        size = str(len(blob.data))
        return self.answer(200, ETag=blob.etag, Last_Modified=modified, Content_Length=size)

    def on_put(self) -> None:
        if not self.key:
            self.objects.clear()
            return self.answer(200)
        blob = Blob(self.body, f'"{hashlib.md5(self.body).hexdigest()}"')
        if "uploadId" in self.args:
            self.server.uploads[self.args["uploadId"]][int(self.args["partNumber"])] = blob
            return self.answer(200, ETag=blob.etag)
        if "x-amz-copy-source" in self.headers:
            return self.copy()
        with self.server.lock:
            refused = self.refused()
            if refused:
                return self.fail(*refused)
            self.objects[self.key] = blob
        return self.answer(200, ETag=blob.etag)

    def refused(self) -> tuple[int, str] | None:
        """Say why the conditions of a write do not hold."""
        there = self.objects.get(self.key)
        if self.headers.get("If-None-Match") == "*" and there:
            return 412, "PreconditionFailed"
        wanted = self.headers.get("If-Match")
        if wanted and not there:
            return 404, "NoSuchKey"
        if wanted and there and wanted != there.etag:
            return 412, "PreconditionFailed"
        return None

    def copy(self) -> None:
        source = unquote(self.headers["x-amz-copy-source"]).lstrip("/")
        bucket, _, key = source.partition("/")
        blob = self.server.buckets.get(bucket, {}).get(key)
        if blob is None:
            return self.fail(404, "NoSuchKey")
        self.objects[self.key] = Blob(blob.data, blob.etag)
        return self.xml(f"<CopyObjectResult><ETag>{escape(blob.etag)}</ETag></CopyObjectResult>")

    def on_delete(self) -> None:
        if "uploadId" in self.args:
            self.server.uploads.pop(self.args["uploadId"], None)
        self.objects.pop(self.key, None)
        self.answer(204)

    # ---- several objects -------------------------------------------------------------------------
    def list(self) -> None:
        prefix = self.args.get("prefix", "")
        after = self.args.get("continuation-token") or self.args.get("start-after", "")
        keys = sorted(k for k in self.objects if k.startswith(prefix) and k > after)
        folders: set[str] = set()
        if self.args.get("delimiter") == "/":
            folders = {prefix + k[len(prefix) :].split("/")[0] + "/" for k in keys
                       if "/" in k[len(prefix) :]}  # fmt: skip
            keys = [k for k in keys if "/" not in k[len(prefix) :]]
        more = len(keys) > self.server.page
        keys = keys[: self.server.page]
        items = "".join(self.item(key, self.objects[key]) for key in keys)
        items += "".join(
            f"<CommonPrefixes><Prefix>{escape(folder)}</Prefix></CommonPrefixes>"
            for folder in sorted(folders)
        )
        token = f"<NextContinuationToken>{escape(keys[-1])}</NextContinuationToken>" if more else ""
        self.xml(
            f"<ListBucketResult><Name>{self.bucket}</Name><KeyCount>{len(keys)}</KeyCount>"
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{items}</ListBucketResult>"
        )

    def item(self, key: str, blob: Blob) -> str:
        modified = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(blob.modified))
        name = quote(key, safe="/") if self.args.get("encoding-type") == "url" else escape(key)
        return (
            f"<Contents><Key>{name}</Key><LastModified>{modified}</LastModified>"
            f"<ETag>{escape(blob.etag)}</ETag><Size>{len(blob.data)}</Size></Contents>"
        )

    def on_post(self) -> None:
        if "delete" in self.args:
            return self.delete_objects()
        if "uploads" in self.args:
            return self.create_upload()
        return self.complete_upload()

    def delete_objects(self) -> None:
        names = re.findall(r"<Key>(.*?)</Key>", self.body.decode())
        for name in names:
            self.objects.pop(unescape(name, {"&quot;": '"', "&apos;": "'"}), None)
        deleted = "".join(f"<Deleted><Key>{name}</Key></Deleted>" for name in names)
        self.xml(f"<DeleteResult>{deleted}</DeleteResult>")

    def create_upload(self) -> None:
        name = f"upload-{next(self.server.names)}"
        self.server.uploads[name] = {}
        self.xml(
            f"<InitiateMultipartUploadResult><Bucket>{self.bucket}</Bucket>"
            f"<Key>{escape(self.key)}</Key><UploadId>{name}</UploadId>"
            "</InitiateMultipartUploadResult>"
        )

    def complete_upload(self) -> None:
        parts = self.server.uploads.pop(self.args["uploadId"], None)
        if parts is None:
            return self.fail(404, "NoSuchUpload")
        data = b"".join(blob.data for _, blob in sorted(parts.items()))
        etag = f'"{hashlib.md5(data).hexdigest()}-{len(parts)}"'
        self.objects[self.key] = Blob(data, etag)
        return self.xml(
            f"<CompleteMultipartUploadResult><Bucket>{self.bucket}</Bucket>"
            f"<Key>{escape(self.key)}</Key><ETag>{escape(etag)}</ETag>"
            "</CompleteMultipartUploadResult>"
        )
