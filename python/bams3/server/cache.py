"""Blocks of remote objects, kept by version, each fetched once however many clients ask for it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import groupby
from typing import TypeAlias

BLOCK = 64 << 10
"""Bytes of a block; the last one of an object is shorter."""

Fetch: TypeAlias = Callable[[int, int], bytes]
"""Reads the bytes [start, end) of one version of one object."""

_Key: TypeAlias = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class CacheStats:
    """Blocks found, blocks fetched, blocks that another client was just fetching; bytes kept."""

    hits: int
    misses: int
    shared: int
    bytes: int


class BlockCache:
    """At most so many bytes of blocks, the least recently used ones dropped first.

    Indexes and the first block of every file are *pinned*: a stream of other data does not drive
    them out; they have half of the room at most.
    """

    def __init__(self, most: int = 64 << 20) -> None:
        self._most = most
        self._kept: dict[bool, OrderedDict[_Key, bytes]] = {
            True: OrderedDict(),
            False: OrderedDict(),
        }
        self._bytes = {True: 0, False: 0}
        self._coming: dict[_Key, Future[bytes]] = {}
        self._guard = threading.Lock()
        self._hits = self._misses = self._shared = 0

    def read(
        self, url: str, etag: str, size: int, start: int, end: int, fetch: Fetch, pin: bool = False
    ) -> Iterator[bytes]:
        """Yield the bytes [start, end) of a version of an object, a block or less at a time.

        What is not here is fetched first, neighbouring blocks in one request.

        Raises:
            StorageError, CorruptError, NotFoundError: From `fetch`, one's own or another client's.
        """
        numbers = range(start // BLOCK, -(-end // BLOCK))
        futures, mine = self._claim(url, etag, numbers, pin)
        for _, run in groupby(mine, key=lambda number: number - mine.index(number)):
            self._fetch(url, etag, size, list(run), fetch, futures, pin)
        for number in numbers:
            block = futures.pop(number).result()
            first, last = max(start - number * BLOCK, 0), min(end - number * BLOCK, len(block))
            yield block if (first, last) == (0, len(block)) else block[first:last]

    def stats(self) -> CacheStats:
        """Return what happened so far."""
        with self._guard:
            return CacheStats(self._hits, self._misses, self._shared, sum(self._bytes.values()))

    def _claim(
        self, url: str, etag: str, numbers: range, pin: bool
    ) -> tuple[dict[int, Future[bytes]], list[int]]:
        """Return all blocks as futures, and those among them that the caller is to fetch."""
        futures, mine = {}, []
        with self._guard:
            for number in numbers:
                key = url, etag, number
                kept = self._kept[pin or number == 0]
                if key in kept:
                    kept.move_to_end(key)
                    futures[number] = Future[bytes]()
                    futures[number].set_result(kept[key])
                    self._hits += 1
                elif key in self._coming:
                    futures[number] = self._coming[key]
                    self._shared += 1
                else:
                    futures[number] = self._coming[key] = Future[bytes]()
                    mine.append(number)
                    self._misses += 1
        return futures, mine

    def _fetch(
        self,
        url: str,
        etag: str,
        size: int,
        run: list[int],
        fetch: Fetch,
        futures: dict[int, Future[bytes]],
        pin: bool,
    ) -> None:
        """Fetch neighbouring blocks; who waits for them gets them, or the error."""
        start, end = run[0] * BLOCK, min((run[-1] + 1) * BLOCK, size)
        try:
            data = fetch(start, end)
        except BaseException as error:
            with self._guard:
                for number in run:
                    self._coming.pop((url, etag, number))
            for number in run:
                futures[number].set_exception(error)
            return
        blocks = {n: data[n * BLOCK - start : (n + 1) * BLOCK - start] for n in run}
        with self._guard:
            for number, block in blocks.items():
                self._coming.pop((url, etag, number))
                self._keep((url, etag, number), block, pin or number == 0)
        for number, block in blocks.items():
            futures[number].set_result(block)

    def _keep(self, key: _Key, block: bytes, pin: bool) -> None:
        self._kept[pin][key] = block
        self._bytes[pin] += len(block)
        while self._bytes[True] > self._most // 2:
            self._drop(True)
        while sum(self._bytes.values()) > self._most:
            self._drop(False)

    def _drop(self, pin: bool) -> None:
        _, block = self._kept[pin].popitem(last=False)
        self._bytes[pin] -= len(block)
