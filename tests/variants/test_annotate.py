"""Annotation against Debian's bcftools csq, and inputs that do not fit each other."""

from __future__ import annotations

import gzip
import random
import shutil
import subprocess
from pathlib import Path

import pysam
import pytest

from bams3.errors import CorruptError, ExistsError, InputError, NotFoundError, UsageError
from bams3.storage import open_store
from bams3.variants.annotate import annotate
from tests.cli.run import bams3_
from tests.variants.sample import Kind, Sample, make_sample, read_lines, records

KIND = Kind({"chr1": 30_000, "HLA-A*01:01": 8_000, "chr2": 8_000}, 0.1, 400, 60)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """Its truth has a variant in 60 bases, phased."""
    made = make_sample(tmp_path_factory.mktemp("annotated"), KIND)
    write_genes(made.folder / "genes.gff3")
    return made


@pytest.fixture(scope="module")
def genes(sample: Sample) -> str:
    return str(sample.folder / "genes.gff3")


def write_genes(path: Path) -> None:
    """Write genes as Ensembl does, on both strands, of three exons each; none on chr2."""
    rng = random.Random(2)
    lines = ["##gff-version 3"]
    for contig, length in (("chr1", 30_000), ("HLA-A*01:01", 8_000)):
        for number, start in enumerate(range(500, length - 2_600, 2_500)):
            lines += gene(contig, f"{contig[:4]}G{number}", start, "+-"[number % 2], rng)
    path.write_text("\n".join(lines) + "\n")


def gene(contig: str, name: str, start: int, strand: str, rng: random.Random) -> list[str]:
    sizes = [rng.randint(150, 400) for _ in range(3)]
    sizes[2] += -sum(sizes) % 3
    exons = [(start + 700 * n, start + 700 * n + size) for n, size in enumerate(sizes)]
    end = exons[-1][1]
    of = "biotype=protein_coding"

    def line(kind: str, first: int, last: int, phase: object, more: str) -> str:
        fields = (contig, "made", kind, first + 1, last, ".", strand, phase, more)
        return "\t".join(map(str, fields))

    found = [
        line("gene", start, end, ".", f"ID=gene:{name};Name={name};{of}"),
        line("mRNA", start, end, ".", f"ID=transcript:{name}t;Parent=gene:{name};{of}"),
    ]
    done = 0
    for first, last in exons if strand == "+" else reversed(exons):
        found.append(line("exon", first, last, ".", f"Parent=transcript:{name}t"))
        found.append(line("CDS", first, last, -done % 3, f"Parent=transcript:{name}t"))
        done += last - first
    return found


def theirs(sample: Sample, genes: str) -> list[str]:
    if shutil.which("bcftools") is None:
        pytest.skip("bcftools is not installed")
    command = ["bcftools", "csq", "-l", "-f", sample.reference, "-g", genes, sample.truth]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [without_bits(line) for line in records(done.stdout)]


def without_bits(line: str) -> str:
    """Return a record without FORMAT/BCSQ: Debian's 1.16 leaves it 0 for variants of introns."""
    *fields, names, values = line.split("\t")
    return "\t".join([*fields, names.removesuffix(":BCSQ"), values.partition(":")[0]])


# ---- records -------------------------------------------------------------------------------------
@pytest.mark.parametrize("ending", ["vcf.gz", "bcf"])
def test_records_are_those_of_bcftools(
    ending: str, sample: Sample, genes: str, tmp_path: Path
) -> None:
    out = str(tmp_path / f"out.{ending}")
    done = annotate(sample.truth, genes, sample.reference, out)
    found = read_lines(out)
    assert [without_bits(line) for line in found] == theirs(sample, genes)
    assert done.records == len(found) == len(read_lines(sample.truth))
    assert done.annotated == sum("BCSQ=" in line for line in found) > 100
    kinds = ("missense", "synonymous", "frameshift", "intron", "stop_gained")
    assert all(any(f"={kind}" in line for line in found) for kind in kinds)
    with pysam.VariantFile(out) as file:  # by its index
        places = [(record.contig, record.pos) for record in file.fetch("HLA-A*01:01")]
    assert places and len(places) < done.records


def test_from_s3_to_s3_and_compressed_genes(
    any_store_url: str, sample: Sample, genes: str, tmp_path: Path
) -> None:
    store = open_store(any_store_url)
    store.put("x.vcf.gz", Path(sample.truth).read_bytes())
    store.put("g.gff3.gz", gzip.compress(Path(genes).read_bytes()))
    for name in ("ref.fa", "ref.fa.fai"):
        store.put(name, (sample.folder / name).read_bytes())
    urls = [store.url_of(name) for name in ("x.vcf.gz", "g.gff3.gz", "ref.fa", "o.vcf.gz")]
    annotate(*urls)
    here = str(tmp_path / "o.vcf.gz")
    annotate(sample.truth, genes, sample.reference, here)
    assert store.get("o.vcf.gz") == Path(here).read_bytes()
    assert store.get("o.vcf.gz.tbi") == Path(f"{here}.tbi").read_bytes()


