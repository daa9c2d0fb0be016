"""What calling on AWS Lambda costs: before, from the size of the request; after, from receipts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from bams3.errors import CallError
from bams3.variants.task import Receipt

PRICES_OF = "us-east-1, list prices without free tiers, 2025-11"
GB_SECOND = {"x86_64": 1.66667e-5, "arm64": 1.33334e-5}
INVOCATION = 2e-7
MEMORY_MB = 1769
"""Memory at which a function has one whole CPU."""
SECONDS_A_MIB = 0.75
"""Seconds to call a MiB of compressed reads: three times what simulated reads at 30x took."""
SECONDS_A_SHARD = 1.0
"""Seconds more for each shard: indexes, the reference, starting the caller."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a request will cost, about.

    Attributes:
        dollars: All of it, shards that are done included.
        spent: The part of it that is spent.
        shards: Shards to call.
        seconds: Of the function, for these.
        measured: Whether the pace is that of shards of this job, and not a guess.
    """

    dollars: float
    spent: float
    shards: int
    seconds: float
    measured: bool


@dataclass(frozen=True, slots=True)
class Budget:
    """What calling may cost.

    Attributes:
        memory_mb: Memory of the function.
        most: Dollars; None for no limit.
        told: Is told the estimate before the first shard.
        architecture: x86_64 or arm64.
    """

    memory_mb: int = MEMORY_MB
    most: float | None = None
    told: Callable[[Estimate], None] | None = None
    architecture: str = "x86_64"

    def of(self, seconds: float, invocations: int) -> float:
        """Return the dollars for so many seconds of the function."""
        gigabytes = self.memory_mb / 1024
        return seconds * gigabytes * GB_SECOND[self.architecture] + invocations * INVOCATION

    def begin(
        self, to_do: float, shards: int, done: Iterable[Receipt] = (), bytes_done: float = 0.0
    ) -> Estimate:
        """Estimate a request, tell it, and refuse one that would cost too much.

        Args:
            to_do: Compressed bytes of the reads that are to be called.
            shards: How many shards they make.
            done: Receipts of an earlier run of the job: its pace replaces the guess.
            bytes_done: Compressed bytes of the reads of these.

        Raises:
            CallError: The estimate is beyond the limit.
        """
        receipts = [*done]
        took = sum(receipt.seconds for receipt in receipts)
        measured = bytes_done > 0
        seconds = to_do * took / bytes_done if measured else guess(to_do, shards)
        spent = self.of(took, len(receipts))
        dollars = spent + self.of(seconds, shards)
        found = Estimate(dollars, spent, shards, seconds, measured)
        if self.told is not None:
            self.told(found)
        if self.most is not None and shards and dollars > self.most:
            raise CallError(
                f"about {money(dollars)} are expected, and ${self.most:g} are allowed",
                f"--max-cost {dollars * 1.1:.2g}: shards that are done may still stop it",
            )
        return found

    def allows(self, done: Iterable[Receipt], running: int) -> bool:
        """Whether one more shard may begin beside those that run, by the mean of those done."""
        if self.most is None:
            return True
        times = [receipt.seconds for receipt in done]
        if not times:
            return True
        mean = sum(times) / len(times)
        return self.of(sum(times) + (running + 1) * mean, len(times) + running + 1) <= self.most


def guess(compressed_bytes: float, shards: float) -> float:
    """Return about how many seconds of the function a request will take."""
    return compressed_bytes / (1 << 20) * SECONDS_A_MIB + shards * SECONDS_A_SHARD


def money(dollars: float) -> str:
    """Return dollars for people: of small amounts three digits, whatever their size."""
    return f"${dollars:,.2f}" if dollars >= 1 else f"${dollars:.3g}"
