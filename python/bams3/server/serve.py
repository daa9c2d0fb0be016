"""Starting and stopping a server."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import ipaddress
import logging
import resource
import signal
import ssl
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from bams3.config import StorageOptions
from bams3.errors import StorageError, UsageError
from bams3.server.app import App, Cors
from bams3.server.audit import AuditLog
from bams3.server.auth import Authenticator, Links
from bams3.server.browse import Browse
from bams3.server.cache import BlockCache
from bams3.server.catalog import Catalog
from bams3.server.config import Config
from bams3.server.files import Files
from bams3.server.htsget_data import Htsget
from bams3.server.htsget_routes import HtsgetRoutes, RootLibrary
from bams3.server.http import Connection, Shared
from bams3.server.page import Page
from bams3.server.roots import by_name, open_root
from bams3.server.service import Service
from bams3.server.virtual import VirtualBams

log = logging.getLogger(__name__)
T = TypeVar("T")

_PER_CONNECTION = 4
"""Descriptors that one connection may hold: two for the socket, one for a file, one to open it."""
_M_ARENA_MAX = -8
"""The parameter of glibc's `mallopt` that bounds the number of arenas."""
_GRACE = 5.0
"""Seconds for answers to end when the server is stopped."""


@dataclass
class Server:
    """A server that listens.

    Attributes:
        app: Its application.
        url: Its address, `http://127.0.0.1:8080/`.
    """

    app: App
    url: str
    _listener: asyncio.AbstractServer
    _shared: Shared
    _audit: AuditLog | None
    _sweeper: asyncio.Task[None] = field(init=False)

    async def close(self) -> None:
        """Accept nothing more, let answers end for a few seconds, then cut them."""
        self._sweeper.cancel()
        self._listener.close()
        for connection in list(self._shared.connections):
            connection.end()
        for _ in range(int(_GRACE * 20)):
            if not self._shared.connections:
                break
            await asyncio.sleep(0.05)
        for connection in list(self._shared.connections):
            connection.abort()
        await asyncio.sleep(0)
        self.app.threads.shutdown(cancel_futures=True)
        if self._audit:  # it still reads indexes
            self._audit.close()
        for root in self.app.roots.values():
            root.close()


async def start(config: Config, storage: StorageOptions | None = None) -> Server:
    """Open the roots and listen.

    Args:
        config: What to serve, where, to whom.
        storage: How to reach the stores. Their requests are repeated for 20 seconds at most here: a
            client does not wait longer.

    Raises:
        UsageError: The configuration would open the server to a network unprotected, or the
            address is taken or no address.
        NotFoundError, PermissionDenied: A root cannot be opened.
    """
    check_exposure(config)
    storage = _patient(storage or StorageOptions.resolve())
    cache = BlockCache(config.cache)
    virtuals = VirtualBams(storage)
    roots = by_name(
        open_root(root.name, root.url, cache, storage, root.extensions, virtuals)
        for root in config.roots
    )
    limits = replace(config.limits, connections=_connections(config.limits.connections))
    audit = AuditLog(config.audit) if config.audit else None
    app = App(
        roots,
        Authenticator(config.tokens, config.oidc, Links(config.link_keys)),
        hosts=_hosts(config),
        cors=Cors(config.origins),
        limits=limits,
        audit=audit,
        threads=ThreadPoolExecutor(limits.streams + 16, "bams3-serve"),
    )
    shared = Shared(app, limits, app.threads)
    import bams3

    service = Service(app, cache, bams3.__version__)
    app.add(Files(app, config.first_block, config.redirect).routes())
    library = RootLibrary(roots, virtuals)
    catalog = Catalog(library, config.reference)
    app.add(HtsgetRoutes(app, Htsget(catalog, app.authenticator.links)).routes())
    browse = Browse(roots, library, catalog)
    app.add(Page(app, browse, bams3.__version__, config.redirect).routes())
    app.add(service.routes())
    listener, port = await _listen(config, shared)
    server = Server(app, _url(config, port), listener, shared, audit)
    server._sweeper = asyncio.create_task(_sweep(shared, service))
    return server


