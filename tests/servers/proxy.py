"""A proxy that misbehaves on schedule, between a client and an HTTP server.

    with FaultProxy(server.url) as proxy:
        proxy.plan(fail(503), cut(100), None, match="GET")

Each request that matches takes the next step of the plan; None lets it pass, and so does the end of
the plan. The Host header goes through as the client sent it, because its signature covers it.
"""

from __future__ import annotations

import http.client
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import closing
from http.server import BaseHTTPRequestHandler
from typing import TypeAlias
from urllib.parse import urlsplit

from tests.servers.threaded import Server

Fault: TypeAlias = "Callable[[Handler], bool]"
"""Does its harm; returns whether the request is done with."""


class FaultProxy(Server):
    """The proxy; counts `requests`, `faults`, and the bodies' bytes `bytes_in` and `bytes_out`."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self.target = parts.hostname or "", parts.port or 80
        self.lock = threading.Lock()
        self.steps: list[Fault | None] = []
        self.match = ""
        self.requests: list[str] = []
        self.faults = self.bytes_in = self.bytes_out = 0
        super().__init__(Handler)

    def plan(self, *steps: Fault | None, match: str = "") -> None:
        """Set what happens to the next requests whose "METHOD /path" contains `match`."""
        with self.lock:
            self.steps, self.match = list(steps), match
            self.requests, self.faults, self.bytes_in, self.bytes_out = [], 0, 0, 0

    def next_fault(self, line: str) -> Fault | None:
        with self.lock:
            self.requests.append(line)
            if self.match not in line or not self.steps:
                return None
            step = self.steps.pop(0)
            self.faults += step is not None
            return step


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: FaultProxy

    def log_message(self, *_: object) -> None:
        pass

    def handle_any(self) -> None:
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length)
        if len(self.body) < length:
            return self.hang_up()  # the client has: the server would wait for the rest
        self.server.bytes_in += len(self.body)
        target = self.headers.get("X-Amz-Target", "")  # names the operation of DynamoDB
        fault = self.server.next_fault(f"{self.command} {self.path} {target}".rstrip())
        if fault and fault(self):
            return
        self.relay(*self.forward())

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any

    def forward(self) -> tuple[http.client.HTTPResponse, bytes]:
        """Send the request on and read the whole answer."""
        connection = http.client.HTTPConnection(*self.server.target, timeout=60)
        with closing(connection):
            connection.putrequest(
                self.command, self.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in self.headers.items():
                if name.lower() not in ("connection", "expect"):
                    connection.putheader(name, value)
            connection.putheader("Connection", "close")
            connection.endheaders(self.body)
            with connection.getresponse() as response:
                return response, response.read()

    def relay(
        self, response: http.client.HTTPResponse, data: bytes, send: int | None = None
    ) -> None:
        """Send the answer back, or only its first `send` bytes."""
        self.start(response, data)
        if self.command != "HEAD":
            part = data if send is None else data[:send]
            self.server.bytes_out += len(part)
            self.wfile.write(part)
            self.wfile.flush()

    def start(self, response: http.client.HTTPResponse, data: bytes) -> None:
        self.send_response_only(response.status, response.reason)
        for name, value in response.getheaders():
            if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                self.send_header(name, value)
        length = response.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
        self.send_header("Content-Length", length or "0")
        self.end_headers()

    def hang_up(self, reset: bool = False) -> None:
        if reset:
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True
        self.connection.close() if reset else self.connection.shutdown(socket.SHUT_RDWR)


def fail(status: int, code: str = "SlowDown", arrive: bool = False) -> Fault:
    """Answer with an error; `arrive`: after the server has done what was asked."""

    def fault(handler: Handler) -> bool:
        if arrive:
            handler.forward()
        body = f"<Error><Code>{code}</Code><Message>injected</Message></Error>".encode()
        handler.send_response_only(status)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(body)
        return True

    return fault


def reset(arrive: bool = False) -> Fault:
    """Reset the connection; `arrive`: after the server has done what was asked."""

    def fault(handler: Handler) -> bool:
        if arrive:
            handler.forward()
        handler.hang_up(reset=True)
        return True

    return fault


def cut(after: int, rst: bool = False) -> Fault:
    """Promise the whole body, send its first `after` bytes, hang up."""

    def fault(handler: Handler) -> bool:
        handler.relay(*handler.forward(), send=after)
        handler.hang_up(reset=rst)
        return True

    return fault


def shorten(to: int) -> Fault:
    """Answer with the first bytes only, as if that were all of the range that was asked for."""

    def fault(handler: Handler) -> bool:
        response, data = handler.forward()
        handler.relay(response, data[:to])
        return True

    return fault


def delay(seconds: float) -> Fault:
    """Answer late."""

    def fault(_: Handler) -> bool:
        time.sleep(seconds)
        return False

    return fault


def trickle(piece: int, pause: float) -> Fault:
    """Send the body in pieces of `piece` bytes with pauses of `pause` seconds."""

    def fault(handler: Handler) -> bool:
        response, data = handler.forward()
        handler.start(response, data)
        for start in range(0, len(data), piece):
            handler.wfile.write(data[start : start + piece])
            handler.wfile.flush()
            time.sleep(pause)
        return True

    return fault


def flip(position: int) -> Fault:
    """Flip all bits of one byte of the body."""

    def fault(handler: Handler) -> bool:
        response, data = handler.forward()
        spoilt = bytearray(data)
        spoilt[position % len(data)] ^= 0xFF
        handler.relay(response, bytes(spoilt))
        return True

    return fault
