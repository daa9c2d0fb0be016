"""Make the golden datasets of tests/format/golden: records of all kinds, in all profiles.

    python -m tests.format.make_golden [VERSION]

Writes tests/format/golden/VERSION: NAME.sam.xz, the text that samtools has for the records, and the
datasets NAME.PROFILE. The records come from here alone, and are always the same. VERSION is that of
the format which `bams3 convert` writes, unless told.

Once a version is released, its folder is never written anew: its datasets must stay readable. If
the format or a coder has changed since, choose another VERSION.
"""

from __future__ import annotations

import json
import lzma
import random
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import pysam

from tests.format import derived
from tests.format.bam import pack
from tests.format.core import INS, ON_READ, ON_REFERENCE, Cigar, D, H, M, N, P, Record, S, X

GOLDEN = Path(__file__).parent / "golden"
PROFILES = ("fast", "balanced", "small")
EQUAL = 7
ACGT = (1, 2, 4, 8)

Contigs = list[tuple[str, int]]


def main(version: str | None = None) -> None:
    """Write all datasets."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "golden"
        folder.mkdir()
        for case in CASES:
            source = write_bam(case, Path(name))
            text = pysam.samtools.view("-h", "--no-PG", str(source)).encode()
            (folder / f"{case}.sam.xz").write_bytes(lzma.compress(text, preset=9))
            for profile in PROFILES:
                convert(source, folder / f"{case}.{profile}", profile)
        found = json.loads((folder / "short.fast" / "_metadata.json").read_bytes())["version"]
        target = GOLDEN / (version or ".".join(map(str, found)))
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(folder, target)


SPLITTING = """
from bams3 import _core, cli
from bams3.reads import tables
tables.LARGE, tables.WORTH, cutter = 0, {worth}, _core.Cutter
_core.Cutter = lambda bins, reads, size: cutter(bins, 20, size)
cli.main()
"""
"""The program with tiles of 20 reads, and tables for contigs of so many tiles."""


def convert(source: Path, target: Path, profile: str) -> None:
    """Make a dataset with the program."""
    command: list[object] = [Path(sys.executable).parent / "bams3"]
    width = 4096
    if source.stem == "tables":
        worth = 1 if profile == "fast" else 2  # the unplaced records have one tile
        command, width = [sys.executable, "-c", SPLITTING.format(worth=worth)], 1024
    command += ["convert", source, target, "--quiet", "--profile", profile]
    subprocess.run([*command, "--chunk-size", str(width)], check=True)


def write_bam(case: str, folder: Path) -> Path:
    """Write the records of a case as BAM."""
    contigs, records = CASES[case]()
    records.sort(key=lambda record: (record.tid & 0xFFFFFFFF, record.pos))
    text = header(contigs)
    path = folder / f"{case}.bam"
    with pysam.BGZFile(str(path), "wb") as file:
        file.write(b"BAM\1" + struct.pack("<I", len(text)) + text)
        file.write(struct.pack("<I", len(contigs)))
        for name, length in contigs:
            raw = name.encode() + b"\0"
            file.write(struct.pack("<I", len(raw)) + raw + struct.pack("<I", length))
        for record in records:
            file.write(pack(record))
    return path


def header(contigs: Contigs) -> bytes:
    lines = ["@HD\tVN:1.6\tSO:coordinate"]
    lines += [f"@SQ\tSN:{name}\tLN:{length}" for name, length in contigs]
    lines += ["@RG\tID:one\tSM:second sample", "@RG\tID:two\tSM:first sample", "@CO\tgolden: ü"]
    return "".join(line + "\n" for line in lines).encode()


# ---- short paired reads --------------------------------------------------------------------------
def short() -> tuple[Contigs, list[Record]]:
    """Pairs as an aligner leaves them, with names of a patterned flow cell."""
    rng = random.Random(1)
    genome = [[rng.choice(ACGT) for _ in range(3000)] for _ in range(2)]
    records: list[Record] = []
    for number in range(240):
        pair = _pair(rng, genome, number)
        if number % 40 == 7:
            _unmap(pair[1], pair[0])
        if number % 60 == 11:
            records += _more_alignments(pair[0])
        if number % 40 == 23:
            for record in pair:
                record.tid, record.pos, record.cigar, record.mapq = -1, -1, [], 0
                record.flag = record.flag & 0xC0 | 13
        _mate(*pair)
        records += pair
    for record in records:
        record.tags = _aligner_tags(record, genome)
        if record.length == 100:
            record.tags += text("OQ", _levels(rng, b"#FIKMOQRSTUV", 100).decode())
    return [("chr1", 3000), ("chr2", 3000), ("chr3", 2**31 - 1)], records


def _pair(rng: random.Random, genome: list[list[int]], number: int) -> list[Record]:
    tid = rng.randrange(2)
    start, insert = rng.randrange(2500), rng.randrange(100, 400)
    name = _flow_cell_name(rng, number)
    pair = []
    for flag, pos in ((0x63, start), (0x93, min(start + insert, 2890))):
        record = Record(tid, pos, flag=flag, mapq=rng.choice((60, 60, 60, 27, 0)), name=name)
        _align(rng, record, genome[tid], rng.choice(SHORT_CIGARS))
        record.qualities = _levels(rng, bytes((2, 11, 25, 37)), record.length)
        pair.append(record)
    if number % 9 == 4:
        pair[0].flag |= 0x400
        pair[1].flag |= 0x400
    if number % 50 == 3:
        pair[0].flag |= 0x200
    return pair


SHORT_CIGARS: tuple[Cigar, ...] = (
    [(M, 100)],
    [(M, 100)],
    [(M, 100)],
    [(S, 12), (M, 88)],
    [(M, 70), (S, 30)],
    [(M, 40), (INS, 3), (M, 57)],
    [(M, 40), (D, 5), (M, 60)],
)


def _flow_cell_name(rng: random.Random, number: int) -> bytes:
    """Coordinates on the lattice of section 5.4."""
    kx = rng.randrange(3000)
    ky = 2 * rng.randrange(1000) + (kx % 2 == 0)
    x = (int(999.9947 * 2**20) + kx * int(9.0405267 * 2**20) + 2**19) >> 20
    y = (int(1015.9163 * 2**20) + ky * int(15.6572687 * 2**20) + 2**19) >> 20
    return b"A001:53:HFX:%d:%d:%d:%d" % (1 + number % 4, 1101 + number % 78, x, y)


def _align(rng: random.Random, record: Record, contig: list[int], cigar: Cigar) -> None:
    """Bases as on the contig, with some errors, and random ones elsewhere."""
    at, record.cigar, record.bases = record.pos, cigar, []
    for op, length in cigar:
        for k in range(length if op in ON_READ else 0):
            known = op in ON_REFERENCE and rng.random() > 0.01
            record.bases.append(contig[at + k] if known else rng.choice((*ACGT, 15)))
        at += length if op in ON_REFERENCE else 0
    record.length = len(record.bases)


def _levels(rng: random.Random, levels: bytes, count: int) -> bytes:
    """Qualities that follow from the two before, mostly: the mixing coder finds that out."""
    numbers = [0, 1]
    while len(numbers) < count:
        usual = (numbers[-1] * 5 + numbers[-2] * 3 + 1) % len(levels)
        numbers.append(usual if rng.random() < 0.97 else rng.randrange(len(levels)))
    return bytes(levels[number] for number in numbers)


def _unmap(record: Record, mate: Record) -> None:
    record.tid, record.pos, record.cigar, record.mapq = mate.tid, mate.pos, [], 0
    record.flag = 0x85 | record.flag & 0x600
    mate.flag = 0x49 | mate.flag & 0x600


def _more_alignments(record: Record) -> list[Record]:
    """A supplementary and a secondary alignment, the latter without bases."""
    sup = Record(1, 2000, flag=record.flag | 0x800, mapq=3, name=record.name, length=20)
    sup.cigar, sup.bases = [(H, 80), (M, 20)], record.bases[-20:]
    sup.qualities = record.qualities[-20:]
    sec = Record(0, 100, flag=record.flag | 0x100, name=record.name, cigar=[(M, 100)])
    return [sup, sec]


def _mate(first: Record, second: Record) -> None:
    for record, mate in ((first, second), (second, first)):
        record.mate, record.rnext, record.pnext = mate, mate.tid, mate.pos
    if not (first.flag | second.flag) & 4:
        first.tlen = max(first.end, second.end) - min(first.pos, second.pos)
        second.tlen = -first.tlen


def _aligner_tags(record: Record, genome: list[list[int]]) -> bytes:
    tags = text("RG", "two" if record.flag & 0x80 else "one")
    if record.mate:
        tags = text("MC", derived.cigar_text(record.mate.cigar).decode()) + tags
        tags += number("MQ", record.mate.mapq) + number("ms", derived.number(b"ms", record))
        tags += number("mc", derived.number(b"mc", record))
    if record.cigar and record.bases:
        record.laid_out = True
        record.reference = _reference(record, genome[record.tid])
        tags += text("MD", derived.text(b"MD", record).decode())
        for tag in ("NM", "AS", "XM", "XO", "XG"):
            tags += number(tag, derived.number(tag.encode(), record))
        tags += number("XS", record.pos % 90)
    return tags


def _reference(record: Record, contig: list[int]) -> list[int]:
    at, codes = record.pos, []
    for op, length in record.cigar:
        if op in ON_REFERENCE:
            codes += contig[at : at + length]
            at += length
    return codes


# ---- long reads ----------------------------------------------------------------------------------
def long() -> tuple[Contigs, list[Record]]:
    """Reads with many errors, base modifications, and one of more than 65,535 operations."""
    rng = random.Random(2)
    contig = [rng.choice(ACGT) for _ in range(60_000)]
    records = [_long_read(rng, contig, number) for number in range(14)]
    records.append(_many_operations(contig))
    return [("ctg", 60_000)], records


def _long_read(rng: random.Random, contig: list[int], number_: int) -> Record:
    record = Record(0, rng.randrange(50_000), flag=rng.choice((0, 16, 2064, 256)), mapq=60)
    cigar: Cigar = [(S, rng.randrange(1, 80))]
    for _ in range(rng.randrange(20, 60)):
        cigar += [(M, rng.randrange(1, 50)), (rng.choice((INS, D)), rng.randrange(1, 4))]
    _align(rng, record, contig, [*cigar, (M, 10)])
    record.name = b"%08x-%04x-4000-8000-%012x" % (rng.getrandbits(32), number_, rng.getrandbits(48))
    quality, out = 20, []
    for _ in range(record.length):
        quality = max(1, min(50, quality + rng.choice((-3, -1, 0, 1, 3))))
        out.append(quality)
    record.qualities = bytes(out)
    record.tags = text("MM", f"C+m?,{number_},1,0;") + array("ML", "C", [number_, 200, 7])
    record.tags += number("qs", rng.randrange(30)) + text("pi", record.name.decode())
    return record


def _many_operations(contig: list[int]) -> Record:
    record = Record(0, 5, mapq=1, name=b"many")
    record.cigar = [(M, 1), (INS, 1)] * 33_000 + [(M, 2)]
    record.bases = [contig[5 + i // 2] if i % 2 == 0 else 4 for i in range(66_001)] + [1]
    record.length = len(record.bases)
    record.qualities = b"\xff" * record.length
    record.tags = number("NM", 33_000)
    return record


# ---- spliced reads -------------------------------------------------------------------------------
def spliced() -> tuple[Contigs, list[Record]]:
    """Introns, long deletions, padding, = and X; old names and 40 levels of quality."""
    rng = random.Random(3)
    contig = [rng.choice(ACGT) for _ in range(70_000)]
    records = []
    for i in range(120):
        record = Record(0, rng.randrange(20_000), flag=rng.choice((0, 16)), mapq=255)
        _align(rng, record, contig, rng.choice(SPLICED_CIGARS))
        record.qualities = bytes(rng.randrange(2, 42) for _ in range(record.length))
        record.name = b"HWI-ST%d_0%03d:%d:%d#ACGT/1" % (i % 3, i // 2, 1100 + i % 8, i * i)
        if i % 30 == 7:
            record.name = b"SRR%06d" % (i // 2)
        record.tags = character("XS", "+-"[i % 2]) + number("NH", 1 + i % 3) + number("HI", 1)
        if i % 4:
            record.laid_out, record.reference = True, _covered_reference(record, contig)
            found = derived.differences(record)
            record.tags += text("MD", found.md.decode() if found else "5")
            record.tags += array("jI", "i", [-1] if i % 8 else [record.pos + 1, record.end])
        records.append(record)
    return [("1", 70_000)], records


def sliced() -> tuple[Contigs, list[Record]]:
    """More reads than a slice holds, of which the first reach furthest."""
    rng = random.Random(7)
    contig = [rng.choice(ACGT) for _ in range(4000)]
    records = []
    for i in range(2_100):
        cigar: Cigar = [(M, 6), (D, 500), (M, 6)] if i % 700 == 1 else [(M, 12)]
        record = Record(0, i, flag=16 * (i % 2), mapq=60, name=b"r%d" % i)
        _align(rng, record, contig, cigar)
        record.qualities = bytes([30]) * record.length
        records.append(record)
    records += [Record(-1, -1, flag=4, name=b"u%d" % i) for i in range(3)]
    return [("chr1", 4000)], records


SPLICED_CIGARS: tuple[Cigar, ...] = (
    [(M, 76)],
    [(M, 30), (N, 15_000), (M, 46)],
    [(S, 4), (M, 20), (N, 300), (M, 40), (N, 2000), (M, 12)],
    [(M, 30), (D, 10_000), (M, 46)],
    [(M, 30), (D, 10_001), (M, 46)],
    [(EQUAL, 30), (X, 1), (EQUAL, 45)],
    [(M, 30), (P, 2), (INS, 2), (D, 2), (M, 44)],
    [(H, 5), (S, 3), (M, 20), (D, 2), (INS, 1), (D, 3), (M, 52), (H, 1)],
)


def _covered_reference(record: Record, contig: list[int]) -> list[int]:
    at, codes = record.pos, []
    for op, length in record.cigar:
        if op in ON_REFERENCE and op != N and not (op == D and length > 10_000):
            codes += contig[at : at + length]
        at += length if op in ON_REFERENCE else 0
    return codes


# ---- whatever the specification allows -----------------------------------------------------------
def odd() -> tuple[Contigs, list[Record]]:
    """Every type of tag at its limits, contigs with odd names, and fields that are missing."""
    names = [
        "unmapped",
        ".",
        "..",
        "HLA*01:01:01",
        "a" * 99,
        "#" * 40,
        "a#" + "b" * 99,
        "#" + "c" * 90,
    ]
    names += ["%41", "a+b", "~", "x|y{z}", "last"]
    contigs = [(name, 5000 + i) for i, name in enumerate(names)]
    records = [_plain(tid, 100 + tid) for tid in range(len(names))]
    records += _missing_fields() + _odd_tags() + _odd_bases() + _odd_places()
    return contigs, records


def _plain(tid: int, pos: int, name: bytes = b"plain") -> Record:
    record = Record(tid, pos, mapq=9, name=name, cigar=[(M, 4)], length=4, bases=[1, 2, 4, 8])
    record.qualities = b"\x05\x06\x07\x5d"
    return record


def _missing_fields() -> list[Record]:
    """Records without name, CIGAR, SEQ, QUAL, or position; some of one name."""
    nothing = Record(-1, -1, flag=4, name=b"*")
    no_qualities = _plain(3, 50, b"*")
    no_qualities.qualities = b"\xff" * 4
    no_bases = Record(3, 51, mapq=255, name=b"no-bases", cigar=[(M, 30), (D, 3)])
    no_cigar = _plain(3, 52, b"no-cigar")
    no_cigar.cigar = []
    unmapped_there = _plain(3, 53, b"unmapped-there")
    unmapped_there.flag = 4
    no_position = _plain(3, -1, b"no-position")
    return [nothing, nothing, no_qualities, no_bases, no_cigar, unmapped_there, no_position]


def _odd_tags() -> list[Record]:
    limits = {"c": (-128, 127), "C": (0, 255), "s": (-32768, 32767), "S": (0, 65535)}
    limits |= {"i": (-(2**31), 2**31 - 1), "I": (0, 2**32 - 1), "f": (-1.5, 3.25e30)}
    sets = [
        b"".join(
            number(f"x{kind}", value, kind) for kind, pair in limits.items() for value in pair[:1]
        ),
        b"".join(number("xx", pair[1], kind) for kind, pair in list(limits.items())[:1]),
        number("xx", 7, "I") + number("NM", -3) + number("AS", 40_000, "S"),
        b"".join(array(f"b{kind}", kind, list(pair) * 2) for kind, pair in limits.items()),
        b"".join(array(f"b{kind}", kind, []) for kind in limits),
        character("XA", "!") + character("XB", "~") + text("Xe", "") + text("Xt", "a b  c"),
        b"XHH1AE301\0" + b"YHH\0" + text("MD", "4") + text("MC", "*") + number("MQ", 3),
        text("MD", "wrong") + b"MCH00\0" + text("CG", "no array") + number("NM", 1.5, "f"),
        text("RG", "one") + text("PG", "p" * 3000),
    ]
    records = [_plain(5, 10 + i, b"tags%d" % (i // 2)) for i in range(len(sets))]
    for record, tags in zip(records, sets, strict=True):
        record.tags = tags
    return records


def _odd_bases() -> list[Record]:
    """All codes of bases, against MD with N."""
    every = _plain(6, 200, b"every.base")
    every.bases, every.length, every.cigar = list(range(16)), 16, [(M, 16)]
    every.qualities = bytes(range(16))
    every.tags = text("MD", "0A4N10")
    other = _plain(6, 202, b"every.base")
    other.bases, other.length, other.cigar = [15] * 16, 16, [(S, 1), (M, 14), (S, 1)]
    other.qualities, other.flag = bytes(range(93, 77, -1)), 16
    other.tags = text("MD", "0R0N0N11") + number("NM", 3)
    return [every, other]


def _odd_places() -> list[Record]:
    """Pairs that contradict themselves, operations of length 0, and a far end."""
    first, second = _plain(7, 300, b"pair"), _plain(8, 10, b"pair")
    first.flag, second.flag = 0x41 | 0x800, 0x81 | 0x20
    first.tlen, second.tlen = 2**31 - 1, -(2**31)
    first.rnext, first.pnext, second.rnext, second.pnext = 3, 2**31 - 2, -1, 77
    third = _plain(8, 11, b"pair")
    third.flag = 0x41
    empty = _plain(8, 12, b"n" * 254)
    empty.cigar, empty.flag = [(M, 0), (N, 9), (M, 4), (P, 0)], 0xFFFF & ~4
    far = _plain(9, 2**31 - 20, b"far")
    far.cigar = [(M, 2), (N, 2**28 - 1), (M, 2)]
    return [first, second, third, empty, far]


# ---- tags of BAM ---------------------------------------------------------------------------------
def number(tag: str, value: float, kind: str = "") -> bytes:
    if not kind:
        kind = "C" if 0 <= value < 256 else "s" if -32768 <= value < 32768 else "i"
    return tag.encode() + kind.encode() + struct.pack("<" + CODES[kind], value)


def array(tag: str, kind: str, values: list[float]) -> bytes:
    head = tag.encode() + b"B" + kind.encode() + struct.pack("<I", len(values))
    return head + struct.pack(f"<{len(values)}{CODES[kind]}", *values)


def text(tag: str, value: str) -> bytes:
    return tag.encode() + b"Z" + value.encode() + b"\0"


def character(tag: str, value: str) -> bytes:
    return tag.encode() + b"A" + value.encode()


CODES = {"c": "b", "C": "B", "s": "h", "S": "H", "i": "i", "I": "I", "f": "f"}
CASES = {
    "short": short,
    "long": long,
    "spliced": spliced,
    "odd": odd,
    "tables": short,
    "sliced": sliced,
}


if __name__ == "__main__":
    main(*sys.argv[1:])
