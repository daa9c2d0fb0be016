"""What lies in a root, for those who may read all of it: folder by folder, and not without end."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from bams3.errors import NotFoundError
from bams3.server.local import LocalFolder
from bams3.server.roots import Root
from bams3.storage.s3 import S3Store

MOST_FOLDERS, MOST_FILES = 2_000, 20_000
BELIEVED = 15.0
"""For so many seconds a listing is believed."""
DATASET = ".bams3"


class Found(NamedTuple):
    """A file, or a dataset, whose size nobody asked for."""

    key: str
    size: int | None


class Listing(NamedTuple):
    """Files and datasets in the order of their keys; `cut` where there are more."""

    found: tuple[Found, ...]
    cut: bool


class Listings:
    """Lists roots, each once at a time, and keeps what was found for some seconds."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[float, Listing]] = {}
        self._guard = threading.Lock()

    def of(self, root: Root) -> Listing:
        """Return what lies in a root. Raises StorageError, PermissionDenied."""
        with self._guard:
            until, listing = self._held.get(root.name, (0.0, None))
            if listing is None or until < time.monotonic():
                listing = listed(root)
                self._held[root.name] = time.monotonic() + BELIEVED, listing
            return listing


def listed(root: Root) -> Listing:
    """List a root: what is served of it, at most `MOST_FILES` files of `MOST_FOLDERS` folders."""
    found: list[Found] = []
    waiting = deque([""])
    for _ in range(MOST_FOLDERS):
        if not waiting or len(found) > MOST_FILES:
            break
        folder = waiting.popleft()
        for name, size in _level(root, folder):
            key = f"{folder}{name}"
            if size is None and not key.endswith(DATASET):
                waiting += [] if root.one_file else [f"{key}/"]
            elif _served(root, key, size):
                found.append(Found(key, size))
    return Listing(tuple(sorted(found[:MOST_FILES])), bool(waiting) or len(found) > MOST_FILES)


def _served(root: Root, key: str, size: int | None) -> bool:
    try:
        root.check(f"{key}.bam" if size is None else key)
    except NotFoundError:
        return False
    return True


def _level(root: Root, folder: str) -> Iterator[tuple[str, int | None]]:
    """Yield names in a folder, with their sizes; None for folders. Hidden ones are left out."""
    if isinstance(root.folder, LocalFolder):
        names = _local(os.path.join(root.folder.path, folder), root.folder.path)
    elif isinstance(root.folder.store, S3Store):
        names = root.folder.store.level(folder.rstrip("/"))
    else:
        return
    yield from ((name, size) for name, size in names if not name.startswith("."))


def _local(place: str, root: str) -> Iterator[tuple[str, int | None]]:
    """A link to a file counts where it ends inside; one to a folder never, as it may be a loop."""
    with suppress(OSError), os.scandir(place) as entries:
        for entry in entries:
            with suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    yield entry.name, None
                elif entry.is_file() and _inside(entry, root):
                    yield entry.name, entry.stat().st_size


def _inside(entry: os.DirEntry[str], root: str) -> bool:
    return not entry.is_symlink() or os.path.realpath(entry.path).startswith(f"{root}/")
