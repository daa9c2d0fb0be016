"""versitygw: a real S3 server that checks signatures, in a process of its own, on loopback.

`make setup` builds it into .cache/bin. It is right in all that the tests of the storage layer ask.
It has no SSE-C, and an object cannot lie below another one's key (its back end is a directory).
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Self

from tests.servers.certificates import Certificate

BINARY = Path(__file__).parents[2] / ".cache" / "bin" / "versitygw"


def find() -> str | None:
    """Return the path of the server's program, if it is there."""
    return str(BINARY) if BINARY.exists() else shutil.which("versitygw")


class Versitygw:
    """The running server, with throw-away keys; the end of the `with` block stops it.

    With a certificate it speaks TLS.
    """

    def __init__(self, folder: Path, program: str, certificate: Certificate | None = None) -> None:
        self.folder, self._program, self._certificate = folder, program, certificate
        self.access_key = f"test{secrets.token_hex(8)}"
        self.secret_key = secrets.token_hex(20)
        self.port = free_port()
        for name in ("data", "meta", "logs", "iam"):
            (folder / name).mkdir(parents=True)
        with open(folder / "logs" / "out", "wb") as log:
            self._process = subprocess.Popen(
                [
                    *(program, "--quiet", "--keep-alive", "--port", f"127.0.0.1:{self.port}"),
                    *(
                        ("--cert", certificate.path, "--key", certificate.key)
                        if certificate
                        else ()
                    ),
                    *("--iam-dir", str(folder / "iam")),
                    *("posix", "--sidecar", str(folder / "meta"), str(folder / "data")),
                ],
                env={
                    "PATH": os.environ["PATH"],
                    "ROOT_ACCESS_KEY": self.access_key,
                    "ROOT_SECRET_KEY": self.secret_key,
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._wait()

    @property
    def url(self) -> str:
        return f"http{'s' if self._certificate else ''}://127.0.0.1:{self.port}"

    @property
    def environ(self) -> dict[str, str]:
        """The variables with which AWS tools, and bams3, reach this server."""
        return {
            "AWS_ENDPOINT_URL_S3": self.url,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
        }

    def make_bucket(self, name: str) -> str:
        """Make a bucket and return its address."""
        (self.folder / "data" / name).mkdir(exist_ok=True)
        return f"s3://{name}"

    def make_user(self) -> dict[str, str]:
        """Make a user, who may do what bucket policies say; return the variables with its keys."""
        name, secret = f"user{secrets.token_hex(4)}", secrets.token_hex(20)
        admin = [self._program, "admin", "-a", self.access_key, "-s", self.secret_key]
        subprocess.run(
            [*admin, "-er", self.url, "create-user", "-a", name, "-s", secret, "-r", "user"],
            check=True,
            capture_output=True,
        )
        return {"AWS_ACCESS_KEY_ID": name, "AWS_SECRET_ACCESS_KEY": secret}

    def _wait(self) -> None:
        trusting = ssl._create_unverified_context() if self._certificate else None
        for _ in range(200):
            try:
                urllib.request.urlopen(self.url, timeout=1, context=trusting).close()
            except urllib.error.HTTPError as error:
                error.close()
                return
            except OSError:
                if self._process.poll() is not None:
                    break
                time.sleep(0.05)
        self.close()
        log = (self.folder / "logs" / "out").read_text(errors="replace")[-2000:]
        raise RuntimeError(f"versitygw did not start: {log}")

    def close(self) -> None:
        self._process.kill()  # asked politely, it waits for its clients' open connections
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
