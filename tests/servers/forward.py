"""A forward proxy: CONNECT, and requests with a whole address. It counts what goes through it."""

from __future__ import annotations

import base64
import http.client
import select
import socket
from contextlib import closing
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

from tests.servers.threaded import Server


class ForwardProxy(Server):
    """The proxy; with `login` ("user:password") for those who know it, with `refuse` for nobody.

    `requests` are the first lines of what it was asked for.
    """

    def __init__(self, login: str = "", refuse: int = 0) -> None:
        self.login, self.refuse = login, refuse
        self.requests: list[str] = []
        super().__init__(_Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: ForwardProxy

    def log_message(self, *_: object) -> None:
        pass

    def parse_request(self) -> bool:
        if not super().parse_request():
            return False
        self.server.requests.append(f"{self.command} {self.path}")
        wanted = base64.b64encode(self.server.login.encode()).decode()
        known = self.headers.get("Proxy-Authorization") == f"Basic {wanted}"
        status = self.server.refuse or (407 if self.server.login and not known else 0)
        if status:
            self.send_error(status)
        return not status

    def do_CONNECT(self) -> None:
        host, _, port = self.path.rpartition(":")
        with socket.create_connection((host.strip("[]"), int(port))) as there:
            self.send_response_only(200)
            self.end_headers()
            pairs = {self.connection: there, there: self.connection}
            while True:
                for side in select.select([*pairs], [], [])[0]:
                    data = side.recv(65_536)
                    if not data:
                        self.close_connection = True
                        return
                    pairs[side].sendall(data)

    def forward(self) -> None:
        parts = urlsplit(self.path)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with closing(http.client.HTTPConnection(parts.netloc, timeout=60)) as connection:
            connection.putrequest(self.command, target, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if not name.lower().startswith(("proxy-", "connection")):
                    connection.putheader(name, value)
            connection.endheaders(body)
            with connection.getresponse() as response:
                data = response.read()
        self.send_response_only(response.status, response.reason)
        for name, value in response.getheaders():
            if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                self.send_header(name, value)
        length = response.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
        self.send_header("Content-Length", length or "0")
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = forward