def _share_freed_memory() -> None:
    """Let all threads allocate from one arena, where the C library is glibc.

    With an arena for each thread, whichever of them decodes a tile gets pages that the process has
    not used before, and these take as long as the decoding.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def check_exposure(config: Config) -> None:
    """Refuse to open a server to a network without encryption and authentication.

    Raises:
        UsageError: It would be, and `public` was not said twice.
    """
    if _is_loopback(config.listen) or config.public >= 2:
        return
    missing = [] if config.tls_cert else ["encryption (tls)"]
    missing += [] if config.tokens or config.oidc else ["authentication (tokens or oidc)"]
    if missing:
        raise UsageError(
            f"{config.listen} is not this machine alone, and has no {' and no '.join(missing)}",
            "configure them, or say --public --public to open it to everybody",
        )


def run(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run on uvloop, or on asyncio's own loop where there is no uvloop."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main())
    return uvloop.run(main())


async def until_interrupted() -> None:
    """Wait for SIGINT or SIGTERM."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()


async def serve(
    config: Config,
    storage: StorageOptions | None = None,
    started: Callable[[Server], object] = lambda _: None,
) -> None:
    """Serve until interrupted; `started` gets the server when it listens."""
    _share_freed_memory()
    server = await start(config, storage)
    gc.freeze()  # what is there by now stays: no need to look through it again and again
    try:
        started(server)
        await until_interrupted()
    finally:
        await server.close()


async def _listen(config: Config, shared: Shared) -> tuple[asyncio.AbstractServer, int]:
    try:
        listener = await asyncio.get_running_loop().create_server(
            lambda: Connection(shared), config.listen, config.port, backlog=1024, ssl=_tls(config),
            ssl_handshake_timeout=shared.limits.head_time if config.tls_cert else None,
        )  # fmt: skip
    except OSError as error:
        raise UsageError(
            f"{config.listen}:{config.port}: {error.strerror or error}", "choose another --port"
        ) from error
    return listener, int(listener.sockets[0].getsockname()[1])


def _tls(config: Config) -> ssl.SSLContext | None:
    if not config.tls_cert:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(config.tls_cert, config.tls_key or None)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"{config.tls_cert}: no certificate and key: {error}") from error
    return context


async def _sweep(shared: Shared, service: Service) -> None:
    while True:
        await asyncio.sleep(0.5)
        shared.sweep()
        service.connections = len(shared.connections)


def _patient(storage: StorageOptions) -> StorageOptions:
    return replace(
        storage,
        retries=min(storage.retries, 4),
        retry_seconds=min(storage.retry_seconds, 20.0),
        timeout=min(storage.timeout, 20.0),
    )


def _connections(wanted: int) -> int:
    """Raise the limit of open files as far as it goes; return how many connections that allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    need = wanted * _PER_CONNECTION + 256
    if soft != resource.RLIM_INFINITY and soft < need:
        soft = need if hard == resource.RLIM_INFINITY else min(need, hard)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        except (OSError, ValueError) as error:
            raise StorageError(f"the limit of open files cannot be raised: {error}") from error
        return max(8, min(wanted, (soft - 256) // _PER_CONNECTION))
    return wanted


def _hosts(config: Config) -> frozenset[str]:
    own = () if config.listen in ("", "0.0.0.0", "::") else (config.listen.lower(),)
    return frozenset({"localhost", "127.0.0.1", "::1", *own, *config.hosts})


def _is_loopback(listen: str) -> bool:
    try:
        return ipaddress.ip_address(listen).is_loopback
    except ValueError:
        return listen == "localhost"


def _url(config: Config, port: int) -> str:
    host = f"[{config.listen}]" if ":" in config.listen else config.listen
    return f"{'https' if config.tls_cert else 'http'}://{host}:{port}/"
