"""Decoded tiles that several readers share: bounded in bytes, each made once at a time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from threading import Lock


class TileCache:
    """The tiles that were used last, up to so many bytes. Any thread may ask."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._held: OrderedDict[Hashable, bytes] = OrderedDict()
        self._under_way: dict[Hashable, Future[bytes]] = {}
        self._lock = Lock()

    def __contains__(self, key: Hashable) -> bool:
        """Whether something is held."""
        with self._lock:
            return key in self._held

    def get(self, key: Hashable, make: Callable[[], bytes]) -> bytes:
        """Return what is held, or what another thread is making, or make it.

        An error of `make` goes to all who wait for it, and is not held.
        """
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]
            waiting = self._under_way.get(key)
            if waiting is None:
                mine = self._under_way[key] = Future[bytes]()
        if waiting is not None:
            return waiting.result()
        return self._make(key, make, mine)

    def _make(self, key: Hashable, make: Callable[[], bytes], mine: Future[bytes]) -> bytes:
        try:
            data = make()
        except BaseException as error:
            with self._lock:
                del self._under_way[key]
            mine.set_exception(error)
            raise
        with self._lock:
            del self._under_way[key]
            self._hold(key, data)
        mine.set_result(data)
        return data

    def _hold(self, key: Hashable, data: bytes) -> None:
        if len(data) > self._limit:
            return
        self._held[key] = data
        self._size += len(data)
        while self._size > self._limit:
            _, dropped = self._held.popitem(last=False)
            self._size -= len(dropped)
