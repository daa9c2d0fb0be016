"""Genomes with planted variants, reads placed on them without an aligner, and plain bcftools."""

from __future__ import annotations

import random
import subprocess
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import pysam

from bams3.reads.convert import convert

READ = 150
BASES = "ACGT"
COMPLEMENT = str.maketrans("ACGT", "TGCA")
RUN = """
import sys, pysam.bcftools
getattr(pysam.bcftools, sys.argv[1])(*sys.argv[2:], catch_stdout=False)
"""


@dataclass(frozen=True)
class Kind:
    """How reads lie: contigs, depth, insert size, bases between variants."""

    contigs: dict[str, int]
    depth: float
    insert: int
    spacing: int


KINDS = {
    "normal": Kind({"chr1": 40_000, "HLA-A*01:01": 10_000, "chr2": 10_000}, 30, 400, 700),
    "dense": Kind({"chr1": 20_000, "chr2": 10_000}, 10, 220, 90),
    "deep": Kind({"chr1": 4_000, "chr2": 2_000}, 700, 400, 200),
}


@dataclass(frozen=True)
class Variant:
    contig: str
    pos: int
    ref: str
    alt: str
    haplotypes: tuple[bool, bool]


class Haplotype:
    """A sequence, and where in the reference its bases are; inserted ones are at -1."""

    def __init__(self, reference: str, variants: Sequence[Variant]) -> None:
        parts: list[str] = []
        self.places: list[int] = []
        at = 0
        for v in variants:
            parts += [reference[at : v.pos], v.alt]
            self.places += range(at, v.pos)
            kept = min(len(v.ref), len(v.alt))
            self.places += [*range(v.pos, v.pos + kept), *[-1] * (len(v.alt) - kept)]
            at = v.pos + len(v.ref)
        self.bases = "".join([*parts, reference[at:]])
        self.places += range(at, len(reference))
        pairs = enumerate(zip(self.places, self.places[1:], strict=False), 1)
        self.breaks = [n for n, (a, b) in pairs if b != a + 1]

    def cigar(self, start: int, end: int) -> str:
        """Return the CIGAR of [start, end) of the haplotype."""
        if bisect_right(self.breaks, start) == bisect_left(self.breaks, end):
            return f"{end - start}M"
        ops: list[list[object]] = []
        last = self.places[start] - 1
        for place in self.places[start:end]:
            if place >= 0 and place > last + 1:
                ops.append(["D", place - last - 1])
            letter = "I" if place < 0 else "M"
            if ops and ops[-1][0] == letter:
                ops[-1][1] = int(str(ops[-1][1])) + 1
            else:
                ops.append([letter, 1])
            last = place if place >= 0 else last
        return "".join(f"{count}{letter}" for letter, count in ops)


@dataclass(frozen=True)
class Sample:
    """A folder with ref.fa, x.bam, x.cram, x.bams3 (all indexed), truth.vcf.gz."""

    folder: Path
    kind: Kind

    @property
    def reference(self) -> str:
        return str(self.folder / "ref.fa")

    @property
    def bam(self) -> str:
        return str(self.folder / "x.bam")

    @property
    def truth(self) -> str:
        return str(self.folder / "truth.vcf.gz")

    @cached_property
    def cram(self) -> str:
        made = str(self.folder / "x.cram")
        pysam.view("-C", "-T", self.reference, "-o", made, self.bam, catch_stdout=False)
        pysam.index(made)
        return made

    @cached_property
    def bams3(self) -> str:
        made = str(self.folder / "x.bams3")
        convert(self.bam, made, chunk_size=1 << 14)
        return made

    def source(self, kind: str) -> str:
        return str(getattr(self, kind))


def make_sample(folder: Path, kind: Kind, seed: int = 1, name: str = "child") -> Sample:
    """Write everything."""
    rng = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    genome = {c: "".join(rng.choices(BASES, k=size)) for c, size in kind.contigs.items()}
    write_fasta(folder / "ref.fa", genome)
    variants = {c: plant(rng, c, bases, kind.spacing) for c, bases in genome.items()}
    write_truth(folder, genome, [v for vs in variants.values() for v in vs], name)
    write_bam(folder / "x.bam", genome, variants, kind, rng, name)
    return Sample(folder, kind)


def write_fasta(path: Path, genome: dict[str, str]) -> None:
    with open(path, "w") as out:
        for name, bases in genome.items():
            out.write(f">{name}\n")
            out.writelines(f"{bases[i : i + 60]}\n" for i in range(0, len(bases), 60))
    pysam.faidx(str(path))


def plant(rng: random.Random, contig: str, bases: str, spacing: int) -> list[Variant]:
    """Plant variants, and one near each multiple of 5 kb, where shards will be cut."""
    places = {n + rng.randint(-8, 8) for n in range(5000, len(bases) - 500, 5000)}
    place = 300
    while place < len(bases) - 500:
        places.add(place)
        place += int(spacing * rng.uniform(0.5, 1.5))
    found, free = [], 0
    for place in sorted(places):
        if place < free:
            continue
        near = place % 5000 <= 8 or place % 5000 >= 4992
        found.append(variant(rng, contig, bases, place, near))
        free = place + len(found[-1].ref) + 20
    return found


def variant(rng: random.Random, contig: str, bases: str, at: int, indel: bool) -> Variant:
    carried = rng.choice([(True, True), (True, False), (False, True)])
    ref = bases[at]
    if not indel and rng.random() < 0.8:
        return Variant(contig, at, ref, rng.choice(BASES.replace(ref, "")), carried)
    if rng.random() < 0.5:
        more = "".join(rng.choices(BASES, k=rng.randint(1, 12)))
        return Variant(contig, at, ref, ref + more, carried)
    return Variant(contig, at, bases[at : at + rng.randint(2, 15)], ref, carried)


