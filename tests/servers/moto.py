"""moto: the services of AWS as a process of its own, on loopback. It runs no functions."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any, Self

from tests.servers.versitygw import free_port

ACCOUNT = "123456789012"
MISSING = "moto is not installed: pip install 'moto[server]'"


def is_installed() -> bool:
    return importlib.util.find_spec("moto") is not None


class Moto:
    """The running server; the end of the `with` block stops it."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.folder = folder
        with open(folder / "out", "wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._wait()
        self._send("config", {"lambda": {"use_docker": False}})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environ(self) -> dict[str, str]:
        """The variables with which AWS tools, and bams3, reach this server."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": "eu-west-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }

    def reset(self) -> None:
        """Forget everything."""
        self._send("reset")

    def resources(self) -> dict[str, int]:
        """Count everything that there is, by the server's own books."""
        with urllib.request.urlopen(f"{self.url}/moto-api/data.json", timeout=30) as answer:
            books = json.load(answer)
        return {
            f"{service} {kind}": len(entries)
            for service, kinds in books.items()
            for kind, entries in kinds.items()
            if entries
        }

    def _send(self, what: str, body: Any = None) -> None:
        data = json.dumps(body or {}).encode()
        request = urllib.request.Request(f"{self.url}/moto-api/{what}", data, method="POST")
        urllib.request.urlopen(request, timeout=30).close()

    def _wait(self) -> None:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{self.url}/moto-api/data.json", timeout=5).close()
                return
            except OSError:
                if self._process.poll() is not None:
                    break
                time.sleep(0.1)
        self.close()
        log = (self.folder / "out").read_text(errors="replace")[-2000:]
        raise RuntimeError(f"moto did not start: {log}")

    def close(self) -> None:
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
