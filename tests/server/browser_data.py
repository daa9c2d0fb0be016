"""A small genome, reads of it, variants and genes, in all the formats that the page draws."""

from __future__ import annotations

import random
from pathlib import Path

import pysam

from bams3.reads.convert import convert

CONTIGS = {"chr1": 60_000, "chr2": 20_000, "HLA-A*01:01": 3_000}
VARIANTS = list(range(5_000, 55_000, 500))
GENES = {"ALPHA1": (10_000, 14_000), "ALPHA2": (20_000, 21_000), "BETA": (30_000, 38_000)}


def write_all(folder: Path) -> None:
    """Write ref/ and data/ with s1.{bam,cram,bams3,vcf.gz} and their indexes."""
    chance = random.Random(11)
    (folder / "ref").mkdir()
    (folder / "data" / "run").mkdir(parents=True)
    genome = {name: "".join(chance.choices("ACGT", k=n)) for name, n in CONTIGS.items()}
    _write_reference(folder / "ref" / "genome.fa", genome)
    _write_reads(folder / "data" / "run" / "s1.bam", folder / "ref" / "genome.fa", genome, chance)
    _write_variants(folder / "data" / "run" / "s1.calls.vcf", genome)
    lines = [
        f"{'1' if name == 'BETA' else 'chr1'}\tx\tgene\t{start + 1}\t{end}\t.\t+\t.\t"
        f"ID=gene:{name.lower()};Name={name};Alias=OLD{name}"
        for name, (start, end) in GENES.items()
    ]
    (folder / "ref" / "genes.gff3").write_text("##gff-version 3\n" + "\n".join(lines) + "\n")
    (folder / "data" / "run" / "targets.bed").write_text("chr1\t12000\t12500\tt1\n")


def _write_reference(path: Path, genome: dict[str, str]) -> None:
    path.write_text("".join(f">{name}\n{bases}\n" for name, bases in genome.items()))
    pysam.faidx(str(path))


def _write_reads(bam: Path, fasta: Path, genome: dict[str, str], chance: random.Random) -> None:
    """Reads of 100 bases, 12 deep, with the first allele at every variant in half of them."""
    header = pysam.AlignmentHeader.from_dict(
        {
            "HD": {"VN": "1.6", "SO": "coordinate"},
            "SQ": [{"SN": name, "LN": len(bases)} for name, bases in genome.items()],
            "RG": [{"ID": "g", "SM": "s1"}],
        }
    )
    with pysam.AlignmentFile(str(bam), "wb", header=header) as out:
        for tid, (name, bases) in enumerate(genome.items()):
            starts = sorted(chance.choices(range(len(bases) - 100), k=len(bases) * 12 // 100))
            for number, start in enumerate(starts):
                read = pysam.AlignedSegment(header)
                read.query_name = f"{name[:4]}.{number}"
                read.flag, read.reference_id, read.reference_start = number % 2 * 16, tid, start
                read.mapping_quality, read.cigarstring = 60, "100M"
                read.query_sequence = _mutated(bases[start : start + 100], start, number)
                read.query_qualities = pysam.qualitystring_to_array("F" * 100)
                read.set_tag("RG", "g")
                out.write(read)
    pysam.index(str(bam))
    pysam.view("-C", "-T", str(fasta), "-o", str(bam.with_suffix(".cram")), str(bam),
               catch_stdout=False)  # fmt: skip
    pysam.index(str(bam.with_suffix(".cram")))
    convert(str(bam), str(bam.with_suffix(".bams3")), profile="fast", chunk_size=1 << 14)


def _mutated(bases: str, start: int, number: int) -> str:
    for place in VARIANTS:
        if start <= place < start + 100 and number % 2:
            at = place - start
            bases = bases[:at] + other(bases[at]) + bases[at + 1 :]
    return bases


def other(base: str) -> str:
    return {"A": "C", "C": "G", "G": "T", "T": "A"}[base]


def _write_variants(path: Path, genome: dict[str, str]) -> None:
    lines = ["##fileformat=VCFv4.2"]
    lines += [f"##contig=<ID={name},length={len(bases)}>" for name, bases in genome.items()]
    lines += ['##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">']
    lines += ["#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\ts1"]
    for place in VARIANTS:
        base = genome["chr1"][place]
        lines.append(f"chr1\t{place + 1}\t.\t{base}\t{other(base)}\t50\tPASS\t.\tGT\t0/1")
    path.write_text("\n".join(lines) + "\n")
    pysam.tabix_index(str(path), preset="vcf")
