"""Alignments made for tests of conversion, and the order in which samtools puts them."""

from __future__ import annotations

import random
from pathlib import Path

import pysam

from bams3 import _core
from bams3.reads.manifest import Manifest, chunk_key
from bams3.storage import Store, open_store

CONTIGS = [
    ("chr1", 3_000_000),
    ("HLA-A*01:01", 400),
    ("a/b", 900),
    ("unmapped", 50_000),
    ("..", 10),
]


def header(order: str = "unsorted", contigs: list[tuple[str, int]] = CONTIGS) -> str:
    lines = [f"@HD\tVN:1.6\tSO:{order}"]
    lines += [f"@SQ\tSN:{name}\tLN:{length}" for name, length in contigs]
    return "\n".join([*lines, "@RG\tID:x\tSM:child", "@CO\tverbatim \t text", ""])


def line(
    name: str, contig: str = "chr1", position: int = 1, flag: int = 0, length: int = 40
) -> str:
    cigar = "*" if contig == "*" or flag & 4 else f"{length}M"
    fields = (name, flag, contig, position, 60, cigar, "*", 0, 0, "ACGTN" * (length // 5), "*")
    return "\t".join(map(str, fields)) + "\tRG:Z:x\n"


def shuffled(count: int, seed: int = 1, contigs: list[tuple[str, int]] = CONTIGS) -> str:
    """Reads in no order, with many ties, placed unmapped reads and unplaced ones."""
    chance = random.Random(seed)
    lines = []
    for number in range(count):
        name, length = chance.choice(contigs)
        position = chance.randrange(1, min(length, 500) if chance.random() < 0.5 else length)
        flag = chance.choice([0, 16, 4, 20, 256, 2064])
        if chance.random() < 0.1:
            name, position, flag = "*", 0, 4
        size = chance.choice([20, 40, 150, 3000])
        lines.append(line(f"read{number}", name, position, flag, size))
    return "".join(lines)


def write_sam(folder: Path, text: str, name: str = "in.sam") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def alignments(sam: str | bytes) -> list[str]:
    text = sam if isinstance(sam, str) else sam.decode()
    return [line for line in text.splitlines() if not line.startswith("@")]


def samtools_sorted(path: str, folder: Path) -> list[str]:
    out = str(folder / "sorted.by.samtools.bam")
    pysam.sort("--no-PG", "-o", out, path)
    return alignments(pysam.view(out))


def manifest_of(url: str) -> Manifest:
    return Manifest.from_bytes(open_store(url).get("_metadata.json"))


def dataset(url: str) -> tuple[_core.Header, list[str]]:
    """Read a whole dataset: its header, and its records as SAM lines."""
    store, manifest = open_store(url), manifest_of(url)
    key = f"_header.{manifest.header_digest:016x}.zst"
    text = _core.zstd_decompress(store.get(key), manifest.header_size)
    head = _core.Header(text, manifest.index.contigs)
    return head, alignments(_core.format_sam(records_of(store, manifest), head))


def objects(url: str) -> dict[str, bytes]:
    store = open_store(url)
    return {entry.key: store.get(entry.key) for entry in store.list()}


def records_of(store: Store, manifest: Manifest) -> bytes:
    """Decode all tiles of a dataset."""
    out, index = [], manifest.index
    for number, chunk in enumerate(index.chunks):
        data = store.get(chunk_key(index.contigs, chunk))
        assert len(data) == index.size(number)
        for place in index.tiles(number):
            core, rest = (data[at : at + size] for at, size in (place.core, place.rest))
            out.append(_core.decode_tile(core, rest))
    return b"".join(out)
