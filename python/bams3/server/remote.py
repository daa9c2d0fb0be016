"""Objects in S3, read in windows of one version of them, through the cache."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from functools import partial

from bams3.errors import NotFoundError
from bams3.server.cache import BLOCK, BlockCache
from bams3.server.keys import INDEXES
from bams3.server.resources import BINARY
from bams3.storage.remote import RemoteStore
from bams3.storage.s3 import S3Store
from bams3.storage.store import Head

FIRST_WINDOW = BLOCK
LARGEST_WINDOW = 1 << 20
"""Bytes asked for at once. Clients ask for everything and leave early: so it begins small."""
HEAD_SECONDS = 5.0
"""For so long size and etag of an object, or its absence, are believed."""
_HEADS = 4096


class RemoteObject:
    """One version of an object. See `Resource` for the methods."""

    media_type = BINARY

    def __init__(self, store: RemoteStore, key: str, head: Head, cache: BlockCache) -> None:
        self.name = key.rpartition("/")[2]
        self.size, self.modified = head.size, head.last_modified
        self.etag = head.etag or f'"{head.last_modified.timestamp():.0f}-{head.size}"'
        self._condition = head.etag
        self._store, self._key, self._cache = store, key, cache

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """Yield the bytes [start, end): a range within a window in one request, else growing ones.

        Every request is conditional on the etag; ChangedError where the object was replaced.
        """
        window = LARGEST_WINDOW if end - start <= LARGEST_WINDOW else FIRST_WINDOW
        fetch = partial(self._store.get_version, self._key, self._condition)
        pin = self._key.lower().endswith(INDEXES)
        while start < end:
            stop = min(end, start // BLOCK * BLOCK + window)
            yield from self._cache.read(
                self._store.url_of(self._key), self.etag, self.size, start, stop, fetch, pin
            )
            start, window = stop, min(2 * window, LARGEST_WINDOW)

    def close(self) -> None:
        """Nothing is held between reads."""


class RemoteFolder:
    """A prefix of a bucket."""

    waits = True

    def __init__(self, store: RemoteStore, cache: BlockCache) -> None:
        self.store, self._cache = store, cache
        self._heads: OrderedDict[str, tuple[float, Head | NotFoundError]] = OrderedDict()
        self._guard = threading.Lock()

    def open(self, key: str) -> RemoteObject:
        """Return the current version of an object.

        Raises:
            NotFoundError, PermissionDenied, StorageError: From the store.
        """
        return RemoteObject(self.store, key, self._head(key), self._cache)

    def forget(self, key: str) -> None:
        """Believe no longer what is known of an object."""
        with self._guard:
            self._heads.pop(key, None)

    def presign(self, key: str, seconds: int) -> str | None:
        """Return an address that leads to the object itself, if the store can give one."""
        return self.store.presign(key, seconds) if isinstance(self.store, S3Store) else None

    def _head(self, key: str) -> Head:
        now = time.monotonic()
        with self._guard:
            until, known = self._heads.get(key, (0.0, None))
        if known is None or until < now:
            known = self._ask(key)
            with self._guard:
                self._heads[key] = now + HEAD_SECONDS, known
                while len(self._heads) > _HEADS:
                    self._heads.popitem(last=False)
        if isinstance(known, NotFoundError):
            raise NotFoundError(known.message, known.hint)
        return known

    def _ask(self, key: str) -> Head | NotFoundError:
        try:
            return self.store.head(key)
        except NotFoundError as error:
            return error

    def close(self) -> None:
        """Let go of connections."""
        self.store.close()
