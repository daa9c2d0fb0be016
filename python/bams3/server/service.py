"""What every server has beside data: health, metrics, a description of itself."""

from __future__ import annotations

from bams3.server.app import App, Route
from bams3.server.auth import User
from bams3.server.cache import BlockCache
from bams3.server.messages import Request, Response, json_response
from bams3.server.openapi import description

_BRIEF = {"Cache-Control": "no-store"}


class Service:
    """Answers `/healthz`, `/metrics`, `/openapi.json` and `/favicon.ico`."""

    def __init__(self, app: App, cache: BlockCache, version: str) -> None:
        self._app, self._cache, self._version = app, cache, version
        self.connections = 0

    def routes(self) -> list[Route]:
        """Return the routes of the table."""
        return [
            Route("/healthz", self.health, public=True),
            Route("/openapi.json", self.openapi, public=True),
            Route("/favicon.ico", self.icon, public=True),
            Route("/metrics", self.metrics),
        ]

    def health(self, request: Request, user: User, rest: str) -> Response:
        """Say that the server answers; of the stores behind it, this says nothing."""
        self._app.check_audit()
        return json_response(200, {"status": "ok"}, _BRIEF)

    def openapi(self, request: Request, user: User, rest: str) -> Response:
        """Describe the routes."""
        return json_response(200, description(self._version), _BRIEF)

    def icon(self, request: Request, user: User, rest: str) -> Response:
        """Have no icon, and no error in the browser's console either."""
        return Response(204, {"Cache-Control": "max-age=86400"})

    def metrics(self, request: Request, user: User, rest: str) -> Response:
        """Return what was counted."""
        text = self._app.metrics.text(self._cache.stats(), self.connections, self._app.streams)
        kind = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        return Response(200, kind | _BRIEF, text.encode())
