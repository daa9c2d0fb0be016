"""A private certificate authority, by the openssl command."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple

_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
LOOPBACK = "DNS:localhost,IP:127.0.0.1"


class Certificate(NamedTuple):
    """PEM files of a certificate and its private key."""

    path: Path
    key: Path


def make_authority(folder: Path, name: str = "lab") -> Certificate:
    """Make an authority that nobody trusts yet."""
    made = Certificate(folder / f"{name}.pem", folder / f"{name}.key")
    _openssl("req", "-x509", *_KEY, "-keyout", made.key, "-out", made.path, "-days", "2",
             "-subj", f"/CN={name}", "-addext", "keyUsage=critical,keyCertSign")  # fmt: skip
    return made


def issue(authority: Certificate, folder: Path, subjects: str = LOOPBACK) -> Certificate:
    """Make a certificate for a server of these names, signed by the authority."""
    made = Certificate(folder / "server.pem", folder / "server.key")
    request, names = folder / "server.csr", folder / "names"
    names.write_text(f"subjectAltName={subjects}\nbasicConstraints=CA:FALSE\n")
    _openssl("req", *_KEY, "-keyout", made.key, "-out", request, "-subj", "/CN=localhost")
    _openssl("x509", "-req", "-in", request, "-out", made.path, "-days", "2", "-extfile", names,
             "-CA", authority.path, "-CAkey", authority.key, "-set_serial", "1")  # fmt: skip
    return made


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
