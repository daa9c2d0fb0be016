"""A VCF file with all that is awkward, and what bcftools finds in it."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bams3.variants.vcf import Call, unphased

SAMPLES = ("child", "mother", "a#b:c")
CONTIGS = {"chr1": 600_000, "HLA-A*01:01": 20_000, "b#7:1": 250_000, "empty": 1_000}
LONG = "".join(random.Random(7).choices("ACGT", k=5_000))
_HEADER = """\
##fileformat=VCFv4.2
##FILTER=<ID=LowQual,Description="Weak">
##FILTER=<ID=q10,Description="Weaker">
##INFO=<ID=DP,Number=1,Type=Integer,Description="Depth">
##INFO=<ID=AC,Number=A,Type=Integer,Description="Alleles">
##INFO=<ID=AN,Number=1,Type=Integer,Description="Alleles called">
##INFO=<ID=VDB,Number=1,Type=Float,Description="Bias">
##INFO=<ID=INDEL,Number=0,Type=Flag,Description="An indel">
##INFO=<ID=END,Number=1,Type=Integer,Description="End">
##ALT=<ID=DEL,Description="Deletion">
##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">
##FORMAT=<ID=PL,Number=G,Type=Integer,Description="Likelihoods">
##FORMAT=<ID=DP,Number=1,Type=Integer,Description="Depth">
##FORMAT=<ID=AD,Number=R,Type=Integer,Description="Depths">
"""
_COLUMNS = "#CHROM POS ID REF ALT QUAL FILTER INFO FORMAT"
_GENOTYPES = ("0/0", "0/1", "1/1", "1|0", "0|1", "./.", "./1", "1", "0/0", "0/1")

Key = tuple[str, str, int, str, str, str]
"""Sample, contig, 0-based position, alleles, genotype without phase."""


def key_of(call: Call) -> Key:
    return call.sample, call.contig, call.pos, call.ref, call.alt, unphased(call.genotype)


def write_vcf(
    path: Path, seed: int = 1, samples: Sequence[str] = SAMPLES, count: int = 400
) -> Path:
    """Write records, sorted; some at the borders of bins, some reaching over them."""
    rng = random.Random(seed)
    lines = [_HEADER.rstrip()]
    lines += [f"##contig=<ID={name},length={length}>" for name, length in CONTIGS.items()]
    lines += ["\t".join("#CHROM POS ID REF ALT QUAL FILTER INFO FORMAT".split()) + "\t"
              + "\t".join(samples)]  # fmt: skip
    for contig, length in list(CONTIGS.items())[:-1]:
        places = sorted(
            {rng.randrange(1, length - 6_000) for _ in range(count * length // 900_000)}
        )
        records = [_record(rng, contig, place, len(samples)) for place in places]
        if contig == "chr1":
            records += _special(rng, len(samples))
        lines += sorted(records, key=lambda line: int(line.split("\t")[1]))
    text = path.with_suffix("")
    text.write_text("\n".join(lines) + "\n")
    with open(path, "wb") as out:
        subprocess.run(["bgzip", "-c", str(text)], stdout=out, check=True)
    subprocess.run(["bcftools", "index", "-f", str(path)], check=True)
    return path


def _special(rng: random.Random, samples: int) -> list[str]:
    """Return long alleles, a repeated record, qualities that are none, borders of bins."""
    het = ["0/1"] * samples
    return [
        _line("chr1", 99_500, LONG[:3_000], LONG[0], "99", het),
        _line("chr1", 198_000, LONG, LONG[0], "45.5", het),
        _line("chr1", 150_000, "A", f"A{LONG}", "50", het),
        _line("chr1", 150_000, "A", f"A{LONG[:-1]}G", "51", het),
        _line("chr1", 250_000, "N", "<DEL>", "60", het, info="DP=3;END=460000"),
        _line("chr1", 99_999, "AC", "A", "10", het),
        _line("chr1", 100_000, "A", "T", "20", het),
        _line("chr1", 100_001, "A", "T", "30", het),
        _line("chr1", 300_001, "A", "T", ".", het),
        _line("chr1", 300_002, "A", "T", "nan", het),
        _line("chr1", 300_003, "A", "T", "0", het),
        _line("chr1", 300_004, "A", "C", "31", het),
        _line("chr1", 300_004, "A", "C", "31", het),
        _line("chr1", 300_005, "A", "C,G,<DEL>", "33", ["1/2", *het[1:]], info="DP=4;END=300005"),
        _line("chr1", 300_006, "ACGT", "TGCA,A", "1234.5", ["0|2", *["1|1"] * (samples - 1)]),
    ]  # fmt: skip


def _record(rng: random.Random, contig: str, pos: int, samples: int) -> str:
    ref = rng.choice("ACGT")
    alt = rng.choice("ACGT".replace(ref, ""))
    if rng.random() < 0.3:
        more = "".join(rng.choices("ACGT", k=rng.randint(1, 30)))
        ref, alt = (ref + more, ref) if rng.random() < 0.5 else (ref, ref + more)
    quality = f"{rng.uniform(0, 200):.4g}"
    genotypes = rng.choices(_GENOTYPES, k=samples)
    return _line(
        contig, pos, ref, alt, quality, genotypes, rng.choice(("PASS", ".", "LowQual;q10"))
    )


def _line(
    contig: str, pos: int, ref: str, alt: str, quality: str, genotypes: Sequence[str],
    filters: str = "PASS", info: str = "",
) -> str:  # fmt: skip
    count = alt.count(",") + 2
    called = [a for text in genotypes for a in text.replace("|", "/").split("/") if a != "."]
    carried = ",".join(str(called.count(str(number))) for number in range(1, count))
    info = info or f"DP={pos % 90};VDB=0.{pos % 997};AC={carried};AN={len(called)}"
    likelihoods = ",".join(str(pos % 50 + n) for n in range(count * (count + 1) // 2))
    depths = ",".join(str(3 + (pos + n) % 20) for n in range(count))
    columns = [f"{text}:{likelihoods}:{pos % 60}:{depths}" for text in genotypes]
    name = f"rs{pos}" if pos % 3 == 0 else "."
    fields = [contig, str(pos), name, ref, alt, quality, filters, info, "GT:PL:DP:AD", *columns]
    return "\t".join(fields)


# ---- bcftools ------------------------------------------------------------------------------------
def found(path: Path, *options: str, per_sample: str = "") -> list[Key]:
    """Return what bcftools finds, one allele a row, in the order of the file.

    Args:
        path: The file.
        options: Of `bcftools view`, applied to records of one allele.
        per_sample: An expression that genotypes have to fulfil.
    """
    norm = subprocess.run(
        ["bcftools", "norm", "-m", "-any", str(path)],
        capture_output=True,
        check=True,
    )
    view = subprocess.run(
        ["bcftools", "view", *options, "-"], input=norm.stdout, capture_output=True, check=True
    )
    form = "[%SAMPLE\\t%CHROM\\t%POS0\\t%REF\\t%ALT\\t%GT\\n]"
    only = ["-i", per_sample] if per_sample else []
    query = subprocess.run(
        ["bcftools", "query", *only, "-f", form, "-"],
        input=view.stdout, capture_output=True, check=True,
    )  # fmt: skip
    rows = [line.split("\t") for line in query.stdout.decode().splitlines()]
    keys = (
        (*fields[:2], int(fields[2]), *fields[3:5], unphased(fields[5]))
        for fields in rows
        if "1" in fields[5]
    )
    return [*dict.fromkeys(keys)]  # a record is repeated in the file
