"""Whether what was downloaded is what S3 says of the object."""

from __future__ import annotations

import base64
import hashlib
import zlib
from pathlib import Path
from typing import Any

from bams3.errors import CorruptError
from bams3.storage.objects import ObjectInfo

_WHOLE = ("sha256", "sha1")


def proof(url: str, info: ObjectInfo, crc: int, path: Path) -> str:
    """Compare a file with the strongest checksum that S3 states of the whole object.

    CRC64NVME is known from the download; for another one the file is read.

    Returns:
        The name of the checksum; "" where S3 states none of the whole, and only the size is known.

    Raises:
        CorruptError: They differ.
    """
    if info.crc64nvme is not None:
        _compare(url, "crc64nvme", crc == info.crc64nvme)
        return "crc64nvme"
    for name in _WHOLE:
        stated = info.checksums.get(name, "")
        if stated and "-" not in stated:
            found = base64.b64encode(_digest(path, hashlib.new(name))).decode()
            _compare(url, name, found == stated)
            return name
    stated = info.checksums.get("crc32", "")
    if stated and "-" not in stated:
        found = base64.b64encode(_crc32(path).to_bytes(4, "big")).decode()
        _compare(url, "crc32", found == stated)
        return "crc32"
    if info.md5:
        found = _digest(path, hashlib.md5(usedforsecurity=False)).hex()
        _compare(url, "md5", found == info.md5)
        return "md5"
    return ""


def _compare(url: str, name: str, same: bool) -> None:
    if not same:
        raise CorruptError(
            f"{url}: what arrived has another {name} than S3 states",
            "run it again with --force; if it happens again, the object is damaged",
        )


def _digest(path: Path, digest: Any) -> bytes:
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    result: bytes = digest.digest()
    return result


def _crc32(path: Path) -> int:
    crc = 0
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            crc = zlib.crc32(piece, crc)
    return crc
