"""LocalStack: an S3 server with SSE-C and every checksum, in a process of its own, on loopback.

`make localstack` installs it into .cache/localstack, an environment of its own. It never checks
signatures, and it is slow: the tests of the storage layer have versitygw for the rest.
"""

from __future__ import annotations

import os
import urllib.request
from pathlib import Path

from tests.servers.program import Program, free_port

PYTHON = Path(__file__).parents[2] / ".cache" / "localstack" / "bin" / "python"
_XMLNS = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
MISSING = "LocalStack is not installed: `make localstack` does that, where pip reaches an index"


def find() -> str | None:
    """Return the interpreter of the server's environment, if it is there and complete."""
    return str(PYTHON) if (PYTHON.parent.parent / ".ready").exists() else None


class LocalStack(Program):
    """The running server; the end of the `with` block stops it."""

    ready = "/_localstack/health"

    def __init__(self, folder: Path, python: str) -> None:
        port = free_port()
        words = [python, "-m", "localstack.runtime.main"]
        super().__init__(folder, words, port, _settings(folder, port))

    @property
    def environ(self) -> dict[str, str]:
        """The variables with which AWS tools, and bams3, reach this server."""
        return {
            "AWS_ENDPOINT_URL_S3": self.url,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }

    def make_bucket(self, name: str, region: str = "us-east-1") -> str:
        """Make a bucket in a region and return its address."""
        place = f"<LocationConstraint>{region}</LocationConstraint>"
        body = f"<CreateBucketConfiguration {_XMLNS}>{place}</CreateBucketConfiguration>"
        request = urllib.request.Request(
            f"{self.url}/{name}",
            data=None if region == "us-east-1" else body.encode(),
            method="PUT",
            headers={"Authorization": _scope(region), "Content-Type": "application/xml"},
        )
        urllib.request.urlopen(request, timeout=30).close()
        return f"s3://{name}"


def _settings(folder: Path, port: int) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "FILESYSTEM_ROOT": str(folder / "root"),
        "SERVICES": "s3",
        "EAGER_SERVICE_LOADING": "1",
        "GATEWAY_SERVER": "hypercorn",
        "GATEWAY_LISTEN": f"127.0.0.1:{port}",
        "DISABLE_EVENTS": "1",
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "S3_SKIP_SIGNATURE_VALIDATION": "0",
    }


def _scope(region: str) -> str:
    """Return a signature that names a region; the server reads no more of it."""
    scope = f"test/20260101/{region}/s3/aws4_request"
    return f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"
