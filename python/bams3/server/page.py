"""The page: what lies in the roots, drawn by igv.js; and what it asks for beside files.

The page itself is for everybody, as there is nothing in it; what it asks for is for those who may
read the root. It needs no other host: the policy that goes with it lets the browser reach none.
"""

from __future__ import annotations

import gzip
import json
import logging
from collections.abc import Awaitable, Callable, Iterable
from functools import cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from bams3.errors import Bams3Error, NotFoundError
from bams3.regions import Region
from bams3.server.app import Access, App, Route
from bams3.server.auth import User
from bams3.server.browse import Browse
from bams3.server.keys import decode
from bams3.server.messages import Refusal, Request, Response, json_response
from bams3.server.roots import Root

log = logging.getLogger(__name__)

STATIC = Path(__file__).with_name("static")
IGV = "igv.min.js"
_FILES = {
    "page.js": "text/javascript", "tracks.js": "text/javascript", "plots.js": "text/javascript",
    IGV: "text/javascript", "page.css": "text/css", "icon.svg": "image/svg+xml",
}  # fmt: skip
STYLES = (
    "'sha256-ITHmamcImsZ/Je1xrdtDLZVvRSpj1Zokb6uHXORB824='",
    "'sha256-NTwDUA6nIvRRpI2lIBtHJqkV0TlTj4HVmI6vI81fIfM='",
)
"""Hashes of the two style sheets that igv.js puts into a page, of its color picker and its circular
view: to be measured again with every version of it."""
_PRIVATE = {"Cache-Control": "no-store"}


