"""A relay that lets each answer wait: a server with latency.

    python -m benchmarks.latency PORT TARGET-PORT SECONDS

Bytes go through the kernel alone (splice), so that it is not the relay that is measured. The first
bytes of an answer, that is those that follow bytes of a request, are held back for the time given.
"""

from __future__ import annotations

import fcntl
import os
import socket
import sys
import threading
import time

_PIPE = 1 << 20
_SET_PIPE_SIZE = 1031


class Relay:
    """One connection of a client, and its twin to the server."""

    def __init__(self, client: socket.socket, target: int, delay: float) -> None:
        self._client = client
        self._server = socket.create_connection(("127.0.0.1", target))
        for side in (self._client, self._server):
            side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._delay = delay
        self._asked = False
        threading.Thread(target=self._requests, daemon=True).start()
        threading.Thread(target=self._answers, daemon=True).start()

    def _requests(self) -> None:
        def asked() -> None:
            self._asked = True

        _pour(self._client, self._server, asked)

    def _answers(self) -> None:
        def wait() -> None:
            if self._asked:
                self._asked = False
                time.sleep(self._delay)

        _pour(self._server, self._client, wait)


def _pour(source: socket.socket, target: socket.socket, before: object) -> None:
    """Move bytes until one side ends; `before` is called before they go on."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, _SET_PIPE_SIZE, _PIPE)
    try:
        while count := os.splice(source.fileno(), writing, _PIPE):
            before()  # type: ignore[operator]
            while count:
                count -= os.splice(reading, target.fileno(), count)
    except OSError:
        pass
    finally:
        os.close(reading)
        os.close(writing)
        for side in (source, target):
            try:
                side.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def serve(port: int, target: int, delay: float) -> None:
    """Relay until killed."""
    with socket.create_server(("127.0.0.1", port), backlog=1024) as server:
        while True:
            client, _ = server.accept()
            Relay(client, target, delay)


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
