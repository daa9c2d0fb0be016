"""The application: who asks, which route, what answer; one table of routes.

A route's handler gets the request, the user and the rest of the path, and returns a `Response`, or
something to await where it has to wait. Whatever it raises becomes an answer in `explain`.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol, TypeAlias, TypeVar
from urllib.parse import urlsplit

from bams3.errors import (
    Bams3Error,
    ChangedError,
    CorruptError,
    InputError,
    NotFoundError,
    PermissionDenied,
    RegionError,
    StorageError,
    UsageError,
)
from bams3.server.auth import ANYBODY, Authenticator, User
from bams3.server.limits import Limits
from bams3.server.messages import Refusal, Request, Response
from bams3.server.metrics import Metrics
from bams3.server.roots import Root

log = logging.getLogger(__name__)
T = TypeVar("T")

Handler: TypeAlias = "Callable[[Request, User, str], Response | Awaitable[Response]]"


@dataclass(frozen=True, slots=True)
class Route:
    """A path and who answers it.

    Attributes:
        path: `/healthz`, or with a slash at its end, all paths below: `/files/`.
        handler: Gets the request, the user and what follows `path`, as it was sent.
        methods: What it knows; HEAD goes with GET. Others are answered with 405.
        public: Nobody needs to be known.
    """

    path: str
    handler: Handler
    methods: tuple[str, ...] = ("GET", "HEAD")
    public: bool = False


class Audit(Protocol):
    """Takes note of who read what; see `bams3.server.audit`."""

    healthy: bool

    def note(self, access: Access, sent: int, complete: bool) -> None:
        """Take note of an answer that is over."""


@dataclass(slots=True)
class Access:
    """Somebody's reading of data: what the audit log is about.

    Attributes:
        spans: Bytes of the file [start, end), in the order in which they are sent.
        regions: The places that are sent, where the bytes do not say it: texts of regions.
    """

    user: str
    peer: str
    method: str
    root: Root
    key: str
    etag: str
    status: int
    spans: tuple[tuple[int, int], ...]
    regions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cors:
    """Which other sites' pages may read: exact origins, or `*` for all; never with cookies."""

    origins: tuple[str, ...] = ()

    def headers(self, origin: str | None) -> dict[str, str]:
        """Return the headers for a request with this Origin."""
        if origin is None or not ("*" in self.origins or origin in self.origins):
            return {}
        return {
            "Access-Control-Allow-Origin": "*" if "*" in self.origins else origin,
            "Access-Control-Expose-Headers": "Content-Range, Content-Length, ETag, Accept-Ranges",
        }


_ASKED_HEADERS = (
    "authorization, cache-control, content-type, if-match, if-none-match, if-range, range"
)