def policy(data_hosts: Iterable[str] = ()) -> str:
    """Return the Content-Security-Policy of the page.

    WebAssembly is for CRAM. `data_hosts` are origins to which the server redirects for data.
    """
    connect = " ".join(["'self'", *data_hosts])
    return "; ".join(
        [
            "default-src 'none'",
            "script-src 'self' 'wasm-unsafe-eval'",
            f"connect-src {connect}",
            "img-src 'self' data: blob:",
            f"style-src 'self' {' '.join(STYLES)}",
            "base-uri 'none'",
            "object-src 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )


class Page:
    """Answers `/` and what lies below `/page/`."""

    def __init__(self, app: App, browse: Browse, version: str, redirect: int = 0) -> None:
        self._app, self._browse, self._version = app, browse, version
        self._policy = policy(_data_hosts(app.roots.values()) if redirect else ())
        if not (STATIC / IGV).is_file():
            log.warning("igv.js is missing, so the page cannot draw: `make setup` fetches it")

    def routes(self) -> list[Route]:
        """Return the routes of the table."""
        static = [
            Route(f"/page/{name}", partial(self._static, name), public=True) for name in _FILES
        ]
        return [
            *static,
            Route("/", self.front, public=True),
            Route("/page/samples", self.samples),
            Route("/page/genes", self.genes),
            Route("/page/contigs/", self.contigs),
            Route("/page/lengths/", self.lengths),
            Route("/page/stats/", self.stats),
            Route("/page/depth/", self.depth),
        ]

    # ---- the page itself -------------------------------------------------------------------------
    def front(self, request: Request, user: User, rest: str) -> Response:
        """Return the page."""
        settings = {
            "version": self._version,
            "token": self._app.authenticator.required,
            "igv": (STATIC / IGV).is_file(),
        }
        text = (STATIC / "index.html").read_text(encoding="utf-8")
        body = text.replace("{{settings}}", json.dumps(settings).replace("<", "\\u003c"))
        headers = {
            "Content-Type": "text/html; charset=utf-8",
            "Content-Security-Policy": self._policy,
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cache-Control": "no-cache",
        }
        return Response(200, headers, body.encode())

    def _static(self, name: str, request: Request, user: User, rest: str) -> Response:
        if not (STATIC / name).is_file():
            raise Refusal(404, f"{name} is missing", "who runs this server: `make setup`")
        packed = "gzip" in request.headers.get("accept-encoding", "")
        body, etag = _packed(name) if packed else _plain(name)
        headers = {
            "Content-Type": f"{_FILES[name]}; charset=utf-8",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cache-Control": "no-cache",
            "ETag": etag,
            "Vary": "Accept-Encoding",
        }
        if request.headers.get("if-none-match") == etag:
            return Response(304, headers)
        return Response(200, headers | ({"Content-Encoding": "gzip"} if packed else {}), body)

    # ---- what it asks for ------------------------------------------------------------------------
    async def samples(self, request: Request, user: User, rest: str) -> Response:
        """List what the user may read."""
        return await self._answer(request, user, partial(self._browse.samples, user))

    async def genes(self, request: Request, user: User, rest: str) -> Response:
        """Find genes by the beginning of a name, `?q=`."""
        text = _one(request, "q")[:100]
        return await self._answer(request, user, partial(self._browse.genes, user, text))

    async def contigs(self, request: Request, user: User, rest: str) -> Response:
        """Return the contigs of `ROOT/KEY`, and the reference that has them."""
        root, key = self._place(user, rest)
        return await self._answer(
            request, user, partial(self._browse.contigs, user, f"{root.name}/{key}")
        )

    async def lengths(self, request: Request, user: User, rest: str) -> Response:
        """Return names and lengths of the contigs of `ROOT/KEY`, a line each, for igv.js."""
        root, key = self._place(user, rest)
        action = partial(self._browse.lengths, f"{root.name}/{key}")
        rows = (await self._app.in_thread(action)).items()
        body = "".join(f"{name}\t{length}\n" for name, length in rows).encode()
        return Response(200, _PRIVATE | {"Content-Type": "text/plain; charset=utf-8"}, body)

    def stats(self, request: Request, user: User, rest: str) -> Awaitable[Response]:
        """Return the statistics of a dataset `ROOT/KEY`."""
        root, key = self._place(user, rest)
        return self._answer(request, user, partial(self._browse.stats, f"{root.name}/{key}"))

    async def depth(self, request: Request, user: User, rest: str) -> Response:
        """Return depths of a dataset `ROOT/KEY`: along `contig`, `start`, `end`, or of all."""
        root, key = self._place(user, rest)
        bins = _number(request, "bins", 1000)
        if not _one(request, "contig"):
            action = partial(self._browse.overview, f"{root.name}/{key}", bins)
            return await self._answer(request, user, action)
        contig, start = _one(request, "contig"), _number(request, "start", 0)
        end = _number(request, "end", 1 << 40)
        action = partial(self._browse.depth, f"{root.name}/{key}", contig, start, end, bins)
        response = await self._answer(request, user, action)
        region = str(Region(contig, start, end))
        access = Access(user.name, request.peer, request.method, root, key, "", 200, (), (region,))
        response.finished = self._app.noting(access)
        return response

    def _place(self, user: User, rest: str) -> tuple[Root, str]:
        name, _, encoded = rest.partition("/")
        user.check_files(name)
        self._app.check_audit()
        return self._app.root(name), decode(encoded)

    async def _answer(
        self, request: Request, user: User, action: Callable[[], dict[str, Any]]
    ) -> Response:
        who = await self._app.enter(request, user)
        try:
            return json_response(200, await self._app.in_thread(action), _PRIVATE)
        finally:
            self._app.leave(who)


def _one(request: Request, name: str) -> str:
    return parse_qs(request.query).get(name, [""])[0]


def _number(request: Request, name: str, default: int) -> int:
    text = _one(request, name)
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise Refusal(400, f"{name} is no number", "write digits")
    return int(text)


def _data_hosts(roots: Iterable[Root]) -> list[str]:
    """Return the origins of the addresses that the roots redirect to."""
    hosts = set()
    for root in roots:
        try:
            address = root.presign("x.bam", 60)
        except (NotFoundError, Bams3Error):
            continue
        if address:
            parts = urlsplit(address)
            hosts.add(f"{parts.scheme}://{parts.netloc}")
    return sorted(hosts)


@cache
def _plain(name: str) -> tuple[bytes, str]:
    import hashlib

    body = (STATIC / name).read_bytes()
    return body, f'"{hashlib.sha256(body).hexdigest()[:32]}"'


@cache
def _packed(name: str) -> tuple[bytes, str]:
    body, etag = _plain(name)
    return gzip.compress(body, mtime=0), f'{etag[:-1]}-gzip"'
