"""How many requests at once, and how many bytes a second."""

from __future__ import annotations

import threading
import time

_FIRST = 16
"""Requests in flight at the start."""
_PATIENCE = 1.0
"""Seconds between two reductions: the refusals of one moment count once."""


class Pace:
    """The number of requests that may be in flight: one more with each success, half at SlowDown.

    Not locked: the engine asks it under its own lock; `slow_down` alone may come from anywhere.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = float(min(_FIRST, most))
        self._reduced = 0.0
        self.reductions = 0

    @property
    def limit(self) -> int:
        """Requests that may be in flight now."""
        return int(self._limit)

    def succeeded(self) -> None:
        """A request went well. After a reduction the way back up is slow."""
        step = 1.0 if not self._reduced else 1.0 / self._limit
        self._limit = min(float(self._most), self._limit + step)

    def slow_down(self) -> None:
        """The store wants fewer requests."""
        now = time.monotonic()
        if now - self._reduced >= _PATIENCE:
            self._reduced = now
            self._limit = max(1.0, self._limit / 2)
            self.reductions += 1


class RateLimit:
    """At most `rate` bytes a second over all threads; None for no limit."""

    def __init__(self, rate: int | None) -> None:
        self._rate = rate
        self._free = 0.0
        self._guard = threading.Lock()

    def wait(self, count: int) -> None:
        """Wait until `count` bytes more may go."""
        if not self._rate or count <= 0:
            return
        with self._guard:
            start = max(self._free, time.monotonic())
            self._free = start + count / self._rate
        delay = start - time.monotonic()
        if delay > 0:
            time.sleep(delay)
