"""Sorted fragments of bins that did not fit in memory, written out and merged again.

A spill object holds blocks of many fragments, each block a zstd frame of whole records. The blocks
of one fragment follow each other, in one object or several.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import NamedTuple

from bams3 import _core
from bams3.reads.manifest import SPILL
from bams3.reads.pipeline import ordered
from bams3.storage import Store

BLOCK = 256 << 10
OBJECT = 16 << 20
FAN_IN = 100
_LEVEL = 1
_READ_AHEAD = 2 * BLOCK
_MAX_RAW = 1 << 32


class Block(NamedTuple):
    """Where some records of a fragment lie, compressed."""

    key: str
    start: int
    end: int
    raw: int


class Spill:
    """The fragments of one conversion, below `_spill/<random id>/` of a store."""

    def __init__(self, store: Store, pool: Executor, uploads: Executor, workers: int) -> None:
        self._store, self._pool, self._uploads = store, pool, uploads
        self._ahead = 2 * workers
        self._prefix = f"{SPILL}/{secrets.token_hex(8)}"
        self._fragments: dict[int, list[list[Block]]] = defaultdict(list)
        self._keys: list[str] = []
        self._data: list[bytes] = []
        self._size = 0
        self._upload: Future[str] | None = None
        self.bytes_written = 0

    def bins(self) -> list[int]:
        """Return the bins that have fragments."""
        return sorted(self._fragments)

    def raw_size(self, bin: int) -> int:
        """Return the size of the records of a bin that were spilled."""
        return sum(block.raw for run in self._fragments.get(bin, ()) for block in run)

    def write(self, sorter: _core.Sorter, bins: list[int]) -> None:
        """Move bins of the sorter into fragments."""
        blocks = self._sorted_blocks(sorter, bins)
        for bin, data, raw in ordered(self._pool, _packed, blocks, self._ahead):
            self._append(self._fragments[bin][-1], data, raw)
        self.flush()

    def _sorted_blocks(self, sorter: _core.Sorter, bins: list[int]) -> Iterator[tuple[int, bytes]]:
        taken = ordered(self._pool, lambda bin: (bin, _take(sorter, bin)), bins, 2)
        for bin, fragment in taken:
            self._fragments[bin].append([])
            while block := fragment.next_block(BLOCK):
                sorter.recycle(fragment)
                yield bin, block
            sorter.recycle(fragment)

    def _append(self, run: list[Block], data: bytes, raw: int) -> None:
        if self._size == 0:
            self._keys.append(f"{self._prefix}/{len(self._keys):06d}.spill")
        run.append(Block(self._keys[-1], self._size, self._size + len(data), raw))
        self._data.append(data)
        self._size += len(data)
        if self._size >= OBJECT:
            self._put()

    def _put(self) -> None:
        self._wait()
        if not self._data:
            return
        data, self._data, self._size = b"".join(self._data), [], 0
        self.bytes_written += len(data)
        self._upload = self._uploads.submit(self._store.put, self._keys[-1], data)

    def _wait(self) -> None:
        if self._upload is not None:
            self._upload.result()
            self._upload = None

    def flush(self) -> None:
        """Write out what is still in memory."""
        self._put()
        self._wait()

    def reduce(self) -> None:
        """Merge groups of fragments until no bin has more than `FAN_IN` of them."""
        for bin in self.bins():
            while len(self._fragments[bin]) > FAN_IN:
                self._reduce(bin)

    def _reduce(self, bin: int) -> None:
        runs = self._fragments[bin]
        groups = [runs[at : at + FAN_IN] for at in range(0, len(runs), FAN_IN)]
        merged: list[list[Block]] = []
        for group in groups:
            merged.append([])
            blocks = ((bin, block) for block in self._merge(group, []))
            for _, data, raw in ordered(self._pool, _packed, blocks, self._ahead):
                self._append(merged[-1], data, raw)
        self.flush()
        self._fragments[bin] = merged

    def merged(self, bin: int, fragment: _core.Fragment | None) -> Iterator[bytes]:
        """Yield the records of a bin in order: its fragments, then what is in memory."""
        runs = self._fragments.get(bin, [])
        rest = _blocks(fragment) if fragment is not None else iter(())
        return self._merge(runs, [rest]) if runs else rest

    def _merge(self, runs: list[list[Block]], last: list[Iterator[bytes]]) -> Iterator[bytes]:
        readers = [_Reader(run) for run in runs]
        sources: list[Iterator[bytes]] = [reader.blocks() for reader in readers]
        sources += last
        merger = _core.Merger(len(sources))
        while True:
            if needs := merger.needs():
                self._fetch([readers[i] for i in needs if i < len(readers)])
                _feed(merger, sources, needs)
            if (records := merger.take(2 * BLOCK)) is not None:
                yield records
            elif not merger.needs():
                return

    def _fetch(self, readers: list[_Reader]) -> None:
        """Read on in several fragments at the same time."""
        dry = [reader for reader in readers if reader.is_dry()]
        spans = [reader.next_span() for reader in dry]
        for reader, data in zip(dry, self._store.get_many(spans) if spans else [], strict=True):
            reader.give(data)

    def delete(self) -> None:
        """Delete all spill objects."""
        if self._upload is not None:
            self._upload.exception()
        if self._keys:
            self._store.delete_many(self._keys)


class _Reader:
    """Reads one fragment, a few blocks at a time."""

    def __init__(self, run: list[Block]) -> None:
        self._run, self._next = run, 0
        self._span: list[Block] = []
        self._ready: list[bytes] = []

    def is_dry(self) -> bool:
        return not self._ready and self._next < len(self._run)

    def next_span(self) -> tuple[str, int, int]:
        """Choose the next blocks, at least one, all of one object."""
        first = self._run[self._next]
        size, self._span = 0, []
        for block in self._run[self._next :]:
            if self._span and (block.key != first.key or size + block.raw > _READ_AHEAD):
                break
            self._span.append(block)
            size += block.raw
        self._next += len(self._span)
        return first.key, first.start, self._span[-1].end

    def give(self, data: bytes) -> None:
        start = self._span[0].start
        view = [data[block.start - start : block.end - start] for block in self._span]
        self._ready = view[::-1]

    def blocks(self) -> Iterator[bytes]:
        while self._ready:
            yield _core.zstd_decompress(self._ready.pop(), _MAX_RAW)


def _feed(merger: _core.Merger, sources: list[Iterator[bytes]], needs: list[int]) -> None:
    for number in needs:
        block = next(sources[number], None)
        if block is None:
            merger.finish(number)
        else:
            merger.feed(number, block)


def _take(sorter: _core.Sorter, bin: int) -> _core.Fragment:
    fragment = sorter.take_sorted(bin)
    fragment.sort()
    return fragment


def _packed(block: tuple[int, bytes]) -> tuple[int, bytes, int]:
    bin, records = block
    return bin, _core.zstd_compress(records, _LEVEL), len(records)


def _blocks(fragment: _core.Fragment) -> Iterator[bytes]:
    while block := fragment.next_block(2 * BLOCK):
        fragment.release()
        yield block


def take_bin(sorter: _core.Sorter, spill: Spill | None, bin: int, most: int) -> Iterable[bytes]:
    """Return the records of a bin in order: at once where they are at most so many bytes."""
    fragment = _take(sorter, bin)
    size = fragment.size + (spill.raw_size(bin) if spill else 0)
    blocks = spill.merged(bin, fragment) if spill else _blocks(fragment)
    return list(blocks) if size <= most else blocks
