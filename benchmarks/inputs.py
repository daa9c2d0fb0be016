"""What is measured: the real BAMs, their references, and a large stream of simulated reads."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pysam

ROOT = Path(__file__).parents[1]
CACHE = Path(os.environ.get("BAMS3_BENCH_CACHE", ROOT / ".cache" / "bench"))
NA12878 = "derived/na12878_grch37_chr20_10.0-10.1Mb"
BESIDE = "lies beside the BAM"
GATK = "gatk/src/test/resources/org/broadinstitute/hellbender/tools"


@dataclass(frozen=True)
class Input:
    """A BAM, and the FASTA that lies beside it, if one does."""

    path: str
    what: str
    reference: str | None = None
    real: bool = True


DEEPVARIANT = "deepvariant/deepvariant/testdata/input"
TINY = "freebayes/test/tiny"
SIMULATED = "wgs/simulated_30x_chr20_30.0-30.5Mb"
SHORT_READS = [
    Input(
        f"{NA12878}/NA12878_50x.bam",
        "WGS NA12878 50x HiSeq, 38 qualities",
        f"{NA12878}/hg19_chr20_unittest.fa.gz",
    ),
    Input("hts-specs/test/bam/passed/level-1.bam", "WGS NA12878 HiSeq, chrM, 8 qualities"),
    Input(
        f"{TINY}/NA12878.chr22.tiny.bam",
        "WGS NA12878 HiSeq X, 8 qualities",
        f"{TINY}/q with spaces.fa",
    ),
    Input(f"{GATK}/mutect/mito/NA12878.bam", "WGS NA12878 HiSeq X, chrM, OQ tags"),
    Input(f"{GATK}/haplotypecaller/pruned_cycle.bam", "WGS, BD and BI tags"),
    Input(
        f"{DEEPVARIANT}/grch38_1k_subset_chr20_and_chr21.bam",
        "WGS HG002 35x NovaSeq, 4 qualities",
    ),
    Input("mosdepth/tests/empty-tids.bam", "WGS tumour NovaSeq, viral contigs, 4 qualities"),
    Input("freebayes/test/data/freebayes-test.bam", "WGS maize NovaSeq, GSNAP, 4 qualities"),
    Input("delly/example/sr.bam", "simulated, one quality", "delly/example/ref.fa", real=False),
    Input(f"{SIMULATED}/reads.bam", "simulated 30x, HiSeq X profile", real=False),
]


def data() -> Path | None:
    """Return the folder of test data: $BAMS3_TEST_DATA, else ../shared/data."""
    named = os.environ.get("BAMS3_TEST_DATA")
    places = [Path(named)] if named else [parent / "shared" / "data" for parent in ROOT.parents]
    return next((place for place in places if place.is_dir()), None)


def short_reads(names: list[str]) -> list[tuple[Path, Input]]:
    """Return the BAMs that are there, the ones named or the list above, with whole paths."""
    if names:
        return [(Path(name), Input(name, "given on the command line")) for name in names]
    folder = data()
    if folder is None:
        return []
    there = [item for item in SHORT_READS if (folder / item.path).exists()]
    return [(folder / item.path, _whole(item, folder)) for item in there]


def _whole(item: Input, folder: Path) -> Input:
    return replace(item, reference=item.reference and str(folder / item.reference))


# ---- references ----------------------------------------------------------------------------------
def reference_of(bam: Path, beside: Path | None, into: Path) -> str:
    """Write the reference of a BAM to `into`, every contig of its header, and say where it is from.

    A contig without reads is one N: its M5 costs a CRAM next to nothing, and with an M5 missing
    `samtools view -T` would embed the reference instead of using it.
    """
    given, source = _read_fasta(beside), BESIDE
    with pysam.AlignmentFile(str(bam), check_sq=False) as reads:
        used = _aligned(reads)
        if not all(len(given.get(name, "")) >= end for name, end in used.items()):
            given, source = _rebuilt(bam, used)
        with open(into, "w") as out:
            for name in reads.references:
                out.write(f">{name}\n{given.get(name, 'N') if name in used else 'N'}\n")
    pysam.faidx(str(into))
    return source


def without_md5(bam: Path, into: Path) -> Path:
    """Copy a BAM without M5 of contigs that have reads: a rebuilt reference has another."""
    with pysam.AlignmentFile(str(bam), check_sq=False) as reads:
        header, used = reads.header.to_dict(), _aligned(reads)
    for contig in header.get("SQ", []):
        if contig["SN"] in used:
            contig.pop("M5", None)
    with pysam.AlignmentFile(str(bam), check_sq=False) as reads:
        with pysam.AlignmentFile(str(into), "wb", header=header) as out:
            for read in reads.fetch(until_eof=True):
                out.write(read)
    return into


def _read_fasta(path: Path | None) -> dict[str, str]:
    if path is None:
        return {}
    opener = gzip.open if path.suffix == ".gz" else open
    found: dict[str, list[str]] = {}
    with opener(path, "rt") as lines:
        for line in lines:
            if line.startswith(">"):
                found[line[1:].split()[0]] = parts = []
            else:
                parts.append(line.strip())
    return {name: "".join(parts) for name, parts in found.items()}


def _aligned(reads: pysam.AlignmentFile) -> dict[str, int]:
    """Return contigs with reads, and where the last of these ends."""
    ends: dict[str, int] = {}
    for read in reads.fetch(until_eof=True):
        if read.reference_id >= 0:
            name = read.reference_name or ""
            ends[name] = max(ends.get(name, 1), read.reference_end or read.reference_start + 1)
    return ends


def _rebuilt(bam: Path, ends: dict[str, int]) -> tuple[dict[str, str], str]:
    """Rebuild the reference under the reads: of their MD, and where none has one of their bases."""
    known = {name: bytearray(b"N" * end) for name, end in ends.items()}
    votes: dict[str, dict[int, dict[str, int]]] = {name: {} for name in ends}
    with pysam.AlignmentFile(str(bam), check_sq=False) as reads:
        for read in reads.fetch(until_eof=True):
            if not read.is_unmapped and read.query_sequence and read.cigartuples:
                name = read.reference_name or ""
                if read.has_tag("MD"):
                    _from_md(read, known[name])
                else:
                    _vote(read, votes[name])
    voted = 0
    for name, places in votes.items():
        for place, counts in places.items():
            if known[name][place] == ord("N"):
                known[name][place] = ord(max(counts, key=counts.__getitem__))
                voted += 1
    source = "rebuilt from MD" if not voted else "consensus of the reads"
    return {name: bases.decode() for name, bases in known.items()}, source


def _from_md(read: pysam.AlignedSegment, bases: bytearray) -> None:
    for _, place, base in read.get_aligned_pairs(with_seq=True):
        if place is not None and base is not None:
            bases[place] = ord(base.upper())


def _vote(read: pysam.AlignedSegment, votes: dict[int, dict[str, int]]) -> None:
    sequence = read.query_sequence or ""
    for at, place in read.get_aligned_pairs(matches_only=True):
        counts = votes.setdefault(place, {})
        counts[sequence[at]] = counts.get(sequence[at], 0) + 1


# ---- a stream of simulated reads -----------------------------------------------------------------
def stream(pairs: int, aligner: str) -> tuple[Path, Path, str]:
    """Return SAM in an aligner's order, its reference, and how it was made; kept in the cache."""
    folder = CACHE / f"stream-{aligner}-{pairs}"
    sam, reference, how = folder / "aln.sam", folder / "ref.fa", folder / "how.txt"
    if not how.exists():
        folder.mkdir(parents=True, exist_ok=True)
        made = _real_reference(reference) and _art(reference, folder, pairs)
        text = made or _simulated(folder, pairs)
        text += f"; {_align(aligner, folder, sam)}"
        how.write_text(text)
    return sam, reference, how.read_text()


