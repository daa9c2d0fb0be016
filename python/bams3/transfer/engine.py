"""Threads that do jobs: requests of one object or of many, as many at once as the pace permits."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Self, TypeAlias

from bams3.storage.bucket import Bucket
from bams3.storage.wire import BUFFER
from bams3.transfer.pace import Pace, RateLimit
from bams3.transfer.settings import Settings

Job: TypeAlias = Callable[[], None]
"""Something to do in a thread; it handles its own errors."""

_PATIENCE = 2.0
"""Seconds that the threads are given to notice that all is over."""
RESUME = "run it again with --resume; what has arrived is kept until then"


class Stopped(Exception):
    """Raised inside a job when the engine is stopped; nobody else sees it."""


class Engine:
    """Does jobs in threads, which are started when they are needed.

    Each thread has one buffer, so the budget of memory bounds their number.
    """

    def __init__(self, settings: Settings, *buckets: Bucket) -> None:
        self.slots = max(1, min(settings.slots, settings.memory // BUFFER))
        self._pace = Pace(self.slots)
        self._rate = RateLimit(settings.limit_rate) if settings.limit_rate else None
        self._lock = threading.Lock()
        self._ready = threading.Condition(self._lock)
        self._over = threading.Condition(self._lock)
        self._jobs: deque[Job] = deque()
        self._threads: list[threading.Thread] = []
        self._active = self._idle = 0
        self._closed = False
        self.stopped = False
        self.failure: BaseException | None = None
        for bucket in buckets:
            bucket.on_slow_down(self._pace.slow_down)

    def add(self, jobs: Iterable[Job], first: bool = False) -> None:
        """Add jobs behind those that wait, or before them."""
        new = [*jobs]
        with self._lock:
            if first:
                self._jobs.extendleft(reversed(new))
            else:
                self._jobs.extend(new)
            self._wake()

    def wait(self) -> None:
        """Wait until all jobs are done.

        Raises:
            KeyboardInterrupt: Was interrupted; the jobs are stopped. Its text says how to go on
        """
        try:
            with self._lock:
                while (self._jobs or self._active) and not self.failure:
                    self._over.wait()
        except KeyboardInterrupt:
            self.stop()
            raise KeyboardInterrupt(RESUME) from None
        if self.failure:
            self.stop()
            raise self.failure

    def stop(self) -> None:
        """Have all jobs end where they are."""
        with self._lock:
            self.stopped = True
            self._jobs.clear()

    def passing(self, count: int) -> None:
        """Is told of bytes before they go: keeps to the rate limit; ends what was stopped."""
        if self.stopped:
            raise Stopped
        self._pace.passed += count
        if self._rate:
            self._rate.wait(count)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            self.stop()
        with self._lock:
            self._closed = True
            self._ready.notify_all()
        end = time.monotonic() + _PATIENCE
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()) if self.stopped else None)

    # ---- threads ---------------------------------------------------------------------------------
    def _wake(self, awake: int = 0) -> None:
        """Have the jobs that may run now taken; `awake` threads will look for themselves."""
        free = min(len(self._jobs), self._pace.limit - self._active) - awake
        idle = self._idle - awake
        if free > 0:
            self._ready.notify(min(free, idle))
        for _ in range(min(free - idle, self.slots - len(self._threads))):
            thread = threading.Thread(target=self._work, name="bams3-transfer", daemon=True)
            self._threads.append(thread)
            self._idle += 1
            thread.start()

    def _work(self) -> None:
        while self._work_once():
            pass

    def _work_once(self) -> bool:
        """Do the next job; a function of its own, so that no thread holds on to a job it did."""
        job = self._next()
        if not job:
            return False
        try:
            job()
        except Stopped:
            self._done(False)
        except BaseException as error:
            self.failure = self.failure or error
            self._done(False)
        else:
            self._done(True)
        return True

    def _next(self) -> Job | None:
        with self._lock:
            while not self._closed:
                if self._jobs and self._active < self._pace.limit:
                    self._active += 1
                    self._idle -= 1
                    return self._jobs.popleft()
                self._ready.wait()
            return None

    def _done(self, well: bool) -> None:
        with self._lock:
            self._active -= 1
            self._idle += 1
            if well:
                self._pace.succeeded()
            if self._jobs:
                self._wake(awake=1)
            elif not self._active or self.failure:
                self._over.notify_all()
