"""Links that carry what they allow, signed and with an end: no session is kept for them."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import os
import time
import zlib
from collections.abc import Callable
from typing import Any

from bams3.errors import PermissionDenied

LIFETIME = 3600
_MAX_PAYLOAD = 1 << 20
_DIGEST = 32


class Links:
    """Signs and opens links. Servers that share a secret open each other's."""

    def __init__(
        self,
        secret: bytes | None = None,
        lifetime: int = LIFETIME,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`secret`: by default one that ends with the process. `lifetime`: seconds."""
        self._secret = secret or os.urandom(32)
        self._lifetime = lifetime
        self._clock = clock

    def sign(self, payload: dict[str, Any]) -> str:
        """Return text for a path: letters, digits, `-` and `_`."""
        expires = int(self._clock()) + self._lifetime
        text = json.dumps({**payload, "exp": expires}, separators=(",", ":"))
        packed = zlib.compress(text.encode(), 9)
        return base64.urlsafe_b64encode(self._digest(packed) + packed).decode().rstrip("=")

    def open(self, token: str) -> dict[str, Any]:
        """Return what was signed.

        Raises:
            PermissionDenied: It was not signed here, or has expired.
        """
        try:
            data = base64.b64decode(token + "=" * (-len(token) % 4), b"-_", validate=True)
        except (binascii.Error, ValueError) as error:
            raise _refused("is damaged") from error
        digest, packed = data[:_DIGEST], data[_DIGEST:]
        if not hmac.compare_digest(digest, self._digest(packed)):
            raise _refused("was not made by this server, or is damaged")
        payload: dict[str, Any] = json.loads(zlib.decompressobj().decompress(packed, _MAX_PAYLOAD))
        if payload.pop("exp") < self._clock():
            raise _refused("has expired")
        return payload

    def _digest(self, packed: bytes) -> bytes:
        return hmac.digest(self._secret, packed, "sha256")


def _refused(why: str) -> PermissionDenied:
    return PermissionDenied(f"the link {why}", "ask for a new ticket")
