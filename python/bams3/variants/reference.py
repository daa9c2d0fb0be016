"""The reference: its index, its checksums, and a local copy of the contigs that a shard needs."""

from __future__ import annotations

import functools
import hashlib
import os
import struct
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from bams3.config import StorageOptions
from bams3.errors import CorruptError, InputError, NotFoundError
from bams3.variants.index import inflated
from bams3.variants.objects import Object, read_beside

_PIECE = 8 << 20
"""Bytes that are read at a time; a contig may have more than there is memory for."""
_UPPER = bytes(range(256)).upper()


class Contig(NamedTuple):
    """A line of a .fai: bases, byte of the first one, and bases and bytes in a line."""

    length: int
    offset: int
    line_bases: int
    line_bytes: int

    @property
    def end(self) -> int:
        """Byte after the last base."""
        whole, rest = divmod(self.length, self.line_bases) if self.line_bases else (0, 0)
        return self.offset + whole * self.line_bytes + rest


@dataclass(frozen=True)
class Reference:
    """An indexed FASTA file, plain or bgzipped, on disk or in a store."""

    url: str
    identity: str
    contigs: dict[str, Contig] = field(compare=False)
    storage: StorageOptions | None = field(default=None, compare=False)

    @property
    def is_local(self) -> bool:
        """Whether htslib can open it itself."""
        return "://" not in self.url

    def checksum(self, contig: str) -> str:
        """Return the M5 of a contig: MD5 of its bases in upper case, as @SQ lines have it.

        Raises:
            CorruptError: The .fai is that of another file, or the file was replaced meanwhile.
        """
        return _checksum(self, contig)

    def local(self, names: Iterable[str], folder: Path) -> str:
        """Return the path of a FASTA file, indexed, that has at least these contigs.

        What lies in a store is copied to `folder`, these contigs alone, each once.
        """
        if self.is_local:
            return self.url
        wanted = sorted(set(names))
        key = hashlib.sha256(repr((self.url, self.identity, wanted)).encode()).hexdigest()[:16]
        path = folder / f"{key}.fa"
        if not path.exists():
            partial = folder / f".{key}.{os.getpid()}.fa"
            self._copy(wanted, partial)
            os.replace(f"{partial}.fai", f"{path}.fai")
            os.replace(partial, path)
        return str(path)

    def _copy(self, names: Iterable[str], path: Path) -> None:
        with open(path, "wb") as out, open(f"{path}.fai", "w") as index:
            for name in names:
                out.write(f">{name}\n".encode())
                row = self.contigs[name]
                index.write(f"{name}\t{row.length}\t{out.tell()}\t{row.line_bases}\t")
                index.write(f"{row.line_bytes}\n")
                out.writelines(self.lines(row))
                out.write(b"\n")

    def lines(self, row: Contig) -> Iterator[bytes]:
        """Yield the bytes of a contig as they stand in the file, lines and all, in pieces."""
        index = read_beside(f"{self.url}.gzi", self.storage) if self.url.endswith(".gz") else None
        with closing(Object.at(self.url, self.storage)) as file:
            for start in range(row.offset, row.end, _PIECE):
                end = min(start + _PIECE, row.end)
                yield file.get(start, end) if index is None else _bgzipped(file, index, start, end)
            if file.head().etag.strip('"') != self.identity:
                raise CorruptError(f"{self.url}: was replaced while it was read", "start again")


def open_reference(url: str, storage: StorageOptions | None = None) -> Reference:
    """Open a FASTA file by its index.

    Raises:
        NotFoundError: The file or its .fai is not there.
        InputError: The .fai is malformed.
    """
    url = os.path.abspath(url) if "://" not in url else url
    file = Object.at(url, storage)
    try:
        identity = file.head().etag.strip('"')
    finally:
        file.close()
    try:
        text = read_beside(f"{url}.fai", storage).decode()
    except NotFoundError:
        raise NotFoundError(f"{url}: has no index (.fai)", f"samtools faidx {url}") from None
    return Reference(url, identity, dict(_rows(text, url)), storage)


def _rows(text: str, url: str) -> Iterable[tuple[str, Contig]]:
    for line in text.splitlines():
        name, *numbers = line.split("\t")
        try:
            yield name, Contig(*map(int, numbers[:4]))
        except (TypeError, ValueError):
            raise InputError(
                f"{url}.fai: malformed line {line[:60]!r}", f"samtools faidx {url}"
            ) from None


@functools.lru_cache(maxsize=4096)
def _checksum(reference: Reference, contig: str) -> str:
    row, length = reference.contigs[contig], 0
    digest = hashlib.md5(usedforsecurity=False)
    for lines in reference.lines(row):
        bases = lines.translate(_UPPER, b"\r\n")
        digest.update(bases)
        length += len(bases)
    if length != row.length:
        raise CorruptError(
            f"{reference.url}: {contig} has {length:,} bases, its .fai says {row.length:,}",
            f"samtools faidx {reference.url}",
        )
    return digest.hexdigest()


def _bgzipped(file: Object, index: bytes, start: int, end: int) -> bytes:
    """Read bytes [start, end) of what a bgzipped object holds, by its .gzi."""
    (count,) = struct.unpack_from("<Q", index)
    flat = (0, 0, *struct.unpack_from(f"<{2 * count}Q", index, 8))
    packed, plain = flat[::2], flat[1::2]
    first, last = bisect_right(plain, start) - 1, bisect_right(plain, end)
    stop = packed[last] if last < len(packed) else file.head().size
    return inflated(file.get(packed[first], stop), start - plain[first], file.key)[: end - start]
