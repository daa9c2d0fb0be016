"""An FTP server over a folder, on a free port of loopback, that fails at a given byte.

with FtpServer(folder) as server:
    server.fail_at = 7_500_000     # each transfer is cut when it comes to this byte of the file
    ...                            # server.url, server.sessions, server.transfers
"""

from __future__ import annotations

import threading
import warnings
from pathlib import Path
from typing import Any, Self

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it reaches for asyncore's successors, which warn
    from pyftpdlib.authorizers import DummyAuthorizer
    from pyftpdlib.handlers import DTPHandler, FTPHandler
    from pyftpdlib.ioloop import IOLoop
    from pyftpdlib.servers import FTPServer as Acceptor

USER, PASSWORD = "somebody", "pass:w@rd"


class FtpServer:
    """The running server; `login`: ask for a name and a password instead of letting anybody in."""

    def __init__(self, folder: Path, login: bool = False) -> None:
        self.fail_at: int | None = None
        self.sessions = 0
        self.transfers: list[int] = []
        """Where in the file each transfer began."""
        users = DummyAuthorizer()
        if login:
            users.add_user(USER, PASSWORD, str(folder), perm="elr")
        else:
            users.add_anonymous(str(folder))
        handler = type("Handler", (_Handler,), {"authorizer": users, "owner": self})
        self._loop = IOLoop()
        self._server = Acceptor(("127.0.0.1", 0), handler, ioloop=self._loop)
        self._closing = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        host, port = self._server.address[:2]
        return f"ftp://{host}:{port}"

    def _serve(self) -> None:
        while not self._closing:
            self._loop.loop(timeout=0.01, blocking=False)

    def close(self) -> None:
        self._closing = True
        self._thread.join()
        self._server.close_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Transfer(DTPHandler):
    """Sends a file, and hangs up where it is told to."""

    def send(self, data: bytes) -> int:
        owner: FtpServer = self.cmd_channel.owner
        at = self.cmd_channel.began + self.tot_bytes_sent
        if owner.fail_at is not None and at + len(data) > owner.fail_at:
            data = data[: max(owner.fail_at - at, 0)]
            if not data:
                self.cmd_channel.close()
                return 0
        return int(super().send(data))


class _Handler(FTPHandler):
    owner: FtpServer
    began = 0
    dtp_handler = _Transfer
    use_sendfile = False
    banner = "a test"

    def on_connect(self) -> None:
        self.owner.sessions += 1

    def ftp_RETR(self, file: str) -> Any:
        self.began = self._restart_position
        self.owner.transfers.append(self.began)
        return super().ftp_RETR(file)

    def log(self, *_: object, **__: object) -> None:
        pass

    logline = log_cmd = log_transfer = log_exception = log
