"""Shards cover the request exactly once, whatever is asked for and however it is cut."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bams3.errors import RegionError, UsageError
from bams3.regions import Region
from bams3.variants.index import Weight
from bams3.variants.job import LAST_BYTES, LEAST_BYTES, MOST_BYTES, shard_sizes
from bams3.variants.shards import (
    Piece,
    bytes_of,
    check_cover,
    halves,
    plan,
    request,
    without,
)

CONTIGS = {"a": 10_000, "HLA-A*01:01": 500, "b": 3_000}
regions = st.builds(
    lambda name, a, b: Region(name, min(a, b) % CONTIGS[name], min(max(a, b) + 1, CONTIGS[name])),
    st.sampled_from([*CONTIGS]),
    st.integers(0, 9_998),
    st.integers(0, 9_998),
).filter(lambda region: region.start < (region.end or 0))


@st.composite
def weights(draw: st.DrawFn) -> dict[str, list[Weight]]:
    """Windows of reads in order, with gaps between some of them."""
    found = {}
    for name, length in CONTIGS.items():
        edges = sorted(draw(st.sets(st.integers(0, length), max_size=12)))
        spans = pairwise(edges)
        sizes = [0.0, 1.0, 50.0, 1e6]
        made = [Weight(a, b, draw(st.sampled_from(sizes))) for a, b in spans]
        found[name] = [weight for weight in made if weight.bytes]
    return found


@given(st.lists(regions, max_size=8), weights(), st.integers(1, 40))
def test_shards_of_equal_weight_cover_the_request_once(
    asked: list[Region], known: dict[str, list[Weight]], count: int
) -> None:
    pieces = request(asked, CONTIGS)
    total = bytes_of(pieces, known.__getitem__)
    shards = plan(pieces, known.__getitem__, sizes=[total / count] * count)
    _covered_once(pieces, shards)
    assert len(shards) <= 2 * count + len(pieces)


@given(
    st.lists(regions, max_size=8), weights(), st.lists(st.floats(10, 1e6), min_size=1, max_size=9)
)
def test_shards_of_any_weight_cover_the_request_once(
    asked: list[Region], known: dict[str, list[Weight]], sizes: list[float]
) -> None:
    pieces = request(asked, CONTIGS)
    _covered_once(pieces, plan(pieces, known.__getitem__, sizes=sizes))


def test_shards_have_the_weights_that_are_asked_for() -> None:
    known = [Weight(at, at + 10, 10.0) for at in range(0, 10_000, 10)]
    sizes = [6_000, 2_000, 1_000, 500, 500]
    shards = plan([Piece("a", 0, 10_000)], lambda _: known, sizes=sizes)
    found = [bytes_of(shard, lambda _: known) for shard in shards]
    assert found == pytest.approx([*sizes[:4], 520], rel=0.01)


def test_a_shard_that_ends_in_a_gap_is_followed_by_one_of_the_next_size() -> None:
    known = [Weight(0, 1_000, 1_000.0), Weight(5_000, 6_000, 300.0)]
    shards = plan([Piece("a", 0, 10_000)], lambda _: known, sizes=[1_050, 100])
    found = [bytes_of(shard, lambda _: known) for shard in shards]
    assert found == pytest.approx([1_002, 100, 100, 118], rel=0.01)


def test_a_gap_is_not_cut_to_make_a_shard_a_little_smaller() -> None:
    """Neither is it where it had to be cut before: its rest of 10 goes whole into a shard of 9."""
    known = [Weight(7_500, 10_000, 45.0)]  # and 15 for the bases before
    shards = plan([Piece("a", 0, 10_000)], lambda _: known, sizes=[5, 9])
    assert [shard[-1].end for shard in shards[:2]] == [2_500, 7_500]


@given(st.floats(1, 1e12), st.integers(1, 64))
def test_sizes_of_shards_are_few_and_end_small(total: float, workers: int) -> None:
    sizes = shard_sizes(total, workers)
    assert sum(sizes) == pytest.approx(total)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] <= MOST_BYTES
    assert sizes[-1] <= LAST_BYTES
    assert sizes[-1] >= LEAST_BYTES or len(sizes) == 1
    rounds = len(sizes) / workers
    assert rounds <= total / workers / MOST_BYTES + 5


@given(st.lists(regions, max_size=8), st.integers(1, 5_000))
def test_shards_of_so_many_bases_cover_the_request_once(asked: list[Region], bases: int) -> None:
    pieces = request(asked, CONTIGS)
    shards = plan(pieces, lambda _: [], bases=bases)
    _covered_once(pieces, shards)
    assert all(piece.end - piece.start <= bases for (piece,) in shards)


@given(st.lists(regions, min_size=1, max_size=5))
def test_halves_and_what_is_left_cover_a_shard_once(asked: list[Region]) -> None:
    pieces = request(asked, CONTIGS)
    parts = halves(tuple(pieces))
    _covered_once(pieces, parts)
    assert without(pieces, parts[0]) == ([*parts[1]] if len(parts) == 2 else [])


def _covered_once(pieces: list[Piece], shards: list[tuple[Piece, ...]]) -> None:
    """Count every base, without the code under test."""
    asked = [(p.contig, at) for p in pieces for at in range(p.start, p.end)]
    owned = [(p.contig, at) for shard in shards for p in shard for at in range(p.start, p.end)]
    assert sorted(owned) == sorted(asked)
    assert len(set(asked)) == len(asked)
    check_cover(pieces, shards)


def test_weights_balance_and_cuts_fall_where_there_are_no_reads() -> None:
    known = [Weight(0, 1_000, 900.0), Weight(1_000, 2_000, 100.0), Weight(5_000, 6_000, 1_000.0)]
    one, other = plan([Piece("a", 0, 10_000)], lambda _: known, sizes=[1_010, 1_010])
    assert one[0].end == other[0].start
    assert 2_000 <= one[0].end <= 5_000


@pytest.mark.parametrize(
    "how", [{}, {"sizes": [1.0], "bases": 1}, {"sizes": [5.0, 0.0]}, {"bases": 0}]
)
def test_sizes_that_make_no_sense_are_refused(how: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="must be given, and positive"):
        plan([Piece("a", 0, 10_000)], lambda _: [], **how)


@pytest.mark.parametrize(
    "wrong",
    [
        [(Piece("a", 0, 5),)],
        [(Piece("a", 0, 6),), (Piece("a", 5, 10),)],
        [(Piece("a", 0, 10),), (Piece("b", 0, 1),)],
        [],
    ],
)
def test_shards_that_do_not_cover_are_refused(wrong: list[tuple[Piece, ...]]) -> None:
    with pytest.raises(UsageError):
        check_cover([Piece("a", 0, 10)], wrong)


@pytest.mark.parametrize("region", [Region("a", 10_000), Region("a", 5, 10_001), Region("c")])
def test_regions_outside_of_the_contigs_are_refused(region: Region) -> None:
    with pytest.raises(RegionError):
        request([region], CONTIGS)
