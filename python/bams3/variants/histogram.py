"""Counts of values in bins, and of places along contigs, in memory that does not grow.

Where there are too many bins, neighbours are joined: bins become twice as wide.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MOST_BINS = 4096
MOST_WINDOWS = 100_000
LARGEST_WINDOW = 1 << 31
"""Bases: no contig is longer."""
MOST_SETS = 10_000


@dataclass(slots=True)
class Histogram:
    """Counts of values that are not negative, by bin.

    Attributes:
        counts: Values in bin n, which holds [n * width, (n + 1) * width).
        width: Width of a bin.
        count: All values that there were.
        missing: How often there was none.
        total: Their sum.
        least: The least value; None where there is none.
        greatest: The greatest.
    """

    counts: Counter[int] = field(default_factory=Counter)
    width: int = 1
    count: int = 0
    missing: int = 0
    total: float = 0.0
    least: float | None = None
    greatest: float | None = None

    def add(self, value: float | None, times: int = 1) -> None:
        """Count a value, or that there is none."""
        if value is None or value < 0:
            self.missing += times
            return
        self.counts[int(value // self.width)] += times
        self.count += times
        self.total += value * times
        if self.least is None or value < self.least:
            self.least = value
        if self.greatest is None or value > self.greatest:
            self.greatest = value
        while len(self.counts) > MOST_BINS:
            self.counts, self.width = _joined(self.counts), self.width * 2

    @property
    def mean(self) -> float | None:
        """The mean; None of nothing."""
        return self.total / self.count if self.count else None

    def quantile(self, share: float) -> int | None:
        """Return where the bin begins below which this share of the values lies."""
        seen = 0
        for number in sorted(self.counts):
            seen += self.counts[number]
            if seen >= share * self.count:
                return number * self.width
        return None

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain values; bins are named by where they begin."""
        return {
            "count": self.count, "missing": self.missing, "mean": self.mean, "least": self.least,
            "median": self.quantile(0.5), "greatest": self.greatest, "width": self.width,
            "counts": {n * self.width: self.counts[n] for n in sorted(self.counts)},
        }  # fmt: skip


def _joined(counts: Mapping[int, int]) -> Counter[int]:
    joined: Counter[int] = Counter()
    for number, count in counts.items():
        joined[number // 2] += count
    return joined


@dataclass(slots=True)
class Density:
    """Counts of 0-based positions in windows of one size along all contigs.

    Attributes:
        contigs: By contig in the order of their coming, the counts in window n, which holds
            [n * window, (n + 1) * window).
        window: Bases in a window.
    """

    contigs: dict[str, Counter[int]] = field(default_factory=dict)
    window: int = 1000
    _windows: int = 0

    def add(self, contig: str, pos: int) -> None:
        """Count a position."""
        counts = self.contigs.get(contig)
        if counts is None:
            counts = self.contigs[contig] = Counter()
        number = pos // self.window
        self._windows += number not in counts
        counts[number] += 1
        if self._windows > MOST_WINDOWS and self.window < LARGEST_WINDOW:
            self._widen()

    def _widen(self) -> None:
        self.contigs = {contig: _joined(counts) for contig, counts in self.contigs.items()}
        self.window *= 2
        self._windows = sum(map(len, self.contigs.values()))

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain values; windows are named by their 0-based beginning."""
        contigs = {
            contig: {n * self.window: counts[n] for n in sorted(counts)}
            for contig, counts in self.contigs.items()
        }
        return {"window": self.window, "contigs": contigs}


@dataclass(slots=True)
class Shared:
    """How many variants any two samples have in common. Samples are numbered."""

    samples: int
    _sets: Counter[tuple[int, ...]] = field(default_factory=Counter)
    _pairs: Counter[tuple[int, int]] = field(default_factory=Counter)

    def add(self, carriers: tuple[int, ...]) -> None:
        """Count a variant of these samples, which are sorted."""
        self._sets[carriers] += 1
        if len(self._sets) > MOST_SETS:
            self._fold()

    def _fold(self) -> None:
        for carriers, count in self._sets.items():
            for place, one in enumerate(carriers):
                for other in carriers[place:]:
                    self._pairs[one, other] += count
        self._sets.clear()

    def matrix(self) -> list[list[int]]:
        """Return the counts; on the diagonal are those of each sample."""
        self._fold()
        numbers = range(self.samples)
        return [[self._pairs[min(a, b), max(a, b)] for b in numbers] for a in numbers]
