"""Single files of a user: where they lie, links followed, and reading parts of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from bams3.config import StorageOptions
from bams3.errors import CorruptError
from bams3.reads.compressed import END_OF_FILE
from bams3.storage import Head, Store, open_input, open_store

_BLOCK = 1 << 20
_BGZF_MAGIC = b"\x1f\x8b\x08\x04"


@dataclass(frozen=True, slots=True)
class Object:
    """A file on disk, links followed (workflows stage files as links), or an object in a store."""

    store: Store
    key: str

    @classmethod
    def at(cls, url: str, storage: StorageOptions | None = None) -> Object:
        """Name an object; nothing is read yet."""
        path = url if "://" in url else os.path.realpath(url)
        folder, _, key = path.rpartition("/")
        return cls(open_store(folder or "/", storage), key)

    def head(self) -> Head:
        """Return size and etag. Raises NotFoundError."""
        return self.store.head(self.key)

    def get(self, start: int | None = None, end: int | None = None) -> bytes:
        """Read all or a range. Raises NotFoundError, CorruptError."""
        return self.store.get(self.key, start, end)

    def close(self) -> None:
        """Let go of connections."""
        self.store.close()


def read_beside(url: str, storage: StorageOptions | None) -> bytes:
    """Read a small file whole. Raises NotFoundError."""
    found = Object.at(url, storage)
    try:
        return found.get()
    finally:
        found.close()


def blocks(url: str, storage: StorageOptions | None) -> Iterator[bytes]:
    """Yield the bytes of a file in their order."""
    with open_input(url, storage) as source:
        while block := source.read(_BLOCK):
            yield block


def check_whole(url: str, storage: StorageOptions | None) -> None:
    """Check that a compressed file has its end. Raises CorruptError, NotFoundError."""
    file = Object.at(url, storage)
    with closing(file):
        size = file.head().size
        if size < len(END_OF_FILE) or file.get(0, len(_BGZF_MAGIC)) != _BGZF_MAGIC:
            return
        if file.get(size - len(END_OF_FILE), size) != END_OF_FILE:
            raise CorruptError(f"{url}: is cut off, it has no end marker", "copy it again")
