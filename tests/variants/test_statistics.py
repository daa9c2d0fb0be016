"""Statistics against `bcftools stats`, over files that others made and over generated ones."""

from __future__ import annotations

import gzip
import json
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pysam.bcftools
import pytest

from bams3.errors import CorruptError, InputError, NotFoundError
from bams3.storage import open_store
from bams3.variants import histogram
from bams3.variants.histogram import Density, Histogram, Shared
from bams3.variants.load import load
from bams3.variants.statistics import COMPARED, SHARES, Statistics, statistics
from bams3.variants.store import Header
from bams3.variants.store import open_store as open_calls
from bams3.variants.vcf import Call, kind_of
from tests.cli.run import bams3_
from tests.variants.bcftools_stats import bundled, column, stats_of, summary
from tests.variants.made_vcf import HEADER, write_vcf

FILES = (
    "derived/na12878_grch37_chr20_10.0-10.1Mb/HG001_v3.3.2.truth.hg19.vcf.gz",
    "wgs/simulated_30x_chr20_30.0-30.5Mb/truth.vcf.gz",
    "fgbio/src/test/resources/com/fulcrumgenomics/vcf/testdata/with_switch_errors.vcf",
    "freebayes/test/regression_baseline/tiny_chr22.vcf",
    "freebayes/test/regression_baseline/tiny_chr22_gvcf_nochunk.vcf",
    "freebayes/test/regression_baseline/tiny_chr22_ploidy1.vcf",
    "igv.js/test/data/vcf/S4.vcf.gz",
    "igv.js/test/data/vcf/genotypes.vcf",
    "igv.js/test/data/vcf/example-indels/example2.vcf",
    "igv.js/test/data/vcf/example-indels/multi_allelic.vcf",
    "htsget-compliance/ga4gh/htsget/data/variants/spec-v4.3.bcf",
    "nucleus/test_vaf.vcf",
    "pysam/tests/pysam_data/ex1.vcf.gz",
)
ENDINGS = (".vcf", ".vcf.gz", ".bcf")
GENERATED = ("one", "many", "haploid", "no samples", "none")


