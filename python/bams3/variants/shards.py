"""Cut a request into shards of about equal work.

A *piece* is an interval of a contig, 0-based half-open. A shard owns pieces: of what a caller
finds, it keeps the records whose POS lies in them. The shards cover the request exactly once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, pairwise, repeat
from typing import NamedTuple

from bams3.errors import RegionError, UsageError
from bams3.regions import Region, by_contig, intersect, merge_intervals
from bams3.variants.index import Weight

SNAP = 0.2
"""A shard may be so much smaller or larger than meant, to end where there are no reads."""
PER_BASE = 0.002
"""Bytes that a base without reads counts for: looking at it costs time, too."""


class Piece(NamedTuple):
    """An interval of a contig."""

    contig: str
    start: int
    end: int

    @property
    def region(self) -> Region:
        """The same as a region."""
        return Region(self.contig, self.start, self.end)


Shard = tuple[Piece, ...]


class _Atom(NamedTuple):
    """A stretch of even weight."""

    piece: Piece
    weight: float
    empty: bool


def request(regions: Iterable[Region], contigs: Mapping[str, int]) -> list[Piece]:
    """Return what is asked for, in the order of the contigs, each base once; none: everything.

    Raises:
        RegionError: A region lies outside of its contig, or names one that is not there.
    """
    regions = list(regions) or [Region(name) for name, length in contigs.items() if length]
    for region in regions:
        _check(region, contigs)
    wanted = by_contig(regions)
    return [
        Piece(name, start, min(end, contigs[name]))
        for name in contigs
        for start, end in wanted.get(name, ())
        if start < min(end, contigs[name])
    ]


def _check(region: Region, contigs: Mapping[str, int]) -> None:
    if region.contig not in contigs:
        raise RegionError(
            f"there is no contig {region.contig!r}",
            f"the contigs begin with {', '.join([*contigs][:5])}",
        )
    length = contigs[region.contig]
    if region.start >= length or (region.end or 0) > length:
        raise RegionError(
            f"region {region} lies outside of {region.contig}, which has {length:,} bases"
        )


def plan(
    pieces: Sequence[Piece],
    weights: Callable[[str], Sequence[Weight]],
    *,
    sizes: Sequence[float] = (),
    bases: int | None = None,
) -> list[Shard]:
    """Cut pieces into shards, in order.

    Args:
        pieces: The request, as `request` gives it.
        weights: The index of the alignments: bytes of reads by stretch of a contig.
        sizes: About so many bytes for each shard, in order. Shards end at stretches without reads
            where some are near, so that there may be one less or more.
        bases: Instead, shards of one piece of at most so many bases.

    Raises:
        UsageError: Neither or both of `sizes` and `bases` are given, or one is not positive.
    """
    if bool(sizes) == (bases is not None) or min(*sizes, 1 if bases is None else bases, 1) <= 0:
        raise UsageError("the sizes of shards in bytes or in bases must be given, and positive")
    if bases is not None:
        return [(part,) for piece in pieces for part in _steps(piece, bases)]
    atoms = [atom for piece in pieces for atom in _atoms(piece, weights(piece.contig))]
    shards = list(_filled(atoms, sizes))
    check_cover(pieces, shards)
    return shards


def bytes_of(pieces: Sequence[Piece], weights: Callable[[str], Sequence[Weight]]) -> float:
    """Return about how many bytes of reads pieces hold."""
    return sum(atom.weight for piece in pieces for atom in _atoms(piece, weights(piece.contig)))


def _steps(piece: Piece, bases: int) -> Iterator[Piece]:
    """Cut at multiples of `bases`, so that another request has its cuts at the same places."""
    start = piece.start
    while start < piece.end:
        end = min((start // bases + 1) * bases, piece.end)
        yield Piece(piece.contig, start, end)
        start = end


def _atoms(piece: Piece, weights: Sequence[Weight]) -> Iterator[_Atom]:
    """Yield the stretches of a piece: those of the index, and those between them."""
    at = piece.start
    for start, end, size in weights:
        if end <= at or start >= piece.end:
            continue
        if start > at:
            yield _atom(piece.contig, at, start, 0.0)
            at = start
        stop = min(end, piece.end)
        yield _atom(piece.contig, at, stop, size * (stop - at) / (end - start))
        at = stop
    if at < piece.end:
        yield _atom(piece.contig, at, piece.end, 0.0)


def _atom(contig: str, start: int, end: int, size: float) -> _Atom:
    return _Atom(Piece(contig, start, end), size + (end - start) * PER_BASE, not size)


def _filled(atoms: Sequence[_Atom], sizes: Sequence[float]) -> Iterator[Shard]:
    """Fill one shard after the other; the last one takes what is not worth its own."""
    targets = chain(sizes, repeat(sizes[-1]))
    target = next(targets)
    held: list[Piece] = []
    weight, after = 0.0, sum(atom.weight for atom in atoms)
    for atom in atoms:
        if held and atom.empty and weight > (1 - SNAP) * target and after > SNAP * target:
            yield _joined(held)
            held, weight, target = [], 0.0, next(targets)
        after -= atom.weight
        piece, left = atom.piece, atom.weight
        slack = 1 + SNAP if atom.empty else 1.0
        while weight + left > slack * target and weight + left + after > (1 + SNAP) * target:
            piece, left, part = _cut(piece, left, target - weight)
            if part is not None:
                held.append(part)
            if held:
                yield _joined(held)
            held, weight, target = [], 0.0, next(targets)
            if piece.start == piece.end:
                break
        if piece.start < piece.end:
            held.append(piece)
            weight += left
    if held:
        yield _joined(held)


def _cut(piece: Piece, weight: float, room: float) -> tuple[Piece, float, Piece | None]:
    """Take so much weight off the front of a piece: the rest, its weight, and what was taken."""
    bases = piece.end - piece.start
    taken = min(bases, max(int(bases * max(room, 0.0) / weight), 0 if room <= 0 else 1))
    middle = piece.start + taken
    rest = Piece(piece.contig, middle, piece.end)
    part = Piece(piece.contig, piece.start, middle) if taken else None
    return rest, weight * (bases - taken) / bases, part


def _joined(pieces: Sequence[Piece]) -> Shard:
    """Join pieces that touch."""
    joined: list[Piece] = []
    for piece in pieces:
        if joined and joined[-1].contig == piece.contig and joined[-1].end == piece.start:
            joined[-1] = Piece(piece.contig, joined[-1].start, piece.end)
        else:
            joined.append(piece)
    return tuple(joined)


def halves(shard: Shard) -> list[Shard]:
    """Cut a shard into two of equal bases; one that is a single base stays whole."""
    total = sum(piece.end - piece.start for piece in shard)
    if total < 2:
        return [shard]
    left: list[Piece] = []
    right: list[Piece] = []
    room = total // 2
    for contig, start, end in shard:
        middle = start + min(room, end - start)
        room -= middle - start
        if start < middle:
            left.append(Piece(contig, start, middle))
        if middle < end:
            right.append(Piece(contig, middle, end))
    return [tuple(left), tuple(right)]


def check_cover(pieces: Sequence[Piece], shards: Iterable[Shard]) -> None:
    """Check that shards cover the request exactly once.

    Raises:
        UsageError: A base is in no shard, or in two, or was not asked for.
    """
    owned = sorted(piece for shard in shards for piece in shard)
    for one, other in pairwise(owned):
        if one.contig == other.contig and other.start < one.end:
            raise UsageError(f"{one.region} and {other.region} are called twice")
    asked, found = _intervals(pieces), _intervals(owned)
    for contig in {**asked, **found}:
        if asked.get(contig) != found.get(contig):
            raise UsageError(f"the shards do not cover what is asked for of {contig}")


def without(pieces: Sequence[Piece], done: Iterable[Piece]) -> list[Piece]:
    """Return what is left of pieces."""
    taken = _intervals(done)
    left = []
    for contig, start, end in pieces:
        at = start
        for first, last in intersect([(start, end)], taken.get(contig, [])):
            if first > at:
                left.append(Piece(contig, at, first))
            at = last
        if at < end:
            left.append(Piece(contig, at, end))
    return left


def _intervals(pieces: Iterable[Piece]) -> dict[str, list[tuple[int, int]]]:
    found: dict[str, list[tuple[int, int]]] = {}
    for contig, start, end in pieces:
        found.setdefault(contig, []).append((start, end))
    return {contig: merge_intervals(spans) for contig, spans in found.items()}
