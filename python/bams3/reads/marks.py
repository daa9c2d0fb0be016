"""Marks by which conversions to one place know of each other.

Objects are named after their content, so two conversions may mean the same object, and one that
deletes what it wrote could take it from the other. Therefore each one

1. puts a mark `running` before its first object;
2. before it deletes anything puts a mark `deleting`, then looks for other marks `running`: if
   there are any, it deletes nothing, and leaves that to `bams3 clean`;
3. before it publishes waits until there is no mark `deleting`, then looks for all of its objects;
4. if another one has published first, waits a while for that one's mark `running` to go, so that
   it may delete what it wrote.

Whoever looks in step 2 after the other's step 1 leaves its objects alone; whoever looked before it
has put its mark `deleting` before that, and step 3 waits for it. A mark whose owner was killed
while it deleted is waited for only so long.
"""

from __future__ import annotations

import secrets
import time

from bams3.reads.manifest import SPILL
from bams3.storage import Store

RUNNING = "running"
DELETING = "deleting"
MARKS = (RUNNING, DELETING)
PATIENCE = 60.0
"""Seconds after which a mark `deleting` is taken for one of a killed conversion."""
ENDING = 10.0
"""Seconds that a conversion needs at most, as a rule, from its commit to its end."""
_PAUSE = 0.2


class Marks:
    """The marks of one conversion, and those of others."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._folder = f"{SPILL}/{secrets.token_hex(8)}"
        self._own: list[str] = []
        self._seen: dict[str, float] = {}

    def begin(self) -> None:
        """Say that objects are being written; to be called before the first one is."""
        if not self._own:
            self._put(RUNNING)
            self._look()

    def settle(self) -> None:
        """Wait until no other conversion deletes anything."""
        while any(time.monotonic() - since < PATIENCE for since in self._look()):
            time.sleep(_PAUSE)

    def outwait(self) -> None:
        """Wait, `ENDING` seconds at most, until no other conversion is under way."""
        until = time.monotonic() + ENDING
        while self._others(RUNNING) and time.monotonic() < until:
            time.sleep(_PAUSE)

    def may_delete(self) -> bool:
        """Say that objects are about to be deleted, and tell whether they may be."""
        self._put(DELETING)
        return not self._others(RUNNING)

    def end(self) -> None:
        """Take the marks away."""
        self._store.delete_many(self._own)
        self._own = []

    def _put(self, kind: str) -> None:
        self._own.append(f"{self._folder}/{kind}")
        self._store.put(self._own[-1], b"")

    def _look(self) -> list[float]:
        """Return when each mark `deleting` of others was first seen."""
        now = time.monotonic()
        self._seen = {key: self._seen.get(key, now) for key in self._others(DELETING)}
        return list(self._seen.values())

    def _others(self, kind: str) -> list[str]:
        """List the marks of others."""
        keys = (entry.key for entry in self._store.list(SPILL))
        return [key for key in keys if key.endswith(f"/{kind}") and key not in self._own]
