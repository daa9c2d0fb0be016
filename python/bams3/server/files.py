"""`/files/ROOT/KEY`: any file of a root, whole or by range."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import cast

from bams3.errors import ChangedError
from bams3.server.app import Access, App, Route
from bams3.server.auth import User
from bams3.server.keys import decode
from bams3.server.local import LocalFile
from bams3.server.messages import FileSpan, Refusal, Request, Response
from bams3.server.ranges import (
    Conditions,
    Plan,
    Span,
    Version,
    body_length,
    content_range,
    http_date,
    multipart,
    plan,
)
from bams3.server.resources import Resource
from bams3.server.roots import Root
from bams3.server.virtual import BamFile

PATH = "/files/"
_FIRST_BLOCK = 65_536
_CONDITIONS = tuple(name.replace("_", "-") for name in Conditions._fields)


@dataclass(frozen=True)
class Files:
    """Answers requests for files.

    Attributes:
        first_block: Answer a GET of a BAM or CRAM without Range with its first 65,536 bytes, as
            older servers did. samtools cannot read such files.
        redirect: Lead clients to the store itself, with addresses that expire after so many
            seconds; 0 to serve everything from here.
    """

    app: App
    first_block: bool = False
    redirect: int = 0

    def routes(self) -> list[Route]:
        """Return the routes of the table."""
        return [Route(PATH, self.answer)]

    def answer(self, request: Request, user: User, rest: str) -> Response | Awaitable[Response]:
        """Answer a request for `ROOT/KEY`."""
        name, _, encoded = rest.partition("/")
        user.check_files(name)
        self.app.check_audit()
        root, key = self.app.root(name), decode(encoded)
        if root.waits(key):
            return self._from_afar(request, user, root, key)
        resource = root.open(key)
        try:
            return self._local(request, user, root, key, resource)
        except BaseException:
            resource.close()
            raise

    # ---- what is on a local disk -----------------------------------------------------------------
    def _local(
        self, request: Request, user: User, root: Root, key: str, resource: Resource
    ) -> Response:
        found = self._plan(request, resource)
        response, body = self._framed(request, found, resource)
        if response.status in (200, 206) and request.method == "GET":
            response.finished = self._closing(request, user, root, key, resource, found)
            if len(body) == 1 and isinstance(resource, LocalFile):
                start, end = cast(Span, body[0])
                response.length, response.file = None, FileSpan(resource.descriptor, start, end)
            else:
                response.pieces = _pieces(resource, body)
        else:
            resource.close()
        return response

    # ---- what has to be waited for ---------------------------------------------------------------
    async def _from_afar(self, request: Request, user: User, root: Root, key: str) -> Response:
        """Answer when the first piece is there: until then an error is an answer, not a cut."""
        if self.redirect and request.method == "GET":
            address = await self.app.in_thread(self._address, root, key)
            if address:
                return Response(
                    307, {"Location": address, "Cache-Control": f"max-age={self.redirect // 2}"}
                )
        who = await self.app.enter(request, user)
        try:
            response = await self.app.in_thread(self._begin, request, user, root, key)
        except BaseException:
            self.app.leave(who)
            raise
        closed = response.finished

        def finished(sent: int, complete: bool) -> None:
            self.app.leave(who)
            if closed:
                closed(sent, complete)

        response.finished = finished
        return response

    def _address(self, root: Root, key: str) -> str | None:
        root.open(key).close()  # what is not there is answered here
        return root.presign(key, self.redirect)

    def _begin(self, request: Request, user: User, root: Root, key: str) -> Response:
        """Open and read the first piece; once more where the object has just been replaced."""
        try:
            return self._opened(request, user, root, key)
        except ChangedError:
            root.forget(key)
            return self._opened(request, user, root, key)

    def _opened(self, request: Request, user: User, root: Root, key: str) -> Response:
        resource = root.open(key)
        try:
            found = self._plan(request, resource)
            response, body = self._framed(request, found, resource)
            if response.status in (200, 206) and request.method == "GET":
                pieces = _pieces(resource, body)
                response.left = resource.left if isinstance(resource, BamFile) else None
                first = next(pieces, b"")
                response.pieces = _Chained(first, pieces)
            response.finished = self._closing(request, user, root, key, resource, found)
            return response
        except BaseException:
            resource.close()
            raise

    # ---- both ------------------------------------------------------------------------------------
    def _plan(self, request: Request, resource: Resource) -> Plan:
        asked = Conditions(*map(request.headers.get, _CONDITIONS))
        old = self.first_block and resource.name.lower().endswith((".bam", ".cram"))
        return plan(
            asked,
            Version(resource.size, resource.etag, resource.modified),
            head=request.method == "HEAD",
            first_block=_FIRST_BLOCK if old else 0,
        )

    def _framed(
        self, request: Request, found: Plan, resource: Resource
    ) -> tuple[Response, list[bytes | Span]]:
        """Return the answer without its body, and what the body is made of."""
        headers = {
            "Content-Type": resource.media_type,
            "Accept-Ranges": "bytes",
            "ETag": resource.etag,
            "Last-Modified": http_date(resource.modified),
            "Cache-Control": "private, no-transform",
        }
        body: list[bytes | Span] = list(found.spans)
        if found.status in (412, 416):
            del headers["Content-Type"]  # that of the error follows
        if found.status == 412:
            raise Refusal(412, "the file is another version", "ask without If-Match", headers)
        if found.status == 416:
            headers["Content-Range"] = f"bytes */{resource.size}"
            raise Refusal(416, "there are no such bytes", f"it has {resource.size}", headers)
        if found.status == 206 and len(found.spans) == 1:
            headers["Content-Range"] = content_range(found.spans[0], resource.size)
        elif found.status == 206:
            boundary = secrets.token_hex(16)
            body = multipart(found, resource.size, resource.media_type, boundary)
            headers["Content-Type"] = f"multipart/byteranges; boundary={boundary}"
        return Response(found.status, headers, length=body_length(body)), body

    def _closing(
        self, request: Request, user: User, root: Root, key: str, resource: Resource, found: Plan
    ) -> Callable[[int, bool], None]:
        """Return what is done at the end: the file closed, the audit log written."""

        def finished(sent: int, complete: bool) -> None:
            resource.close()
            if self.app.audit and found.status in (200, 206):
                access = Access(
                    user.name, request.peer, request.method, root, key, resource.etag,
                    found.status, found.spans,
                )  # fmt: skip
                self.app.noting(access)(sent, complete)

        return finished


class _Chained(Iterator[bytes]):
    """The first piece, which is there already, and the others; closing it closes those."""

    def __init__(self, first: bytes, rest: Iterator[bytes]) -> None:
        self._rest = rest
        self._all = chain((first,), rest)

    def __next__(self) -> bytes:
        return next(self._all)

    def close(self) -> None:
        """Stop reading."""
        self._rest.close()  # type: ignore[attr-defined]


def _pieces(resource: Resource, body: list[bytes | Span]) -> Iterator[bytes]:
    for part in body:
        if isinstance(part, bytes):
            yield part
        else:
            yield from resource.read(*part)
