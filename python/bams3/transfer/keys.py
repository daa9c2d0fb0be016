"""Customer keys (SSE-C): their input forms, master keys, and what they must never do: be shown.

A key is exactly 32 bytes. A master key is never sent; each object has a key of its own,

    SHA-256(master || "https://s3-REGION.amazonaws.com/BUCKET/KEY")

with BUCKET and KEY as they are, nothing escaped, and `s3.amazonaws.com` for us-east-1. S3AM 2.1
derives the same, so that its objects stay readable. S3AM 2.0 derived with `s3-EU` where eu-west-1
answers to that name; such keys are tried when reading.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bams3.errors import KeyRejectedError, NotFoundError, UsageError
from bams3.storage.objects import CustomerKey

KEY_BYTES = 32
_SECRETS = frozenset({"authorization", "x-amz-security-token"})
_HIDDEN = "(hidden)"


@dataclass(frozen=True, slots=True)
class GivenKey:
    """A key as a user gives it: that of the objects, or a master key.

    Attributes:
        secret: The 32 bytes; never shown.
        is_master: Whether objects have keys derived from it.
    """

    secret: CustomerKey
    is_master: bool = False

    def of(self, region: str, bucket: str, key: str) -> CustomerKey:
        """Return the key with which an object is written: this one, or the one derived for it.

        Args:
            region: Where the bucket is; "" and us-east-1 are one place.
            bucket: Its name.
            key: The object's key, as it is.
        """
        return self.candidates(region, bucket, key)[0]

    def candidates(self, region: str, bucket: str, key: str) -> list[CustomerKey]:
        """Return the keys with which an object may have been written, the likeliest first."""
        if not self.is_master:
            return [self.secret]
        if region in ("eu-west-1", "EU"):
            return [self._derived(place, bucket, key) for place in ("eu-west-1", "EU")]
        return [self._derived(region, bucket, key)]

    def _derived(self, region: str, bucket: str, key: str) -> CustomerKey:
        host = "s3" if region in ("", "us-east-1") else f"s3-{region}"
        url = f"https://{host}.amazonaws.com/{bucket}/{key}"
        return CustomerKey(hashlib.sha256(self.secret.key + url.encode()).digest())


def read_key(
    text: str | None = None,
    file: str | os.PathLike[str] | None = None,
    base64_text: str | None = None,
    is_master: bool = False,
) -> GivenKey | None:
    """Take a key in one of its three forms.

    Args:
        text: The 32 bytes themselves.
        file: A file with exactly 32 bytes; no newline is stripped.
        base64_text: The 32 bytes in base64.
        is_master: Whether it is a master key.

    Returns:
        The key; None where none was given.

    Raises:
        UsageError: Several forms at once, or `is_master` without a key.
        KeyRejectedError: Not 32 bytes, or not base64.
        NotFoundError: There is no such file.
    """
    given = [form for form in (text, file, base64_text) if form is not None]
    if len(given) > 1:
        raise UsageError("the key is given twice", "give it as text, as a file or in base64")
    if not given and is_master:
        raise UsageError("a master key is announced, but none is given", "name its file")
    if text is not None:
        secret = os.fsencode(text)
    elif base64_text is not None:
        secret = _decoded(base64_text)
    elif file is not None:
        secret = _read(file)
    else:
        return None
    return GivenKey(CustomerKey(secret), is_master)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise KeyRejectedError("the key is not base64", "44 characters: base64 < keyfile") from None


def _read(file: str | os.PathLike[str]) -> bytes:
    name = os.fspath(file)
    try:
        with open(file, "rb") as stream:
            secret = stream.read(KEY_BYTES + 1)
    except FileNotFoundError:
        raise NotFoundError(
            f"{name}: no such key file", "bams3 transfer generate-sse-key FILE makes one"
        ) from None
    except OSError as error:
        raise KeyRejectedError(f"{name}: {error.strerror}") from error
    if len(secret) == KEY_BYTES:
        return secret
    count = f"{len(secret)} bytes" if len(secret) < KEY_BYTES else f"more than {KEY_BYTES} bytes"
    newline = len(secret) > KEY_BYTES and secret.endswith(b"\n")
    hint = "there is a newline at its end: write it with printf" if newline else None
    raise KeyRejectedError(f"{name}: has {count}, a key has {KEY_BYTES}", hint)


def generate_key(file: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Write a new random key to a file that only its owner can read.

    Args:
        file: Where to.
        overwrite: Replace a file that is there. Objects with its key are lost with it.

    Raises:
        UsageError: The file exists, or cannot be written.
    """
    path = Path(file)
    target = path.with_name(f".{path.name}.{os.getpid()}.new") if overwrite else path
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            os.fchmod(descriptor, 0o600)
            stream.write(os.urandom(KEY_BYTES))
            stream.flush()
            os.fsync(descriptor)
        if overwrite:
            os.replace(target, path)
    except FileExistsError:
        raise UsageError(
            f"{target}: exists already", "another name, or --overwrite: objects with it are lost"
        ) from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from error


def redacted(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of a request as a log may show them: without keys and signatures."""
    return {name: _HIDDEN if _is_secret(name) else value for name, value in headers.items()}


def _is_secret(name: str) -> bool:
    lower = name.lower()
    return lower in _SECRETS or "-customer-key" in lower
