"""The sorter, merger and cutter of the core."""

from __future__ import annotations

from pathlib import Path

import pytest

from bams3 import _core
from bams3.errors import InputError
from tests.reads import made

BLOCK = 10_000


def parsed(text: str) -> tuple[_core.Header, list[_core.Records]]:
    head = _core.Header(made.header().encode())
    lines = text.splitlines(keepends=True)
    blocks = ["".join(lines[at : at + 100]).encode() for at in range(0, len(lines), 100)]
    return head, [_core.parse_sam(block, head, 1) for block in blocks]


def read_out(fragment: _core.Fragment) -> list[bytes]:
    blocks = []
    while block := fragment.next_block(BLOCK):
        fragment.release()
        blocks.append(block)
    return blocks


def sort(head: _core.Header, blocks: list[_core.Records], width: int) -> list[bytes]:
    bins = _core.Bins(head.contigs, width)
    sorter = _core.Sorter(bins)
    for block in blocks:
        sorter.add(_core.partition(block, bins))
    assert sorter.held >= sum(len(block.data) for block in blocks)
    out = [block for bin in sorter.filled() for block in read_out(sorter.take_sorted(bin))]
    assert sorter.held == 0
    return out


@pytest.mark.parametrize("width", [1, 100, 1 << 20])
def test_bins_in_turn_give_the_order_of_samtools(width: int, tmp_path: Path) -> None:
    text = made.shuffled(2000)
    head, blocks = parsed(text)
    expected = made.samtools_sorted(made.write_sam(tmp_path, made.header() + text), tmp_path)
    out = b"".join(sort(head, blocks, width))
    assert made.alignments(_core.format_sam(out, head)) == expected


def test_merging_fragments_is_sorting_it_all() -> None:
    head, blocks = parsed(made.shuffled(1500))
    fragments = [sort(head, [block], 1 << 30) for block in blocks]
    merger = _core.Merger(len(fragments))
    out = []
    while True:
        for number in merger.needs():
            if fragments[number]:
                merger.feed(number, fragments[number].pop(0))
            else:
                merger.finish(number)
        if (records := merger.take(BLOCK)) is not None:
            out.append(records)
        elif not merger.needs():
            break
    assert b"".join(out) == b"".join(sort(head, blocks, 1 << 30))


def test_the_cutter_loses_nothing_and_keeps_limits() -> None:
    head, blocks = parsed(made.shuffled(1500))
    ordered = sort(head, blocks, 1000)
    cutter = _core.Cutter(_core.Bins(head.contigs, 1000), 50, 20_000)
    tiles = [tile for block in ordered for tile in cutter.push(block)] + cutter.finish()
    assert b"".join(records for _, records in tiles) == b"".join(ordered)
    assert all(cut.reads == 1 or len(records) <= 20_000 for cut, records in tiles)
    assert max(cut.reads for cut, _ in tiles) <= 50
    unplaced = [cut for cut, _ in tiles if cut.last[0] < 0]
    assert unplaced[0].opens
    assert all(cut.first[0] < 0 for cut in unplaced)


def test_the_cutter_refuses_disorder() -> None:
    head, blocks = parsed(made.line("b", position=200) + made.line("a", position=100))
    cutter = _core.Cutter(_core.Bins(head.contigs, 1000), 50, 20_000)
    with pytest.raises(InputError, match=r"record 2 \(a\) at chr1:100 comes after chr1:200"):
        cutter.push(blocks[0].data)


def test_a_contig_beyond_the_header_is_refused() -> None:
    _, blocks = parsed(made.line("a", "unmapped", 5))
    with pytest.raises(InputError, match="contig number 3"):
        _core.partition(blocks[0], _core.Bins([("chr1", 100)], 1000))
