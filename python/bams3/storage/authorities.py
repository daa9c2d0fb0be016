"""The certificate authorities of $AWS_CA_BUNDLE, which in-house stores have."""

from __future__ import annotations

import os

from bams3.errors import UsageError


def bundle() -> bytes:
    """Return the certificates of $AWS_CA_BUNDLE in PEM, trusted beside the system's; b"" for none.

    Raises:
        UsageError: It names no file of certificates.
    """
    path = os.environ.get("AWS_CA_BUNDLE")
    if not path:
        return b""
    try:
        with open(path, "rb") as file:
            certificates = file.read()
    except OSError as error:
        raise UsageError(f"AWS_CA_BUNDLE={path}: {error.strerror}") from error
    if b"-----BEGIN CERTIFICATE-----" not in certificates:
        raise UsageError(f"AWS_CA_BUNDLE={path}: has no certificates", "name a PEM file")
    return certificates