def write_truth(folder: Path, genome: dict[str, str], variants: list[Variant], name: str) -> None:
    lines = ["##fileformat=VCFv4.2"]
    lines += [f"##contig=<ID={c},length={len(bases)}>" for c, bases in genome.items()]
    lines += ['##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">']
    lines += [f"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\t{name}"]
    for v in variants:
        genotype = "|".join(str(int(carried)) for carried in v.haplotypes)
        lines.append(f"{v.contig}\t{v.pos + 1}\t.\t{v.ref}\t{v.alt}\t.\tPASS\t.\tGT\t{genotype}")
    text = folder / "truth.vcf"
    text.write_text("\n".join(lines) + "\n")
    pysam.tabix_index(str(text), preset="vcf", force=True)


def write_bam(
    path: Path,
    genome: dict[str, str],
    variants: dict[str, list[Variant]],
    kind: Kind,
    rng: random.Random,
    name: str,
) -> None:
    """Write pairs, placed as the truth has them, with sequencing errors."""
    text = "@HD\tVN:1.6\tSO:coordinate\n"
    text += "".join(f"@SQ\tSN:{c}\tLN:{len(bases)}\n" for c, bases in genome.items())
    text += f"@RG\tID:a\tSM:{name}\n" if name else ""
    header = pysam.AlignmentHeader.from_text(text)
    rows: list[tuple[int, int, str]] = []
    for tid, (contig, bases) in enumerate(genome.items()):
        carried = [[v for v in variants[contig] if v.haplotypes[n]] for n in (0, 1)]
        haplotypes = [Haplotype(bases, vs) for vs in carried]
        for number in range(int(kind.depth * len(bases) / READ / 2)):
            pair = draw(rng, haplotypes[rng.randrange(2)], kind.insert)
            if pair is not None:
                group = "\tRG:Z:a" if name else ""
                rows += sam_lines(pair, f"{tid}.{number}", contig, tid, group)
    with pysam.AlignmentFile(str(path), "wb", header=header) as out:
        for _, _, line in sorted(rows, key=lambda row: row[:2]):
            out.write(pysam.AlignedSegment.fromstring(line, header))
    pysam.index(str(path))


Read = tuple[int, str, str, str]


def draw(rng: random.Random, haplotype: Haplotype, insert: int) -> tuple[Read, Read] | None:
    size = max(READ, int(rng.gauss(insert, insert / 10)))
    if len(haplotype.bases) <= size:
        return None
    start = rng.randrange(len(haplotype.bases) - size)
    found = []
    for at in (start, start + size - READ):
        if haplotype.places[at] < 0 or haplotype.places[at + READ - 1] < 0:
            return None
        qualities = rng.choices("F:,", (90, 8, 2), k=READ)
        bases = [
            rng.choice(BASES) if rng.random() < {"F": 0.0005, ":": 0.005, ",": 0.05}[q] else b
            for b, q in zip(haplotype.bases[at : at + READ], qualities, strict=True)
        ]
        cigar = haplotype.cigar(at, at + READ)
        found.append((haplotype.places[at], cigar, "".join(bases), "".join(qualities)))
    return found[0], found[1]


def sam_lines(
    pair: tuple[Read, Read], name: str, contig: str, tid: int, group: str
) -> list[tuple[int, int, str]]:
    (one, _, *_), (two, _, *_) = pair
    lines = []
    for (pos, cigar, bases, qualities), mate, flag in ((pair[0], two, 99), (pair[1], one, 147)):
        fields = (name, flag, contig, pos + 1, 60, cigar, "=", mate + 1, 0, bases, qualities)
        lines.append((tid, pos, "\t".join(map(str, fields)) + group))
    return lines


# ---- plain bcftools ------------------------------------------------------------------------------
def plain(reference: str, *bams: str, gvcf: str = "", more: Sequence[str] = ()) -> list[str]:
    """Return the records of one run of bcftools over whole files, normalised and sorted.

    They are kept by the names of the files: what is written anew needs another name.
    """
    return [*_plain(reference, bams, gvcf, tuple(more))]


@cache
def _plain(reference: str, bams: Sequence[str], gvcf: str, more: Sequence[str]) -> list[str]:
    pileup = ["mpileup", "-d", "1000000", "-f", reference, "-a", "FORMAT/AD,FORMAT/DP", "-Ou"]
    call = ["call", "-m", *(["-g", gvcf] if gvcf else ["-v"]), *more, "-Ou"]
    norm = ["norm", "-f", reference, "-c", "e", "-m", "-any", "-d", "exact", "-Ou"]
    stages = [[*pileup, *bams], call, *([] if gvcf else [norm]), ["sort", "-Ov", "-"]]
    return records(piped(stages).decode())


def piped(stages: Sequence[Sequence[str]]) -> bytes:
    """Run commands of the bcftools of pysam, each reading what the one before writes."""
    before, running = None, []
    for stage in stages:
        command = [sys.executable, "-c", RUN, *stage]
        child = subprocess.Popen(
            command, stdin=before, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        if before is not None:
            before.close()
        before = child.stdout
        running.append(child)
    assert before is not None
    out = before.read()
    before.close()
    assert [child.wait() for child in running] == [0] * len(running)
    return out


def records(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith("#")]


def read_lines(path: str | Path) -> list[str]:
    """Return the records of a VCF or BCF file as text."""
    told = pysam.set_verbosity(0)
    with pysam.VariantFile(str(path)) as file:
        pysam.set_verbosity(told)
        return [str(record).rstrip("\n") for record in file]