def test_nothing_called_is_annotated_too(sample: Sample, genes: str, tmp_path: Path) -> None:
    empty = tmp_path / "none.vcf"
    lines = gzip.open(sample.truth, "rt").read().splitlines(keepends=True)
    empty.write_text("".join(line for line in lines if line.startswith("#")))
    done = annotate(empty, genes, sample.reference, str(tmp_path / "o.vcf.gz"))
    assert (done.records, done.annotated) == (0, 0) and read_lines(tmp_path / "o.vcf.gz") == []


# ---- what does not fit ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("genes only", "No usable transcripts"), ("gtf", "cannot be annotated"),
        ("empty genes", "has no features"), ("other names of genes", "share no contig"),
        ("cut genes", "is damaged"), ("other reference", "does not match the VCF REF allele"),
        ("longer reference", "has 30,005 bases, but 30,000 in"),
        ("other names of the reference", "share no contig"),
    ],
)  # fmt: skip
def test_inputs_that_do_not_fit(
    change: str, message: str, sample: Sample, genes: str, tmp_path: Path
) -> None:
    changed, fasta = change_genes(change, genes, tmp_path), change_fasta(change, sample, tmp_path)
    out = tmp_path / "o.vcf.gz"
    with pytest.raises(InputError, match=message) as caught:
        annotate(sample.truth, changed, fasta, str(out))
    assert caught.value.hint or change == "cut genes"
    assert not out.exists() and not Path(f"{out}.tbi").exists()


def change_genes(change: str, genes: str, folder: Path) -> str:
    lines = Path(genes).read_text().splitlines(keepends=True)
    if change == "genes only":
        lines = [line for line in lines if "\tgene\t" in line]
    elif change == "gtf":
        lines = [line.split("ID=")[0].split("Parent=")[0] + 'gene_id "x";\n' for line in lines]
    elif change == "empty genes":
        lines = lines[:1]
    elif change == "other names of genes":
        lines = [f"Chr_{line}" for line in lines[1:]]
    path = folder / "changed.gff3"
    path.write_text("".join(lines))
    if change == "cut genes":
        path.write_bytes(gzip.compress(path.read_bytes())[:-100])
    return str(path)


def change_fasta(change: str, sample: Sample, folder: Path) -> str:
    text = Path(sample.reference).read_text()
    if change == "other reference":
        text = text.translate(str.maketrans("AC", "CA"))
        text = text.replace("HLC-C", "HLA-A").replace("HLC-A", "HLA-A").replace("HLA-C", "HLA-A")
    elif change == "longer reference":
        text = text.replace(">HLA", "ACGTA\n>HLA")
    elif change == "other names of the reference":
        text = text.replace(">", ">x")
    path = folder / "changed.fa"
    path.write_text(text)
    pysam.faidx(str(path))
    return str(path)


def test_what_is_missing_or_there_already(sample: Sample, genes: str, tmp_path: Path) -> None:
    out = str(tmp_path / "o.vcf.gz")
    with pytest.raises(NotFoundError):
        annotate("nowhere.vcf.gz", genes, sample.reference, out)
    with pytest.raises(NotFoundError):
        annotate(sample.truth, "nowhere.gff3", sample.reference, out)
    with pytest.raises(NotFoundError):
        annotate(sample.truth, genes, "nowhere.fa", out)
    with pytest.raises(UsageError, match=r"\.vcf\.gz or \.bcf|no name for calls"):
        annotate(sample.truth, genes, sample.reference, str(tmp_path / "o.txt"))
    cut = tmp_path / "cut.vcf.gz"
    cut.write_bytes(Path(sample.truth).read_bytes()[:-28])
    with pytest.raises(CorruptError, match="cut off"):
        annotate(cut, genes, sample.reference, out)
    assert not Path(out).exists()
    annotate(sample.truth, genes, sample.reference, out)
    with pytest.raises(ExistsError):
        annotate(sample.truth, genes, sample.reference, out)
    annotate(sample.truth, genes, sample.reference, out, overwrite=True)


def test_the_command(sample: Sample, genes: str, tmp_path: Path) -> None:
    out = tmp_path / "o.vcf.gz"
    words = ("variants", "annotate", sample.truth, "-g", genes, "-f", sample.reference, "-o", out)
    done = bams3_(*words)
    assert done.code == 0 and "records" in done.err
    assert bams3_(*words).code == 1
    counted = bams3_("variants", "stats", out)
    assert counted.code == 0