@pytest.fixture(params=["debian", "bundled"])
def bcftools(request: pytest.FixtureRequest) -> list[str]:
    if request.param == "bundled":
        return bundled()
    if shutil.which("bcftools") is None:
        pytest.skip("bcftools is not installed")
    return ["bcftools"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("made")
    names = {"many": ["a", "b", "c", "d"], "no samples": []}
    return {
        kind: write_vcf(
            folder / f"{kind}.vcf.gz", names.get(kind, ["a"]), records=0 if kind == "none" else 800,
            ploidy=1 if kind == "haploid" else 2,
        )
        for kind in GENERATED
    }  # fmt: skip


@pytest.mark.parametrize(
    ("ref", "alt", "kind"),
    [
        ("A", "C", "snv"), ("AC", "GT", "mnv"), ("A", "AT", "insertion"),
        ("T", "AT", "insertion"), ("AT", "A", "deletion"), ("at", "T", "deletion"),
        ("ATT", "AT", "deletion"), ("AT", "C", "complex"), ("C", "AT", "complex"),
        ("ACG", "TG", "complex"), ("AT", "GCA", "complex"), ("A", "<DEL>", "symbolic"),
    ],
)  # fmt: skip
def test_kinds_are_those_of_bcftools(
    ref: str, alt: str, kind: str, tmp_path: Path, bcftools: list[str]
) -> None:
    path = tmp_path / "one.vcf"
    lines = ["##fileformat=VCFv4.2", "##contig=<ID=1,length=99>"]
    lines += ["#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO", f"1\t9\t.\t{ref}\t{alt}\t.\t.\t."]
    path.write_text("\n".join([*lines, ""]))
    assert kind_of(ref, alt) == kind
    check(path, bcftools, samples=False)


# ---- numbers -------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", FILES)
def test_files_of_others(name: str, shared_data: Path, bcftools: list[str]) -> None:
    check(shared_data / name, bcftools)


@pytest.mark.parametrize("kind", GENERATED)
def test_generated_files(kind: str, made: dict[str, Path], bcftools: list[str]) -> None:
    counts = check(made[kind], bcftools, samples=kind != "no samples")
    assert (counts.variants > 800) == (kind != "none")  # some records have two alleles


def check(path: Path, bcftools: Sequence[str], samples: bool = True) -> Statistics:
    counts, rows = statistics(path), stats_of(path, bcftools, samples)
    theirs = summary(rows)
    kinds: Counter[str] = Counter(counts.kinds)
    assert kinds["snv"] == theirs["SNPs"]
    assert kinds["mnv"] == theirs["MNPs"]
    assert kinds["insertion"] + kinds["deletion"] == theirs["indels"]
    assert kinds["complex"] + kinds["symbolic"] == theirs["others"]
    assert dict(counts.substitutions) == column(rows, "ST", 1)
    assert [counts.transitions, counts.transversions] == [int(n) for n in rows["TSTV"][0][:2]]
    lengths: Counter[str] = Counter()
    for length, count in counts.indel_lengths.items():
        lengths[str(max(-60, min(60, length)))] += count
    assert lengths == column(rows, "IDD", 1)
    _check_samples(counts, rows)
    return counts


def _check_samples(counts: Statistics, rows: dict[str, list[list[str]]]) -> None:
    indels = {row[0]: [int(n) for n in row[5:9]] for row in rows.get("PSI", [])}
    assert len(counts.samples) == len(rows.get("PSC", []))
    for name, _, hom, het, transitions, transversions, *_ in rows.get("PSC", []):
        ours, (ins_het, del_het, ins_hom, del_hom) = counts.samples[name], indels[name]
        if ours.hemi:
            continue  # bcftools counts haploid genotypes by samples, without their kinds
        assert ours.het == int(het) + ins_het + del_het
        assert ours.hom == int(hom) + ins_hom + del_hom
        assert [ours.transitions, ours.transversions] == [int(transitions), int(transversions)]


@pytest.mark.parametrize("kind", ["one", "many", "haploid"])
def test_rows_of_the_file_by_hand(kind: str, made: dict[str, Path]) -> None:
    """What bcftools does not count, or otherwise: by the text of the file."""
    counts, rows = statistics(made[kind]), [*alleles_of(made[kind])]
    carried = [(row, call) for row in rows for call in row["calls"] if call["copies"]]
    for name, sample in counts.samples.items():
        mine = [call for _, call in carried if call["sample"] == name]
        assert sample.variants == len(mine)
        assert sample.hemi == sum(call["ploidy"] == 1 for call in mine)
        assert sample.hom == sum(call["copies"] == call["ploidy"] > 1 for call in mine)
        assert sample.depth.total == sum(call["depth"] for call in mine)
    assert counts.depth.counts == Counter(call["depth"] for _, call in carried)
    assert counts.filters == Counter(row["filter"] for row in rows)
    assert counts.frequencies == Counter(
        min(SHARES - 1, SHARES * row["copies"] // row["called"]) for row in rows if row["called"]
    )
    fractions = Counter(min(SHARES - 1, SHARES * c["shown"] // c["depth"]) for _, c in carried)
    assert counts.fractions["het"] + counts.fractions["hom"] == fractions
    qualities = Counter(int(row["qual"]) for row in rows)
    assert sum((h.counts for h in counts.quality.values()), Counter()) == qualities
    windows = Counter((row["contig"], row["pos"] // 1000) for row in rows)
    density = counts.density.contigs.items()
    assert {(c, n): count for c, by in density for n, count in by.items()} == windows
    best = sorted(rows, key=lambda row: -row["qual"])[: len(counts.strongest)]
    assert [v.qual for v in counts.strongest] == pytest.approx([row["qual"] for row in best])


def alleles_of(path: Path) -> Iterator[dict[str, Any]]:
    names: list[str] = []
    with gzip.open(path, "rt") as file:
        for line in file:
            fields = line.rstrip("\n").split("\t")
            names = fields[9:] if line.startswith("#CHROM") else names
            if not line.startswith("#"):
                yield from (
                    _allele(fields, names, number)
                    for number in range(1, len(fields[4].split(",")) + 1)
                )


def _allele(fields: list[str], names: list[str], number: int) -> dict[str, Any]:
    calls, called = [], 0
    for name, text in zip(names, fields[9:], strict=True):
        genotype, depth, depths = text.split(":")
        parts = [part for part in genotype.split("/") if part != "."]
        called += len(parts)
        calls.append({
            "sample": name, "copies": parts.count(str(number)), "ploidy": len(parts),
            "depth": int(depth), "shown": int(depths.split(",")[number]),
        })  # fmt: skip
    return {
        "contig": fields[0], "pos": int(fields[1]) - 1, "qual": float(fields[5]),
        "filter": fields[6], "calls": calls, "called": called,
        "copies": sum(call["copies"] for call in calls),
    }  # fmt: skip


# ---- a store -------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["one", "many", "haploid", "none"])
def test_a_store_has_the_same_statistics(kind: str, made: dict[str, Path], tmp_path: Path) -> None:
    """As the file without alleles that nobody carries, which a store does not have."""
    seen, carried = str(tmp_path / "seen.bcf"), str(tmp_path / "carried.bcf")
    only = ("--trim-alt-alleles", "-c", "1", "-Ob", "-o", seen)
    pysam.bcftools.view(*only, str(made[kind]), catch_stdout=False)
    pysam.bcftools.norm("-m", "-any", "-Ob", "-o", carried, seen, catch_stdout=False)
    url = f"sqlite:///{tmp_path}/calls.db"
    load(carried, url)
    with closing(open_calls(url)) as opened:
        store = statistics(opened).to_json()
    file = statistics(carried).to_json()
    for counts in (store, file):  # a store keeps QUAL as it is written, a file as 32 bits
        counts["quality"] = {kind: values["counts"] for kind, values in counts["quality"].items()}
    differing = {name for name in file if store[name] != file[name]}
    # a store has neither records nor samples without a call, which count as reference there
    assert differing <= {"source", "records", "multiallelic", "allele_frequencies"}


def test_the_first_samples_of_many_are_compared(tmp_path: Path) -> None:
    names = [f"s{number}" for number in range(COMPARED + 5)]
    path = write_vcf(tmp_path / "wide.vcf.gz", names, records=30)
    counts = statistics(path)
    matrix, compared = counts.shared.matrix(), names[:COMPARED]
    diagonal = [row[number] for number, row in enumerate(matrix)]
    assert diagonal == [counts.samples[name].variants for name in compared]
    assert len(matrix) == len(matrix[0]) == COMPARED


def test_frequencies_of_a_store_count_other_samples_as_reference(tmp_path: Path) -> None:
    rows = [
        Call(name, "c", 5, "A", "G", genotype=genotype, end=6)
        for name, genotype in (("a", "0/1"), ("b", "1/1"))
    ]
    rows.append(Call("c", "c", 9, "A", "ACC", genotype="1|2", end=10))
    with closing(open_calls(f"sqlite:///{tmp_path}/calls.db")) as store:
        store.replace(Header({"c": 100}, ("a", "b", "c")), rows)
        found = statistics(store)
    assert found.frequencies == Counter({int(SHARES * 3 / 6): 1, int(SHARES * 1 / 6): 1})
    assert found.shared.matrix() == [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
    assert [sample.alone for sample in found.samples.values()] == [0, 0, 1]


# ---- memory --------------------------------------------------------------------------------------
def test_a_histogram_stays_small_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(histogram, "MOST_BINS", 64)
    rng, counts = random.Random(3), Histogram()
    values = [rng.randrange(10_000) + 0.5 for _ in range(5_000)]
    for value in values:
        counts.add(value)
    counts.add(None)
    assert len(counts.counts) <= 64 and counts.width > 1 and counts.missing == 1
    assert counts.counts == Counter(int(value // counts.width) for value in values)
    assert counts.mean == pytest.approx(sum(values) / 5_000)
    assert [counts.least, counts.greatest] == [min(values), max(values)]
    median = sorted(values)[2_499]
    assert counts.quantile(0.5) == int(median // counts.width * counts.width)


def test_a_density_stays_small_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(histogram, "MOST_WINDOWS", 50)
    rng = random.Random(4)
    places = [(rng.choice("ab"), rng.randrange(500_000)) for _ in range(3_000)]
    density = Density()
    for contig, pos in places:
        density.add(contig, pos)
    assert sum(map(len, density.contigs.values())) <= 51
    expected = Counter((contig, pos // density.window) for contig, pos in places)
    found = {(c, n): count for c, by in density.contigs.items() for n, count in by.items()}
    assert found == expected


def test_more_contigs_than_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(histogram, "MOST_WINDOWS", 10)
    density = Density()
    for number in range(1_000):
        density.add(str(number), 7)
    assert len(density.contigs) == 1_000 and density.window < 1 << 32


def test_what_samples_share_stays_small_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(histogram, "MOST_SETS", 7)
    rng, shared, expected = random.Random(5), Shared(6), [[0] * 6 for _ in range(6)]
    for _ in range(500):
        carriers = tuple(sorted(rng.sample(range(6), rng.randint(1, 6))))
        shared.add(carriers)
        for one in carriers:
            for other in carriers:
                expected[one][other] += 1
    assert shared.matrix() == expected


_PEAK = """
import re, sys
from bams3.variants.statistics import statistics
counts = statistics(sys.argv[1])
print(counts.variants, re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_memory_does_not_grow_with_the_calls(tmp_path: Path) -> None:
    peaks = []
    for records in (2_000, 60_000):
        path = write_vcf(tmp_path / f"{records}.vcf.gz", ["a"], records=records, spacing=5)
        done = subprocess.run(
            [sys.executable, "-c", _PEAK, str(path)], capture_output=True, text=True, check=True
        )
        variants, peak = map(int, done.stdout.split())
        assert variants > records
        peaks.append(peak)
    assert peaks[1] < peaks[0] + 12_000  # kB; 58,000 calls kept would be 60 MB


# ---- bad input -----------------------------------------------------------------------------------
def test_a_file_that_is_cut_off_is_an_error(made: dict[str, Path], tmp_path: Path) -> None:
    """Also where it is cut between two blocks, which htslib takes for the end."""
    data = made["many"].read_bytes()
    between = data.rindex(b"\x1f\x8b\x08\x04", 0, len(data) - 28)
    for name, end in (("inside", len(data) // 2), ("between", between)):
        path = tmp_path / f"{name}.vcf.gz"
        path.write_bytes(data[:end])
        with pytest.raises(CorruptError, match="cut off"):
            statistics(path)


def test_what_is_not_there_or_no_vcf(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        statistics(tmp_path / "none.vcf")
    (tmp_path / "x.vcf").write_text("hello\n" * 100)
    with pytest.raises(InputError, match="not VCF"):
        statistics(tmp_path / "x.vcf")
    text = "##fileformat=VCFv4.2\n##contig=<ID=c>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    (tmp_path / "y.vcf").write_text(text + "c\t5\t.\tA\tC\t.\t.\t.\nc\tx\n")
    with pytest.raises(InputError, match=r"y\.vcf"):
        statistics(tmp_path / "y.vcf")


def test_files_of_others_are_counted_or_refused(shared_data: Path) -> None:
    """Whatever is in them, and however they are broken."""
    found = [path for path in sorted(shared_data.rglob("*")) if path.name.endswith(ENDINGS)]
    counted = 0
    for path in found:
        try:
            json.dumps(statistics(path).to_json(), allow_nan=False)
            counted += 1
        except (InputError, CorruptError) as error:
            assert path.name in str(error) or str(path) in str(error)
    assert counted > 100


def test_numbers_that_are_none(tmp_path: Path) -> None:
    rows = ["NaN\t.\tAF=nan", "Inf\t.\tAF=7", "-5\tPASS\tAF=.", ".\tq10;s50\tAC=3;AN=0"]
    path = tmp_path / "odd.vcf"
    head = (
        '##FILTER=<ID=s50,Description="x">\n##INFO=<ID=AC,Number=A,Type=Integer,Description="x">\n'
    )
    head += '##INFO=<ID=AN,Number=1,Type=Integer,Description="x">\n##contig=<ID=c>\n'
    head += "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    lines = (f"c\t{n}\t.\tA\tC\t{row}\n" for n, row in enumerate(rows, 1))
    path.write_text(HEADER + head + "".join(lines))
    counts = statistics(path)
    assert counts.variants == 4 and not counts.frequencies
    assert counts.quality["SNVs"].missing == 4 and counts.quality["SNVs"].count == 0
    assert counts.filters == Counter({".": 2, "PASS": 1, "q10": 1, "s50": 1})
    json.dumps(counts.to_json(), allow_nan=False)


# ---- objects, and the command --------------------------------------------------------------------
def test_a_file_on_s3(any_store_url: str, made: dict[str, Path]) -> None:
    store = open_store(any_store_url)
    store.put("calls.vcf.gz", made["many"].read_bytes())
    found = statistics(store.url_of("calls.vcf.gz")).to_json()
    assert {**found, "source": ""} == {**statistics(made["many"]).to_json(), "source": ""}
    store.put("cut.vcf.gz", made["many"].read_bytes()[:-40])
    with pytest.raises(CorruptError, match="cut off"):
        statistics(store.url_of("cut.vcf.gz"))
    store.put("text.vcf", b"hello\n" * 100)
    with pytest.raises(InputError, match=r"text\.vcf"):
        statistics(store.url_of("text.vcf"))


def test_the_command(made: dict[str, Path]) -> None:
    done = bams3_("variants", "stats", made["many"])
    assert done.code == 0
    text = done.out.decode()
    counts = statistics(made["many"])
    assert f"{counts.variants:,} variants" in text and f"{counts.ti_tv:.2f}" in text
    assert all(f"\n{name} " in text for name in counts.samples)
    done = bams3_("variants", "stats", made["many"], "--json")
    assert json.loads(done.out) == json.loads(json.dumps(counts.to_json()))


def test_c6_nothing_is_summed_up_too(made: dict[str, Path]) -> None:
    done = bams3_("variants", "stats", made["none"])
    assert done.code == 0 and "0 variants" in done.out.decode()


def test_one_kind_of_calls_is_needed(made: dict[str, Path]) -> None:
    assert bams3_("variants", "stats").code == 2
    assert bams3_("variants", "stats", made["one"], "--store", "sqlite:///x.db").code == 2
    assert bams3_("variants", "stats", "nowhere.vcf").code == 1
