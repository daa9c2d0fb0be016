"""Connections to one host that are kept alive, and the proxy that the environment names for it."""

from __future__ import annotations

import base64
import functools
import os
import select
import socket
import ssl
import struct
import threading
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from bams3.errors import StorageError, UsageError
from bams3.storage.answer import Answer
from bams3.storage.authorities import bundle

_CONNECTING = 10.0
"""Seconds that a connection may take to be made."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy: where it is, and the header lines that it wants to see."""

    url: str
    address: tuple[str, int]
    headers: str = ""


class Connections:
    """The connections to one host; safe in several threads.

    Attributes:
        secure: Whether they are encrypted.
        proxy: What stands between; None where nothing does.
    """

    def __init__(self, endpoint: str, timeout: float) -> None:
        """Name the host; nothing is connected yet.

        Raises:
            UsageError: The environment names a proxy that cannot be used.
        """
        parts = urlsplit(endpoint)
        self.secure = parts.scheme == "https"
        self._address = parts.hostname or "", parts.port or (443 if self.secure else 80)
        self._timeout = timeout
        self._idle: list[socket.socket] = []
        self._guard = threading.Lock()
        self.proxy = proxy_of(parts.scheme, self._address[0])

    def give(self, connection: socket.socket) -> None:
        """Keep a connection for the next request."""
        with self._guard:
            self._idle.append(connection)

    def close(self) -> None:
        """Close the idle connections."""
        with self._guard:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    __del__ = close

    def take(self) -> socket.socket:
        """Return an idle connection, or a new one, which the caller closes or `give`s back."""
        while True:
            with self._guard:
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                return self._connect()
            if not _hung_up(connection):
                return connection
            connection.close()

    def _connect(self) -> socket.socket:
        address = self.proxy.address if self.proxy else self._address
        connection = socket.create_connection(address, timeout=min(self._timeout, _CONNECTING))
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if not self.secure:
                _bound_waits(connection, self._timeout)
                return connection
            connection.settimeout(self._timeout)
            if self.proxy:
                self._tunnel(connection, self.proxy)
            return _tls(bundle()).wrap_socket(connection, server_hostname=self._address[0])
        except BaseException:
            connection.close()
            raise

    def _tunnel(self, connection: socket.socket, proxy: Proxy) -> None:
        """Have the proxy pass everything on. Raises StorageError where it will not."""
        host, port = self._address
        place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        connection.sendall(
            f"CONNECT {place} HTTP/1.1\r\nhost: {place}\r\n{proxy.headers}\r\n".encode()
        )
        # What it answers has a head alone, as that of a HEAD.
        answer = Answer(connection, "HEAD")
        if answer.status < 300:
            return
        why = f"{proxy.url}: the proxy does not connect to {place}: HTTP {answer.status}"
        if answer.status >= 500:
            raise ConnectionError(why)
        raise StorageError(why, "check HTTPS_PROXY; NO_PROXY names hosts reached without it")


def proxy_of(scheme: str, host: str) -> Proxy | None:
    """Return the proxy that the environment names for a host: HTTPS_PROXY, HTTP_PROXY, NO_PROXY.

    Raises:
        UsageError: It is none that is spoken to over HTTP.
    """
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return None
    from urllib.request import getproxies_environment, proxy_bypass

    named = getproxies_environment()
    url = named.get(scheme) or named.get("all")
    if not url or proxy_bypass(host):
        return None
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme != "http" or not parts.hostname:
        raise UsageError(
            f"{parts.scheme}://{parts.hostname or ''}: not a proxy that can be used",
            f"{scheme.upper()}_PROXY=http://HOST:PORT, or name {host} in NO_PROXY",
        )
    headers = ""
    if parts.username:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        headers = f"proxy-authorization: Basic {base64.b64encode(login).decode()}\r\n"
    address = parts.hostname, parts.port or 80
    return Proxy(f"http://{address[0]}:{address[1]}", address, headers)


def _bound_waits(connection: socket.socket, seconds: float) -> None:
    """Have the kernel end waits, not Python: that would ask it before each call (poll)."""
    connection.settimeout(None)
    value = struct.pack("@ll", int(seconds), int(seconds % 1 * 1_000_000))
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        connection.setsockopt(socket.SOL_SOCKET, option, value)


def _hung_up(connection: socket.socket) -> bool:
    """Whether an idle connection has something to read: its end, or what nobody asked for."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))


@functools.cache
def _tls(certificates: bytes) -> ssl.SSLContext:
    """Return what trusts the system's authorities and these."""
    context = ssl.create_default_context()
    if certificates:
        try:
            context.load_verify_locations(cadata=certificates.decode("ascii"))
        except (ssl.SSLError, ValueError) as error:
            raise UsageError(f"AWS_CA_BUNDLE: not certificates: {error}") from error
    return context
