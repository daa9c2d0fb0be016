"""A server that is a program of its own, on a free port of loopback.

    class Moto(Program):
        ready = "/moto-api/data.json"

        def __init__(self, folder: Path) -> None:
            port = free_port()
            super().__init__(folder, [sys.executable, "-m", "moto.server", "-p", str(port)], port)

It is there when it answers, and gone at the end of the `with` block.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

PATIENCE = 60.0
"""Seconds until a server has to answer."""
_DIRECT = urllib.request.build_opener(
    urllib.request.ProxyHandler({}),
    urllib.request.HTTPSHandler(context=ssl._create_unverified_context()),
)


class Program:
    """The running server; its output is in `folder`/out, for those who ask why it failed."""

    ready = "/"
    """The path that is asked for until there is an answer."""

    scheme = "http"
    leads = False
    """Whether it starts processes of its own, which have to end with it."""

    def __init__(
        self,
        folder: Path,
        command: Sequence[str],
        port: int,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.folder, self.port = folder, port
        with open(folder / "out", "wb") as out:
            self._process = subprocess.Popen(
                command, env=environ, cwd=folder, process_group=0 if self.leads else None,
                stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            )  # fmt: skip
        self._wait()

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def _wait(self) -> None:
        end = time.monotonic() + PATIENCE
        while self._process.poll() is None and time.monotonic() < end:
            if self._answers():
                return
            time.sleep(0.05)
        self.close()
        out = (self.folder / "out").read_text(errors="replace")[-2000:]
        raise RuntimeError(f"{type(self).__name__} did not start: {out}")

    def _answers(self) -> bool:
        try:
            _DIRECT.open(self.url + self.ready, timeout=5).close()
        except urllib.error.HTTPError as error:
            error.close()
            return error.code < 500
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Kill it: asked politely, some wait for their clients."""
        if self.leads:
            os.killpg(self._process.pid, signal.SIGKILL)
        else:
            self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def free_port() -> int:
    """Return a port that nobody listens on, of those that no client is given meanwhile."""
    while True:
        port = random.SystemRandom().randrange(10_000, 32_000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
