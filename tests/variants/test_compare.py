"""F1 against the truth: planted, and that of a real genome, beside plain bcftools."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pysam
import pytest

from bams3.errors import CorruptError, InputError, UsageError
from bams3.reads.convert import convert
from bams3.regions import Region
from bams3.variants.call import call
from bams3.variants.compare import compare
from tests.cli.run import bams3_
from tests.variants.sample import Sample, piped, read_lines, write_fasta

NA12878 = "derived/na12878_grch37_chr20_10.0-10.1Mb"


def test_planted_variants_are_found(normal: Sample, out: Path) -> None:
    call([normal.bam], normal.reference, out)
    found = compare(out, normal.truth, normal.reference)
    assert found.snv.f1 > 0.99 and found.indel.f1 > 0.95
    assert found.snv.true_positives > 40 and found.indel.true_positives > 15
    assert found.snv.genotypes == found.snv.true_positives
    itself = compare(normal.truth, normal.truth, normal.reference)
    assert itself.snv.f1 == itself.indel.f1 == 1.0


def test_counts_are_those_of_a_hand_made_case(tmp_path: Path) -> None:
    write_fasta(tmp_path / "r.fa", {"c": "ACGTTTTGCA" * 10})
    truth = [
        (1, "A", "C", "0|1"),
        (4, "TT", "T", "1/1"),
        (30, "A", "ACC", "0/1"),
        (95, "T", "G", "1"),
    ]
    calls = [
        (1, "A", "C", "1/0"),
        (6, "TT", "T", "0/1"),
        (12, "C", "A", "0/1"),
        (95, "T", "G", "1/1"),
    ]
    paths = [_vcf(tmp_path / name, rows) for name, rows in (("t", truth), ("c", calls))]
    found = compare(paths[1], paths[0], str(tmp_path / "r.fa"), confident=[Region("c", 0, 94)])
    assert (found.snv.true_positives, found.snv.false_positives, found.snv.false_negatives) == (
        1,
        1,
        0,
    )
    assert found.snv.genotypes == 1 and found.snv.precision == 0.5 and found.snv.recall == 1.0
    # The deletion is written at another of the four T; left-aligned it is the same.
    assert (found.indel.true_positives, found.indel.false_negatives) == (1, 1)
    assert found.indel.genotypes == 0


def test_calls_that_did_not_pass_a_filter_do_not_count(tmp_path: Path) -> None:
    write_fasta(tmp_path / "r.fa", {"c": "ACGTTTTGCA" * 10})
    truth = _vcf(tmp_path / "t", [(1, "A", "C", "0/1")])
    calls = _vcf(tmp_path / "c", [(1, "A", "C", "0/1"), (12, "C", "A", "0/1")])
    text = calls.read_text().replace("C\tA\t9\t.", "C\tA\t9\tweak")
    calls.write_text(text.replace("#CHROM", '##FILTER=<ID=weak,Description="Weak">\n#CHROM'))
    found = compare(calls, truth, str(tmp_path / "r.fa"))
    assert (found.snv.true_positives, found.snv.false_positives) == (1, 0)


def _vcf(path: Path, rows: list[tuple[int, str, str, str]]) -> Path:
    text = "##fileformat=VCFv4.2\n##contig=<ID=c,length=100>\n"
    text += '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">\n'
    text += "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\ts\n"
    text += "".join(f"c\t{p}\t.\t{r}\t{a}\t9\t.\t.\tGT\t{g}\n" for p, r, a, g in rows)
    path.with_suffix(".vcf").write_text(text)
    return path.with_suffix(".vcf")


def test_what_cannot_be_compared_is_said(normal: Sample, tmp_path: Path) -> None:
    write_fasta(tmp_path / "r.fa", {"c": "ACGT" * 25})
    other = _vcf(tmp_path / "o", [(1, "A", "C", "0/1")])
    with pytest.raises(InputError, match="share no contig"):
        compare(normal.truth, other, normal.reference)
    with pytest.raises(UsageError, match="which sample"):
        compare(other, other, str(tmp_path / "r.fa"), sample="nobody")
    cut = tmp_path / "cut.vcf.gz"
    cut.write_bytes(Path(normal.truth).read_bytes()[:-28])
    with pytest.raises(CorruptError, match="is cut off"):
        compare(normal.truth, cut, normal.reference)


@pytest.fixture(scope="module")
def real(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with x.bam (sorted by samtools), x.cram, x.bams3 and ref.fa of a real genome."""
    folder, source = tmp_path_factory.mktemp("real"), shared_data / NA12878
    (folder / "ref.fa").write_bytes(
        gzip.decompress((source / "hg19_chr20_unittest.fa.gz").read_bytes())
    )
    pysam.faidx(str(folder / "ref.fa"))
    bam = str(folder / "x.bam")
    pysam.sort("--no-PG", "-o", bam, str(source / "NA12878_50x.bam"))
    pysam.index(bam)
    cram = str(folder / "x.cram")
    options = ["--output-fmt-option", "no_ref=1"]  # the FASTA has one of the contigs
    pysam.view("-C", *options, "-o", cram, bam, catch_stdout=False)
    pysam.index(cram)
    convert(bam, str(folder / "x.bams3"))
    return folder


@pytest.mark.parametrize("name", ["x.bam", "x.cram", "x.bams3"])
def test_a_real_genome_is_called_as_plain_bcftools_calls_it(
    name: str, real: Path, shared_data: Path, out: Path
) -> None:
    source, reference = shared_data / NA12878, str(real / "ref.fa")
    region = "chr20:10,000,001-10,020,000"
    call([str(real / name)], reference, out, regions=[region], tile_bases=7_000)
    own = real / "own.bed"
    own.write_text("chr20\t10000000\t10020000\n")
    pileup = ["mpileup", "-d", "1000000", "-f", reference, "-a", "FORMAT/AD,FORMAT/DP", "-Ou"]
    text = piped([
        [*pileup, "-r", "chr20:9990001-10020000", str(real / "x.bam")], ["call", "-mv", "-Ou"],
        ["view", "-T", str(own), "--targets-overlap", "0", "-Ou"],
        ["norm", "-f", reference, "-c", "e", "-m", "-any", "-d", "exact", "-Ou"],
        ["sort", "-Ov", "-"],
    ])  # fmt: skip
    expected = [line for line in text.decode().splitlines() if not line.startswith("#")]
    assert read_lines(out) == expected and len(expected) > 20
    done = bams3_(
        "variants", "compare", out, "--truth", source / "HG001_v3.3.2.truth.hg19.vcf.gz",
        "--confident", source / "NIST_confident_10kb.bed", "-f", reference, "--json",
    )  # fmt: skip
    f1 = json.loads(done.out)
    assert f1["snv"]["f1"] == 1.0 and f1["indel"]["f1"] == 1.0
    assert f1["snv"]["true_positives"] > 5
