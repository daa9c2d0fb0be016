"""A server in a thread of this process, and a client that sends what it is told, no more."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bams3.config import StorageOptions
from bams3.server.config import Config, RootConfig
from bams3.server.serve import Server, run, start

LOCAL = "127.0.0.1"


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Running:
    """A server that runs; `port` is where."""

    def __init__(self, config: Config, storage: StorageOptions | None = None) -> None:
        self._config, self._storage = config, storage
        self._ready = threading.Event()
        self._problem: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self._ready.wait(20)
        if self._problem:
            self._thread.join()
            raise self._problem

    def _run(self) -> None:
        try:
            run(self._main)
        except BaseException as error:
            self._problem = error
            self._ready.set()

    async def _main(self) -> None:
        self.server: Server = await start(self._config, self._storage)
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self.port = int(self.server.url.rsplit(":", 1)[1].rstrip("/"))
        self._ready.set()
        await self._stop.wait()
        await self.server.close()

    @property
    def url(self) -> str:
        return self.server.url.rstrip("/")

    @property
    def connections(self) -> int:
        return len(self.server._shared.connections)

    def ask(
        self,
        path: str,
        headers: Mapping[str, str] | None = None,
        method: str = "GET",
        body: bytes | None = None,
    ) -> Answer:
        """Send one request, the path as it is, on a connection of its own."""
        connection = http.client.HTTPConnection(LOCAL, self.port, timeout=30)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def connect(self) -> socket.socket:
        return socket.create_connection((LOCAL, self.port), timeout=30)

    def raw(self, data: bytes) -> bytes:
        """Send bytes, and return all that comes until the server closes."""
        with self.connect() as client:
            client.sendall(data)
            return everything(client)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)
        assert not self._thread.is_alive()
        if self._problem:
            raise self._problem


def everything(client: socket.socket) -> bytes:
    """Read until the end, or a reset."""
    found = bytearray()
    try:
        while piece := client.recv(1 << 16):
            found += piece
    except ConnectionResetError:
        pass
    return bytes(found)


@contextmanager
def serving(
    *roots: tuple[str, str], storage: StorageOptions | None = None, **given: Any
) -> Iterator[Running]:
    """Serve roots, `(name, address)`, on a free port."""
    config = Config(roots=tuple(RootConfig(*root) for root in roots), port=0, **given)
    running = Running(config, storage)
    try:
        yield running
    finally:
        running.close()
