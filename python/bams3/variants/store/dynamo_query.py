"""A query of DynamoDB: which bins are asked, and what of them is seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from bams3.errors import ChangedError
from bams3.variants.store import Selection
from bams3.variants.store.catalog import Catalog, Layer
from bams3.variants.store.dynamo_items import (
    BIN,
    LANE,
    Bin,
    band,
    bin_key,
    call_of,
    directory_key,
    gene_key,
    position_key,
    unpacked,
)
from bams3.variants.store.dynamo_table import Table
from bams3.variants.store.pages import Place, place_of
from bams3.variants.vcf import Call

WINDOW = 32
"""Partitions that are asked at a time."""
NEAR = 64
"""Bins of a region that are asked without looking into the directory."""
_LAST = "9" * 19


@dataclass(frozen=True)
class Reading:
    """One query, by one state of the catalogue.

    Attributes:
        table: The table.
        catalog: What is to be seen in it.
        layers: Those that are asked.
        selection: What is asked.
        after: Where to go on.
        is_current: Tells whether generations are all there still.
    """

    table: Table
    catalog: Catalog
    layers: Sequence[Layer]
    selection: Selection
    after: Place | None
    is_current: Callable[[], bool]

    def calls(self) -> Iterator[Call]:
        """Yield the calls.

        Raises:
            ChangedError: A generation was removed before all of it was read.
        """
        steps = self._steps()
        while window := self._window(steps):
            answers = self.table.map(self._ask, [ask for step in window for ask in step])
            found = [[call for _ in step for call in next(answers)] for step in window]
            if not self.is_current():  # then it may have been read while it was removed
                raise ChangedError(
                    f"{self.table.url}: calls were replaced while they were read", "ask again"
                )
            for calls in found:
                yield from sorted(filter(self._is_next, calls), key=place_of)

    def _window(self, steps: Iterator[list[Ask]]) -> list[list[Ask]]:
        """Take bins until there are enough partitions to ask."""
        window: list[list[Ask]] = []
        while sum(map(len, window)) < WINDOW and (step := next(steps, None)) is not None:
            window.append(step)
        return window

    def _steps(self) -> Iterator[list[Ask]]:
        """Yield what is to be asked, bin by bin, in order."""
        plans = [(layer, self._bins(layer)) for layer in self.layers]
        for place in sorted({at for _, bins in plans for at in bins}, key=self._order):
            if self.after is None or self._order(place) >= self._order(_bin_of(self.after)):
                yield [
                    Ask(layer, lane, place)
                    for layer, bins in plans
                    if place in bins
                    for lane in self._lanes(layer)
                ]

    def _order(self, place: Bin) -> tuple[int, int]:
        return self._numbers[place[0]], place[1]

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.catalog.header.contigs)}

    def _lanes(self, layer: Layer) -> list[int]:
        names = self.selection.samples or layer.samples
        return sorted({layer.numbers[name] // LANE for name in names if name in layer.numbers})

    # ---- which bins ------------------------------------------------------------------------------
    def _bins(self, layer: Layer) -> set[Bin]:
        """Return the bins that may have calls."""
        region = self.selection.region
        if region is None:
            return self._listed(layer)
        if region.contig not in self._numbers or not self._lanes(layer):
            return set()
        start, end = region.interval
        first, last = start // BIN, (min(end, self._length(region.contig)) - 1) // BIN
        if last - first < NEAR:
            return {(region.contig, at) for at in range(first, last + 1)}
        inside = {
            (name, at)
            for name, at in self._listed(layer)
            if name == region.contig and first <= at <= last
        }
        return inside | {(region.contig, first)}

    def _length(self, contig: str) -> int:
        return self.catalog.header.contigs[contig] or int(_LAST)

    def _listed(self, layer: Layer) -> set[Bin]:
        """Return bins from the indexes, or from the directory."""
        directory = directory_key(layer.generation)
        found: list[set[Bin]] = []
        if self.selection.gene is not None:
            item = self.table.get((gene_key(layer.generation, self.selection.gene), "bins"))
            found.append(_bins(unpacked(item) if item else []))
        if self.selection.min_qual is not None:
            low = f"quality#{band(self.selection.min_qual):03d}"
            items = self.table.query(directory, low, "quality$")
            found.append({place for item in items for place in _bins(unpacked(item))})
        if not found:
            items = self.table.query(directory, "part#", "part$")
            rows = (unpacked(item)["rows"] for item in items)
            found.append({(name, at) for part in rows for _, name, at in part})
        return set.intersection(*found)

    # ---- what of them ----------------------------------------------------------------------------
    def _ask(self, ask: Ask) -> list[Call]:
        """Return the calls of a bin that are seen and selected."""
        region, place = self.selection.region, ask.place
        low, high = "0", _LAST
        if region is not None:
            # Into the first bin others reach; they stand before those that begin there.
            low = "-" if place[1] == region.start // BIN else "0"
            high = position_key(min(region.interval[1], int(_LAST)))
        if self.after is not None and place == _bin_of(self.after):
            low = position_key(self.after[1])
        pk = bin_key(ask.layer.generation, ask.lane, place)
        calls = map(call_of, self.table.query(pk, low, high))
        return [c for c in calls if self.selection.holds(c) and self.catalog.sees(ask.layer, c)]

    def _is_next(self, call: Call) -> bool:
        if self.after is None:
            return True
        numbers = self._numbers
        ours, last = place_of(call), self.after
        return (numbers[ours[0]], *ours[1:]) > (numbers[last[0]], *last[1:])


@dataclass(frozen=True, slots=True)
class Ask:
    """A partition that is asked."""

    layer: Layer
    lane: int
    place: Bin


def _bins(pairs: list[list[object]]) -> set[Bin]:
    return {(str(name), int(str(at))) for name, at in pairs}


def _bin_of(place: Place) -> Bin:
    return place[0], place[1] // BIN