@dataclass
class App:
    """Answers requests. Threads and limits are shared by all routes.

    Attributes:
        roots: By name.
        hosts: What a Host header may name, in lower case and without port; others are refused, so
            that no page can reach the server under a name of its own (DNS rebinding).
    """

    roots: Mapping[str, Root]
    authenticator: Authenticator = field(default_factory=Authenticator)
    hosts: frozenset[str] = frozenset({"localhost", "127.0.0.1", "::1"})
    cors: Cors = field(default_factory=Cors)
    limits: Limits = field(default_factory=Limits)
    audit: Audit | None = None
    metrics: Metrics = field(default_factory=Metrics)
    threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(80, "bams3-serve")
    )
    streams: int = 0
    _exact: dict[str, Route] = field(default_factory=dict)
    _below: dict[str, Route] = field(default_factory=dict)
    _prefixes: re.Pattern[str] = re.compile("(?!)")
    _busy: Counter[str] = field(default_factory=Counter)
    _freed: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, routes: Iterable[Route]) -> None:
        """Add routes to the table; a path below several belongs to the longest."""
        for route in routes:
            table = self._below if route.path.endswith("/") and route.path != "/" else self._exact
            if route.path in table:
                raise UsageError(f"two routes for {route.path}")
            table[route.path] = route
        longest_first = sorted(self._below, key=len, reverse=True)
        self._prefixes = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")

    def root(self, name: str) -> Root:
        """Return a root. Raises Refusal 404."""
        root = self.roots.get(name)
        if root is None:
            raise Refusal(404, "there is no such root", "the address is /files/ROOT/FILE")
        return root

    # ---- requests --------------------------------------------------------------------------------
    def handle(self, request: Request) -> Response | Awaitable[Response]:
        """Answer a request."""
        route: Route | None = None
        try:
            route, rest = self._route(self._checked_path(request))
            found = self._routed(request, route, rest)
        except Exception as error:
            found = self.explain(error)
        if isinstance(found, Response):
            return self._polite(request, route, found)
        return self._late(request, route, found)

    def _routed(self, request: Request, route: Route, rest: str) -> Response | Awaitable[Response]:
        if request.method not in route.methods:
            if request.method == "OPTIONS":
                return self._preflight(request, route)
            raise Refusal(405, "this cannot be done here", None, {"Allow": _allowed(route)})
        if not route.public and self.authenticator.waits(request):
            return self._identified(request, route, rest)
        user = ANYBODY if route.public else self.authenticator.user(request)
        return route.handler(request, user, rest)

    async def _identified(self, request: Request, route: Route, rest: str) -> Response:
        user = await self.in_thread(self.authenticator.user, request)
        found = route.handler(request, user, rest)
        return found if isinstance(found, Response) else await found

    async def _late(
        self, request: Request, route: Route | None, coming: Awaitable[Response]
    ) -> Response:
        try:
            response = await coming
        except Exception as error:
            response = self.explain(error)
        return self._polite(request, route, response)

    async def in_thread(self, action: Callable[..., T], *args: object) -> T:
        """Do what blocks in a worker thread."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, action, *args)

    def _checked_path(self, request: Request) -> str:
        """Return the path, after a look at the Host header."""
        host, path = request.headers.get("host", ""), request.path
        if not path.startswith("/"):  # the absolute form, as for a proxy
            parts = urlsplit(path)
            if parts.scheme not in ("http", "https"):
                raise Refusal(400, "not a path", "the path begins with a slash")
            host, path = parts.netloc, parts.path or "/"
        if _without_port(host) not in self.hosts:
            raise Refusal(421, "this server has another name", "add it to `hosts`")
        return path

    def _route(self, path: str) -> tuple[Route, str]:
        route = self._exact.get(path)
        if route:
            return route, ""
        found = self._prefixes.match(path)
        if found:
            return self._below[found[0]], path[found.end() :]
        raise Refusal(404, "there is nothing here", "files are at /files/ROOT/FILE")

    def check_audit(self) -> None:
        """Raise Refusal 503 where what is read cannot be written down."""
        if self.audit and not self.audit.healthy:
            raise Refusal(
                503, "the audit log cannot be written", "who runs this server has to look"
            )

    def noting(self, access: Access) -> Callable[[int, bool], None]:
        """Return what writes an access into the audit log when its answer is over."""

        def finished(sent: int, complete: bool) -> None:
            if self.audit and access.method != "HEAD":
                self.audit.note(access, sent, complete)

        return finished

    # ---- limits ----------------------------------------------------------------------------------
    async def enter(self, request: Request, user: User) -> str:
        """Wait for a free stream; return what `leave` is to be called with.

        Raises:
            Refusal: 429 where the client has too many already, 503 where nothing gets free.
        """
        who = user.name or request.peer
        if self._busy[who] >= self.limits.per_client:
            raise Refusal(429, "too many requests at once", "wait", {"Retry-After": "1"})
        with suppress(TimeoutError):
            async with asyncio.timeout(self.limits.wait):
                while self.streams >= self.limits.streams:
                    self._freed.clear()
                    await self._freed.wait()
        if self.streams >= self.limits.streams:
            raise Refusal(503, "the server is busy", "try again", {"Retry-After": "5"})
        self.streams += 1
        self._busy[who] += 1
        return who

    def leave(self, who: str) -> None:
        """Give a stream back."""
        self.streams -= 1
        self._busy[who] -= 1
        if not self._busy[who]:
            del self._busy[who]
        self._freed.set()

    # ---- answers ---------------------------------------------------------------------------------
    def _polite(self, request: Request, route: Route | None, response: Response) -> Response:
        """Say which route it was, and what pages of other sites may do with the answer."""
        response.route = route.path if route else ""
        origin = request.headers.get("origin")
        if origin:
            response.headers = self.cors.headers(origin) | response.headers
        return response

    def _preflight(self, request: Request, route: Route) -> Response:
        headers = {"Allow": _allowed(route)}
        if self.cors.headers(request.headers.get("origin")):
            headers |= {
                "Access-Control-Allow-Methods": _allowed(route),
                "Access-Control-Allow-Headers": _ASKED_HEADERS,
                "Access-Control-Max-Age": "2592000",
            }
        return Response(204, headers)

    def explain(self, error: Exception) -> Response:
        """Return the answer to an error. It names no address behind the server; the log does."""
        if isinstance(error, Refusal):
            return error.response()
        refusal = _refusal(error)
        if refusal.status >= 500 or isinstance(error, PermissionDenied):
            known = isinstance(error, Bams3Error)
            log.error("%s", error, exc_info=None if known else error)
        return refusal.response()

    def observe(self, request: Request, response: Response, sent: int, complete: bool) -> None:
        """Count an answer."""
        self.metrics.count(response.route, request.method, response.status, sent, complete)


def _allowed(route: Route) -> str:
    return ", ".join((*route.methods, "OPTIONS"))


@lru_cache(1024)
def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower().rstrip(".")


_AGAIN = {"Retry-After": "5"}
_OURS = ("ExpiredToken", "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken")


def _refusal(error: Exception) -> Refusal:
    """Return status and reason of an error: the client's, the store's, or ours."""
    text = str(error)
    if "InvalidObjectState" in text:
        return Refusal(409, "the object is archived", "restore it from the archive first")
    if any(code in text for code in _OURS) or "no credentials" in text.lower():
        hint = "who runs this server has to renew them"
        return Refusal(502, "the server's credentials for the store are not accepted", hint)
    match error:
        case NotFoundError():
            return Refusal(404, "there is no such file here", "check the address")
        case PermissionDenied():
            return Refusal(403, "the server may not read this", "who runs it can change that")
        case ChangedError():
            return Refusal(503, "the file is being replaced", "try again", {"Retry-After": "1"})
        case CorruptError():
            return Refusal(502, "the stored file is damaged", "who runs this server has to look")
        case StorageError():
            return Refusal(503, "the store does not answer", "try again later", _AGAIN)
        case UsageError() | RegionError() | InputError():
            return Refusal(400, text, error.hint)
    return Refusal(500, "the server failed", "its log says why")
