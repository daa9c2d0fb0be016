"""Decoded tiles that several readers share: bounded in bytes, each made once at a time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from threading import Lock


class TileCache:
    """The tiles that were used last, up to so many bytes. Any thread may ask."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._held: OrderedDict[Hashable, list[bytes]] = OrderedDict()
        self._under_way: dict[Hashable, _Making] = {}
        self._lock = Lock()

    def __contains__(self, key: Hashable) -> bool:
        """Whether something is held."""
        with self._lock:
            return key in self._held

    def pieces(self, key: Hashable, make: Callable[[], Iterator[bytes]]) -> Iterator[bytes]:
        """Yield the pieces of a tile: those held, or those of `make`, as they are made.

        Who asks while others read takes part: whoever needs the next piece makes it, so that
        nobody waits for a slow reader. Who leaves early makes the rest, to be held. An error of
        `make` goes to all who are there, and is not held.
        """
        with self._lock:
            held = self._held.get(key)
            if held is None:
                making = self._under_way.setdefault(key, _Making(make))
            else:
                self._held.move_to_end(key)
        yield from self._share(key, making) if held is None else held

    def _share(self, key: Hashable, making: _Making) -> Iterator[bytes]:
        number = 0
        try:
            while (piece := making.piece(number)) is not None:
                yield piece
                number += 1
        finally:
            pieces = making.whole()
            with self._lock:
                if self._under_way.get(key) is making:
                    del self._under_way[key]
                    if pieces is not None:
                        self._hold(key, pieces)

    def _hold(self, key: Hashable, pieces: list[bytes]) -> None:
        if _size(pieces) > self._limit:
            return
        self._held[key] = pieces
        self._size += _size(pieces)
        while self._size > self._limit:
            _, dropped = self._held.popitem(last=False)
            self._size -= _size(dropped)


class _Making:
    """A tile that is being made, by all who read it."""

    def __init__(self, make: Callable[[], Iterator[bytes]]) -> None:
        self._make = make
        self._source: Iterator[bytes] | None = None
        self._pieces: list[bytes] = []
        self._error: Exception | None = None
        self._lock = Lock()

    def piece(self, number: int) -> bytes | None:
        """Return a piece, the next one at most; None after the last. Raises what `make` does."""
        with self._lock:
            if number < len(self._pieces):
                return self._pieces[number]
            if self._error:
                raise self._error
            try:
                self._source = self._source or self._make()
                piece = next(self._source, None)
            except Exception as error:
                self._error = error
                raise
            if piece is not None:
                self._pieces.append(piece)
            return piece

    def whole(self) -> list[bytes] | None:
        """Make what is missing; return all pieces, None where one of them cannot be made."""
        try:
            while self.piece(len(self._pieces)) is not None:
                pass
        except Exception:
            return None  # told to those who ask for the piece
        return self._pieces


def _size(pieces: list[bytes]) -> int:
    return sum(map(len, pieces))