def chromosome_20() -> Path | None:
    """Return GRCh37 chromosome 20 of Debian's vt-examples, installed if that is possible."""
    found = Path("/usr/share/doc/vt/examples/ref/20.fa.gz")
    if not found.exists():
        _apt("vt-examples")
    return found if found.exists() else None


def _real_reference(into: Path) -> bool:
    source = chromosome_20()
    if source is None:
        return False
    with gzip.open(source) as packed, open(into, "wb") as out:
        shutil.copyfileobj(packed, out)
    pysam.faidx(str(into))
    return True


def _art(reference: Path, folder: Path, pairs: int) -> str | None:
    if not shutil.which("art_illumina"):
        _apt("art-nextgen-simulation-tools")
    if not shutil.which("art_illumina"):
        return None
    with pysam.FastaFile(str(reference)) as fasta:
        known = sum(len(s) - s.upper().count("N") for s in map(fasta.fetch, fasta.references))
    coverage = f"{1.02 * pairs * 300 / known:.4f}"
    words = "art_illumina -q -ss HSXt -p -l 150 -m 400 -s 90 -na -rs 42".split()
    words += ["-f", coverage, "-i", str(reference), "-o", str(folder / "pe_")]
    _run(words)
    for number in (1, 2):
        (folder / f"pe_{number}.fq").rename(folder / f"r{number}.fq")
    return f"art_illumina -ss HSXt -l 150 -f {coverage} -m 400 -s 90 -rs 42 of GRCh37 chromosome 20"


def _simulated(folder: Path, pairs: int) -> str:
    length = max(400_000, pairs * 9)
    program = str(ROOT / "recipes" / "simulate.py")
    _run([sys.executable, program, str(folder), "--pairs", str(pairs), "--length", str(length)])
    return f"recipes/simulate.py --pairs {pairs} --length {length} (no art_illumina or vt-examples)"


def _align(aligner: str, folder: Path, sam: Path) -> str:
    reference, reads = str(folder / "ref.fa"), [str(folder / f"r{n}.fq") for n in (1, 2)]
    if aligner == "bwa":
        _run(["bwa", "index", reference])
        words = ["bwa", "mem", "-Y", "-t", "2", "-R", r"@RG\tID:1\tSM:sample\tPL:ILLUMINA"]
    else:
        words = ["minimap2", "-ax", "sr", "-t", "2"]
    with open(sam.with_suffix(".part"), "wb") as out:
        print("  aligning", file=sys.stderr)
        subprocess.run(
            [*words, reference, *reads], stdout=out, stderr=subprocess.DEVNULL, check=True
        )
    sam.with_suffix(".part").rename(sam)
    return " ".join(words)


def _run(words: list[str]) -> None:
    print(f"  {' '.join(Path(word).name for word in words)}", file=sys.stderr)
    subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)


def _apt(package: str) -> None:
    if os.geteuid() == 0 and shutil.which("apt-get"):
        words = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", package]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run(words, check=False, **quiet)
