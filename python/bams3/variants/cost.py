"""What calling on AWS Lambda costs: before, from the size of the request; after, from receipts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bams3.variants.task import Receipt

PRICES_OF = "us-east-1, x86, 2025-11"
GB_SECOND = 1.66667e-5
INVOCATION = 2e-7
SECONDS_A_MIB = 0.75
"""Seconds to call a MiB of compressed reads: three times what simulated reads at 30x took."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What calling may cost.

    Attributes:
        memory_mb: Memory of the function.
        most: Dollars; None for no limit.
    """

    memory_mb: int = 1769
    most: float | None = None

    def of(self, seconds: float, invocations: int) -> float:
        """Return the dollars for so many seconds of the function."""
        return seconds * self.memory_mb / 1024 * GB_SECOND + invocations * INVOCATION

    def estimate(self, compressed_bytes: float, shards: int) -> float:
        """Return about how many dollars a request will cost."""
        return self.of(compressed_bytes / (1 << 20) * SECONDS_A_MIB, shards)

    def allows(self, done: Iterable[Receipt], running: int) -> bool:
        """Whether one more shard may begin beside those that run, by the mean of those done."""
        if self.most is None:
            return True
        times = [receipt.seconds for receipt in done]
        if not times:
            return True
        mean = sum(times) / len(times)
        return self.of(sum(times) + (running + 1) * mean, len(times) + running + 1) <= self.most
