"""versitygw: a real S3 server that checks signatures, in a process of its own, on loopback.

`make setup` builds it into .cache/bin. It is right in all that the tests of the storage layer ask.
It has no SSE-C, and an object cannot lie below another one's key (its back end is a directory).
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from pathlib import Path

from tests.servers.certificates import Certificate
from tests.servers.program import Program, free_port

BINARY = Path(__file__).parents[2] / ".cache" / "bin" / "versitygw"


def find() -> str | None:
    """Return the path of the server's program, if it is there."""
    return str(BINARY) if BINARY.exists() else shutil.which("versitygw")


class Versitygw(Program):
    """The running server, with throw-away keys; the end of the `with` block stops it.

    With a certificate it speaks TLS.
    """

    def __init__(self, folder: Path, program: str, certificate: Certificate | None = None) -> None:
        self._program, self.scheme = program, "https" if certificate else "http"
        self.access_key = f"test{secrets.token_hex(8)}"
        self.secret_key = secrets.token_hex(20)
        for name in ("data", "meta", "iam"):
            (folder / name).mkdir(parents=True)
        port = free_port()
        words = [program, "--quiet", "--keep-alive", "--port", f"127.0.0.1:{port}"]
        if certificate:
            words += ["--cert", str(certificate.path), "--key", str(certificate.key)]
        words += ["--iam-dir", str(folder / "iam")]
        words += ["posix", "--sidecar", str(folder / "meta"), str(folder / "data")]
        keys = {"ROOT_ACCESS_KEY": self.access_key, "ROOT_SECRET_KEY": self.secret_key}
        super().__init__(folder, words, port, {"PATH": os.environ["PATH"], **keys})

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
