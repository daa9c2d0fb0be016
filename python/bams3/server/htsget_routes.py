"""The routes of htsget: `/reads/ROOT/ID`, `/variants/ROOT/ID`, and `/htsget/...` for the data.

Errors of the first two are told in the words of the protocol, whoever raises them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from bams3.errors import Bams3Error
from bams3.server.app import Access, App, Route
from bams3.server.auth import User, link_of
from bams3.server.htsget import FORMATS, STATUS, HtsgetError, answer, parse, service_info
from bams3.server.keys import decode
from bams3.server.messages import Refusal, Request, Response

if TYPE_CHECKING:
    from bams3.reads.virtual_bam import VirtualBam
    from bams3.server.htsget_data import Htsget, Told
    from bams3.server.resources import Resource
    from bams3.server.roots import Root
    from bams3.server.virtual import VirtualBams

_NAMES = {status: name for name, status in STATUS.items()} | {400: "InvalidInput"}
_INFO = "service-info"


class RootLibrary:
    """The roots of a server, as htsget wants them: keys begin with the name of a root."""

    def __init__(self, roots: Mapping[str, Root], virtuals: VirtualBams) -> None:
        self._roots, self._virtuals = roots, virtuals

    def open(self, key: str) -> Resource:
        """Return a file. Raises NotFoundError, PermissionDenied, StorageError."""
        name, _, inside = key.partition("/")
        return self._root(name).open(inside)

    def virtual(self, key: str) -> VirtualBam:
        """Return a BAMS3 dataset. Raises as `open` does."""
        name, _, inside = key.partition("/")
        root = self._root(name)
        root.check(f"{inside}.bam")
        return self._virtuals.dataset(root.url, inside)

    def _root(self, name: str) -> Root:
        if name not in self._roots:
            raise HtsgetError("NotFound", "there is no such root: an id is ROOT/NAME")
        return self._roots[name]


class HtsgetRoutes:
    """Answers tickets and data."""

    def __init__(self, app: App, htsget: Htsget) -> None:
        self._app, self._htsget = app, htsget

    def routes(self) -> list[Route]:
        """Return the routes of the table; who asks is found out here, for the errors' sake."""
        tickets = [
            Route(f"/{kind}/", self._of(kind), ("GET", "POST"), public=True) for kind in FORMATS
        ]
        return [*tickets, Route("/htsget/", self.data)]

    def _of(self, kind: str) -> Callable[[Request, User, str], Awaitable[Response]]:
        async def handler(request: Request, user: User, rest: str) -> Response:
            return await self._app.in_thread(self._ticket, kind, request, rest)

        return handler

    def _ticket(self, kind: str, request: Request, rest: str) -> Response:
        try:
            base = _base(request)
            if rest == _INFO and request.method == "GET":
                return service_info(kind, base)
            user = self._app.authenticator.user(request)
            self._app.check_audit()
            identifier = decode(rest)
            user.check_root(identifier.partition("/")[0])
            told = self._htsget.ticket(parse(kind, request), identifier, base, user)
            response = told.response
            if told.regions:
                response.finished = self._noting(told, request, user)
            return response
        except HtsgetError as error:
            return error.response()
        except Refusal as refusal:
            return _told(refusal.status, str(refusal), refusal.headers)
        except Bams3Error as error:
            known = self._app.explain(error)
            return _told(known.status, _reason(error, known.status), known.headers)

    async def data(self, request: Request, user: User, rest: str) -> Response:
        """Answer a link of a ticket, when its first bytes are there."""
        kind, _, encoded = rest.partition("/")
        if kind not in FORMATS:
            raise Refusal(404, "there is nothing here", "ask for a ticket")
        self._app.check_audit()
        payload = self._app.authenticator.links.payload(link_of(request.query))
        identifier = decode(encoded)
        who = await self._app.enter(request, user)
        try:
            told = await self._app.in_thread(
                self._htsget.data, kind, identifier, payload.get("x", {}), request.method == "HEAD"
            )
        except BaseException:
            self._app.leave(who)
            raise
        note = self._noting(told, request, user)

        def finished(sent: int, complete: bool) -> None:
            self._app.leave(who)
            note(sent, complete)

        told.response.finished = finished
        return told.response

    def _noting(self, told: Told, request: Request, user: User) -> Callable[[int, bool], None]:
        name, _, key = told.key.partition("/")
        root = self._app.root(name)
        access = Access(
            user.name, request.peer, request.method, root, key, told.etag, told.response.status,
            told.spans, told.regions,
        )  # fmt: skip
        return self._app.noting(access)


def _base(request: Request) -> str:
    """Return scheme and host as the client has them; the host is one that the server goes by."""
    scheme = "https" if request.secure else "http"
    return f"{scheme}://{request.headers.get('host', 'localhost')}"


def _reason(error: Bams3Error, status: int) -> str:
    """Return what may be told: nothing of stores and credentials."""
    return error.message if status < 500 and status != 403 else "the server could not read the data"


def _told(status: int, message: str, headers: Mapping[str, str]) -> Response:
    names = _NAMES | {502: "BadGateway", 503: "Unavailable"}
    response = answer({"error": names.get(status, "InternalError"), "message": message}, status)
    response.headers |= {
        k: v for k, v in headers.items() if k in ("WWW-Authenticate", "Retry-After")
    }
    return response
