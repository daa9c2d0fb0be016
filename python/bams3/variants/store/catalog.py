"""Which generations of calls a table has, and which of their calls are to be seen.

Each load is a *layer*: a generation of calls of some samples, everywhere or in some regions. A call
is seen unless a later layer has its sample and the place where it begins. The catalogue is one
object that is replaced at once, so a new layer shows up, and hides others, in one step.
"""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from bams3.errors import StorageError
from bams3.regions import MAX_END, Intervals, Region, by_contig, intersect, merge_intervals
from bams3.variants.store.header import Header
from bams3.variants.vcf import Call

ABANDONED = 86_400.0
"""Seconds without a sign of life after which a load counts as dead."""


@dataclass(frozen=True)
class Layer:
    """One load: the name of its generation, samples in order, and where it holds.

    Attributes:
        generation: Its name.
        samples: Names.
        scope: Where; None for everywhere.
    """

    generation: str
    samples: tuple[str, ...]
    scope: Mapping[str, Sequence[tuple[int, int]]] | None

    @classmethod
    def over(
        cls, generation: str, header: Header, scope: Sequence[Region] | None, known: Header
    ) -> Layer:
        """Make a layer; a region to the end of a contig goes on beyond it."""
        if scope is None:
            return cls(generation, header.samples, None)
        ends = {name: length or MAX_END for name, length in known.contigs.items()}
        places: Intervals = {
            contig: [(start, MAX_END if end >= ends[contig] else end) for start, end in spans]
            for contig, spans in by_contig(scope).items()
        }
        return cls(generation, header.samples, places)

    @cached_property
    def numbers(self) -> Mapping[str, int]:
        """The samples' places in the layer."""
        return {name: number for number, name in enumerate(self.samples)}

    def has(self, sample: str, contig: str, pos: int) -> bool:
        """Whether it tells what a sample has at a position."""
        if sample not in self.numbers or self.scope is None:
            return sample in self.numbers
        return any(start <= pos < end for start, end in self.scope.get(contig, ()))


@dataclass(frozen=True)
class Catalog:
    """All that is known of a table's calls.

    Attributes:
        version: Counts changes.
        header: Of all calls ever loaded.
        layers: From the first load to the last.
        pending: Loads under way, with the time of their last sign of life.
        dropped: Generations that are being removed.
    """

    version: int = 0
    header: Header = field(default_factory=Header)
    layers: tuple[Layer, ...] = ()
    pending: Mapping[str, float] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()

    @cached_property
    def _by_sample(self) -> dict[str, list[Layer]]:
        found: dict[str, list[Layer]] = {}
        for layer in self.layers:
            for sample in layer.samples:
                found.setdefault(sample, []).append(layer)
        return found

    def sees(self, layer: Layer, call: Call) -> bool:
        """Whether no later layer hides a call of this one."""
        layers = self._by_sample[call.sample]
        if layers[-1] is layer:
            return True
        later = layers[layers.index(layer) + 1 :]
        return not any(other.has(call.sample, call.contig, call.pos) for other in later)

    def is_whole(self, layer: Layer) -> bool:
        """Whether no later layer has any of the same samples."""
        return all(self._by_sample[sample][-1] is layer for sample in layer.samples)

    # ---- changes -----------------------------------------------------------------------------
    def begun(self, generation: str) -> Catalog:
        """Return it with a sign of life of a load."""
        return replace(self, pending={**self.pending, generation: time.time()})

    def committed(self, layer: Layer, header: Header, name: str) -> Catalog:
        """Return it with a new layer, without those that are hidden then.

        Args:
            layer: The layer.
            header: Its header.
            name: That of the table, for messages.

        Raises:
            StorageError: The load was taken for dead.
            InputError: Contigs have other lengths here.
        """
        if layer in self.layers:  # an answer was lost, and the request sent again
            return self
        if layer.generation not in self.pending:
            raise StorageError(
                f"{name}: the load was taken for dead, and what it wrote was removed",
                "load the calls again",
            )
        joined = self.header.joined(header, name)
        alive = time.time() - ABANDONED
        layers = (*self.layers, layer)
        kept = tuple(
            one
            for number, one in enumerate(layers)
            if not _hidden(one, layers[number + 1 :], joined)
        )
        waiting = {g: seen for g, seen in self.pending.items() if g != layer.generation}
        dead = [generation for generation, seen in waiting.items() if seen < alive]
        gone = [one.generation for one in layers if one not in kept]
        return replace(
            self, header=joined, layers=kept, dropped=(*self.dropped, *gone, *dead),
            pending={g: seen for g, seen in waiting.items() if g not in dead},
        )  # fmt: skip

    def abandoned(self, generation: str) -> Catalog:
        """Return it with a load given up, to be removed; one that was committed stays."""
        if generation not in self.pending:
            return self
        pending = {g: seen for g, seen in self.pending.items() if g != generation}
        return replace(self, pending=pending, dropped=(*self.dropped, generation))

    def without(self, generation: str) -> Catalog:
        """Return it without a generation that has been removed."""
        return replace(self, dropped=tuple(g for g in self.dropped if g != generation))

    # ---- as bytes ------------------------------------------------------------------------------
    def pack(self) -> bytes:
        """Return it as bytes, without the version."""
        h = self.header
        values = {
            "contigs": dict(h.contigs), "samples": h.samples, "definitions": dict(h.definitions),
            "layers": [[one.generation, one.samples, one.scope] for one in self.layers],
            "pending": dict(self.pending), "dropped": self.dropped,
        }  # fmt: skip
        return zlib.compress(json.dumps(values).encode(), 9)

    @classmethod
    def unpack(cls, data: bytes, version: int) -> Catalog:
        """Return what `pack` has written."""
        values: dict[str, Any] = json.loads(zlib.decompress(data))
        header = Header(values["contigs"], tuple(values["samples"]), values["definitions"])
        layers = tuple(Layer(g, tuple(names), _scope(s)) for g, names, s in values["layers"])
        return cls(version, header, layers, values["pending"], tuple(values["dropped"]))


def _scope(values: dict[str, list[list[int]]] | None) -> Intervals | None:
    if values is None:
        return None
    return {contig: [(start, end) for start, end in spans] for contig, spans in values.items()}


def _hidden(layer: Layer, later: Sequence[Layer], header: Header) -> bool:
    """Whether nothing of a layer is to be seen."""
    whole: Intervals = {contig: [(0, MAX_END)] for contig in header.contigs}
    wanted = whole if layer.scope is None else layer.scope
    return all(_covered(sample, wanted, later) for sample in layer.samples)


def _covered(
    sample: str, wanted: Mapping[str, Sequence[tuple[int, int]]], later: Sequence[Layer]
) -> bool:
    over = [layer.scope for layer in later if sample in layer.numbers]
    if any(scope is None for scope in over):
        return True
    for contig, spans in wanted.items():
        found = merge_intervals(span for scope in over if scope for span in scope.get(contig, ()))
        if intersect(spans, found) != [*spans]:
            return False
    return True
