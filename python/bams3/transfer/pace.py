"""How many requests at once, and how many bytes a second."""

from __future__ import annotations

import threading
import time

_FIRST = 4
"""Requests in flight at the start."""
_STEP, _WORTH = 1.5, 1.1
"""So many times the requests are tried, and kept if so many times the bytes pass a second."""
_PATIENCE = 1.0
"""Seconds between two reductions: the refusals of one moment count once."""


class Pace:
    """The number of requests that may be in flight: more while more helps, half at SlowDown.

    On a link with latency it helps for long. Where the link, the store or the CPU is the limit, it
    only costs: each request has a buffer, and they drive each other's out of the CPU's caches.

    Not locked: the engine asks it under its own lock; `slow_down` may come from anywhere.

    Attributes:
        passed: Bytes that went over the link since the last judgement, counted by the engine;
            those that are lost between threads which count at once do not matter.
        reductions: How often it was halved.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = self._before = float(min(_FIRST, most))
        self._rate = 0.0
        self._wait = self._pause = 1
        self.passed = self._done = 0
        self._since = time.monotonic()
        self._reduced = 0.0
        self.reductions = 0

    @property
    def limit(self) -> int:
        """Requests that may be in flight now."""
        return int(self._limit)

    def succeeded(self) -> None:
        """A request went well. After a reduction the way back up is slow."""
        if self._reduced:
            self._limit = min(float(self._most), self._limit + 1.0 / self._limit)
            return
        self._done += 1
        if self._done >= self._limit:
            now = time.monotonic()
            self._judge(self.passed / max(now - self._since, 1e-6))
            self.passed, self._done, self._since = 0, 0, now

    def _judge(self, rate: float) -> None:
        """All in flight have come to their end once: keep what was tried, or take it back."""
        if self._limit > self._before:
            if rate > self._rate * _WORTH:
                self._wait = self._pause = 1
            else:
                self._limit = self._before
                self._wait = self._pause = min(2 * self._pause, 64)
        self._wait -= 1
        if self._wait <= 0:
            self._before, self._rate = self._limit, rate
            self._limit = min(float(self._most), self._limit * _STEP)

    def slow_down(self) -> None:
        """The store wants fewer requests."""
        now = time.monotonic()
        if now - self._reduced >= _PATIENCE:
            self._reduced = now
            self._limit = max(1.0, self._limit / 2)
            self.reductions += 1


class RateLimit:
    """At most `rate` bytes a second over all threads."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._free = 0.0
        self._guard = threading.Lock()

    def wait(self, count: int) -> None:
        """Wait until `count` bytes more may go."""
        if count <= 0:
            return
        with self._guard:
            start = max(self._free, time.monotonic())
            self._free = start + count / self._rate
        delay = start - time.monotonic()
        if delay > 0:
            time.sleep(delay)
