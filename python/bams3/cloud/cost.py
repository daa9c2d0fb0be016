"""What a deployment costs: lines of amount times price, which sum to what is said."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bams3.cloud.deployment import Settings
from bams3.variants.cost import GB_SECOND, INVOCATION, guess
from bams3.variants.job import MOST_BYTES

SCRATCH_GB_SECOND = 3.09e-8
"""Of the function's disk beyond 512 MB."""
S3_GET, S3_PUT = 4e-7, 5e-6
S3_GB_MONTH = 0.023
TABLE_WRITE = 6.25e-7
TABLE_GB_MONTH = 0.25
LOG_GB = 0.50

_GETS_A_SHARD, _PUTS_A_SHARD = 52, 4
_LOG_BYTES_A_SHARD = 600
_COPIES = 1
"""Items of a call; the indexes by gene and quality are small."""
_BYTES_A_CALL = 500


@dataclass(frozen=True, slots=True)
class Workload:
    """What is to be called.

    Attributes:
        samples: How many.
        gib: GiB of compressed reads of each.
        calls: Calls of each.
    """

    samples: int = 1
    gib: float = 30.0
    calls: int = 4_700_000


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a bill.

    Attributes:
        what: What is paid.
        amount: How much of it.
        unit: In which unit.
        price: Dollars for one.
    """

    what: str
    amount: float
    unit: str
    price: float

    @property
    def dollars(self) -> float:
        """Dollars, to a hundredth of a cent, as shown."""
        return round(self.amount * self.price, 4)


def total(lines: Iterable[Line]) -> float:
    """Return the sum of the lines as they are shown."""
    return round(sum(line.dollars for line in lines), 4)


def calling(settings: Settings, load: Workload) -> list[Line]:
    """Return what calling and loading costs once."""
    size = load.samples * load.gib * (1 << 30)
    shards = max(1.0, size / MOST_BYTES)
    seconds = guess(size, shards)
    scratch = max(0, settings.scratch_mb - 512) / 1024 * seconds
    price = GB_SECOND[settings.architecture]
    return [
        Line("Lambda, compute", seconds * settings.memory_mb / 1024, "GB-s", price),
        Line("Lambda, invocations", shards, "requests", INVOCATION),
        Line("Lambda, scratch disk", scratch, "GB-s", SCRATCH_GB_SECOND),
        Line("S3, reading", shards * _GETS_A_SHARD, "requests", S3_GET),
        Line("S3, writing and listing", shards * _PUTS_A_SHARD, "requests", S3_PUT),
        Line("CloudWatch, logs", shards * _LOG_BYTES_A_SHARD / 1e9, "GB", LOG_GB),
        Line("DynamoDB, loading calls", load.samples * load.calls * _COPIES, "writes", TABLE_WRITE),
    ]


def keeping(load: Workload) -> list[Line]:
    """Return what keeping reads and calls costs each month."""
    reads = load.samples * load.gib * (1 << 30) / 1e9
    calls = load.samples * load.calls * _COPIES * _BYTES_A_CALL / 1e9
    return [
        Line("S3, reads", reads, "GB", S3_GB_MONTH),
        Line("DynamoDB, calls", calls, "GB", TABLE_GB_MONTH),
    ]
