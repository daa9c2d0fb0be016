"""Decoded tiles that several readers share: bounded in bytes, each decoded once at a time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Protocol


class Tile(Protocol):
    """A tile with its columns decoded, that gives its records slice by slice."""

    @property
    def count(self) -> int:
        """Number of slices."""

    @property
    def size(self) -> int:
        """About how many bytes it takes in memory."""

    def slice(self, number: int) -> bytes:
        """Make a slice."""


class TileCache:
    """The tiles that were used last, up to so many bytes. Any thread may ask."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._held: OrderedDict[Hashable, _Entry] = OrderedDict()
        self._lock = Lock()

    def __contains__(self, key: Hashable) -> bool:
        """Whether something is held of a tile."""
        with self._lock:
            return key in self._held

    def slice(self, key: Hashable, number: int, make: Callable[[], Tile]) -> bytes:
        """Return a slice of a tile: the one held, or one that is made now.

        Of those who ask for a tile at the same time one calls `make`, and nobody waits for more
        than the making of one slice. An error goes to who has asked; nothing of the tile is held.
        """
        with self._used(key) as entry:
            return entry.slice(number, make)

    def prepare(self, key: Hashable, make: Callable[[], Tile]) -> None:
        """Have a tile ready for those who will ask for its slices. Raises what `make` does."""
        with self._used(key) as entry:
            entry.prepare(make)

    @contextmanager
    def _used(self, key: Hashable) -> Iterator[_Entry]:
        with self._lock:
            entry = self._held.setdefault(key, _Entry())
            self._held.move_to_end(key)
        try:
            yield entry
        except BaseException:
            with self._lock:
                if self._held.get(key) is entry:
                    self._drop(key)
            raise
        self._settle(key, entry)

    def _settle(self, key: Hashable, entry: _Entry) -> None:
        """Count what has been made since, and drop what is too much."""
        with self._lock:
            if self._held.get(key) is not entry:
                return  # dropped meanwhile
            self._size += entry.size - entry.counted
            entry.counted = entry.size
            while self._size > self._limit:
                self._drop(next(iter(self._held)))

    def _drop(self, key: Hashable) -> None:
        self._size -= self._held.pop(key).counted


class _Entry:
    """What is held of a tile: its columns until all slices are made, and the slices."""

    def __init__(self) -> None:
        self.size = 0
        self.counted = 0
        """What the cache knows of the size."""
        self._tile: Tile | None = None
        self._slices: dict[int, bytes] = {}
        self._lock = Lock()

    def slice(self, number: int, make: Callable[[], Tile]) -> bytes:
        """Return a slice."""
        with self._lock:
            found = self._slices.get(number)
            if found is None:
                self._tile = self._tile or make()
                found = self._slices[number] = self._tile.slice(number)
                if len(self._slices) == self._tile.count:
                    self._tile = None
                self._measure()
        return found

    def prepare(self, make: Callable[[], Tile]) -> None:
        """Decode the columns, if nothing has been made of them."""
        with self._lock:
            if not self._slices:
                self._tile = self._tile or make()
                self._measure()

    def _measure(self) -> None:
        columns = self._tile.size if self._tile else 0
        self.size = columns + sum(map(len, self._slices.values()))
