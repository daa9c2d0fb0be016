"""Uploads in the background are bounded."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from bams3.reads.writer import Uploads
from bams3.storage import Data
from bams3.storage.local import LocalStore


def test_uploads_hold_no_more_than_64_mib() -> None:
    """One more waits until the store has taken enough of those before it."""
    gate, held, most = threading.Event(), 0, 0

    class Slow(LocalStore):
        def put(self, key: str, data: Data) -> str:
            gate.wait(20)
            return ""

    with ThreadPoolExecutor(4) as pool:
        uploads = Uploads(Slow("/nowhere"), pool, lambda: None)

        def write() -> None:
            nonlocal held
            for number in range(5):
                uploads.put(str(number), bytes(20 << 20))
                held += 1

        writer = threading.Thread(target=write)
        writer.start()
        writer.join(0.5)
        most = held
        gate.set()
        writer.join()
        uploads.finish()
    assert (most, held) == (3, 5)
