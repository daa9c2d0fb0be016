"""Bad input ends in a clear error and an exit code, never in "0 variants" for a failure."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pysam
import pytest

from bams3.errors import Bams3Error, CallError, ExistsError, InputError, NotFoundError, UsageError
from bams3.regions import Region
from bams3.storage import open_store
from bams3.variants.call import call
from bams3.variants.callers import Caller
from bams3.variants.merge import check_complete
from bams3.variants.shards import Piece
from bams3.variants.task import Receipt
from tests.cli.run import bams3_
from tests.variants.sample import Kind, Sample, make_sample, plain, read_lines, write_fasta

SMALL = Kind({"chr1": 12_000, "empty": 2_000}, 15, 400, 500)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return make_sample(tmp_path_factory.mktemp("small"), SMALL)


def rewritten(sample: Sample, folder: Path, header: dict[str, object]) -> str:
    """Write the reads under another header."""
    made = str(folder / "other.bam")
    with pysam.AlignmentFile(sample.bam) as reads:
        with pysam.AlignmentFile(made, "wb", header={**reads.header.to_dict(), **header}) as out:
            for read in reads:
                out.write(read)
    pysam.index(made)
    return made


def test_another_reference_is_refused(small: Sample, tmp_path: Path, out: Path) -> None:
    with pysam.FastaFile(small.reference) as fasta:
        bases = {name: fasta.fetch(name) for name in fasta.references}
    md5s = {name: _md5(text) for name, text in bases.items()}
    named = [{"SN": n, "LN": len(b), "M5": md5s[n]} for n, b in bases.items()]
    marked = rewritten(small, tmp_path, {"SQ": named})
    call([marked], small.reference, tmp_path / "right.vcf.gz")
    changed = bases["chr1"][:5_000] + "ACGT"[bases["chr1"][5_000] == "A"] + bases["chr1"][5_001:]
    others = {
        "share no contig": {"1": bases["chr1"]},
        "bases there and": {**bases, "chr1": bases["chr1"][:-1]},
        "lacks chr1": {"empty": bases["empty"]},
        "the bases of chr1 differ": {**bases, "chr1": changed},
    }
    for number, (said, genome) in enumerate(others.items()):
        path = tmp_path / f"{number}.fa"
        write_fasta(path, genome)
        with pytest.raises(InputError, match=said):
            call([marked], str(path), out)
    assert not out.exists()


def _md5(text: str) -> str:
    import hashlib

    return hashlib.md5(text.encode()).hexdigest()


def test_what_is_missing_is_named(small: Sample, tmp_path: Path, out: Path) -> None:
    with pytest.raises(NotFoundError, match="no index"):
        bare = tmp_path / "bare.bam"
        bare.write_bytes(Path(small.bam).read_bytes())
        call([str(bare)], small.reference, out)
    for reads, reference in (("none.bam", small.reference), (small.bam, "none.fa")):
        with pytest.raises(NotFoundError):
            call([reads], reference, out)
    bare = tmp_path / "bare.fa"
    bare.write_bytes(Path(small.reference).read_bytes())
    with pytest.raises(NotFoundError, match=r"no index \(\.fai\)"):
        call([small.bam], str(bare), out)


@pytest.mark.parametrize("region", ["chr9", "chr1:1-12001", "chr1:20000-20001", "*", "chr1:7-3"])
def test_regions_that_are_not_there(region: str, small: Sample, out: Path) -> None:
    done = bams3_("variants", "call", small.bam, "-f", small.reference, "-o", out, "-r", region)
    assert done.code == 1 and done.err.startswith("error: ") and not out.exists()


def test_reads_sorted_by_name_are_refused(small: Sample, tmp_path: Path, out: Path) -> None:
    other = rewritten(small, tmp_path, {"HD": {"VN": "1.6", "SO": "coordinate"}})
    text = Path(other)
    with pysam.AlignmentFile(small.bam) as reads:
        header = {**reads.header.to_dict(), "HD": {"VN": "1.6", "SO": "queryname"}}
        with pysam.AlignmentFile(str(text), "wb", header=header) as made:
            for read in reads:
                made.write(read)
    with pytest.raises(InputError, match="sorted by name"):
        call([other], small.reference, out)


def test_without_read_groups_the_file_names_the_sample(tmp_path: Path, out: Path) -> None:
    nameless = make_sample(tmp_path / "nameless", SMALL, name="")
    moved = tmp_path / "NA1.bam"
    moved.write_bytes(Path(nameless.bam).read_bytes())
    pysam.index(str(moved))
    done = call([str(moved)], nameless.reference, out)
    with pysam.VariantFile(str(out)) as file:
        assert [*file.header.samples] == ["NA1"] == [*done.samples]


def test_an_empty_region_gives_no_calls_and_says_why(small: Sample, tmp_path: Path) -> None:
    deserted = make_sample(tmp_path / "d", Kind({"chr1": 12_000, "none": 140}, 15, 400, 500))
    out = tmp_path / "none.vcf.gz"
    done = call([deserted.bam], deserted.reference, out, regions=["none"])
    assert (done.records, done.reads) == (0, 0) and read_lines(out) == []
    assert Path(f"{out}.tbi").exists()


def test_a_caller_that_fails_on_one_shard(small: Sample, tmp_path: Path, out: Path) -> None:
    broken = tmp_path / "broken"
    broken.touch()
    script = tmp_path / "caller"
    script.write_text(
        f"if [[ $1 == chr1:4001-8000 && -e {broken} ]]; then echo no luck >&2; exit 3; fi\n"
        "cat $2 > /dev/null\n"
        "printf '##fileformat=VCFv4.2\\n##contig=<ID=chr1,length=12000>\\n'\n"
        "printf '#CHROM\\tPOS\\tID\\tREF\\tALT\\tQUAL\\tFILTER\\tINFO\\n'\n"
    )
    template = f"bash {script} {{region}} {{reads}}"
    arguments = ["-f", small.reference, "-o", out, "--caller", template, "--tile-size", "4000"]
    with pytest.raises(UsageError):
        Caller("no placeholder")
    done = bams3_("variants", "call", small.bam, *map(str, arguments), "-r", "chr1")
    assert done.code == 1 and "chr1:4001-8000" in done.err and "no luck" in done.err
    assert "1 of 3 shards failed" in done.err and not out.exists()
    broken.unlink()
    done = bams3_("variants", "call", small.bam, *map(str, arguments), "-r", "chr1", "--json")
    assert done.code == 0 and json.loads(done.out)["resumed"] == 2 and read_lines(out) == []


def test_output_that_is_not_vcf_is_a_failure(small: Sample, out: Path) -> None:
    for command in ("cat {reads} > /dev/null", "head -c 100 /dev/zero; cat {reads} >/dev/null"):
        with pytest.raises(CallError):
            call([small.bam], small.reference, out, caller=Caller(command))
    assert not out.exists()


def test_an_output_that_is_there_is_kept(small: Sample, out: Path) -> None:
    out.write_bytes(b"mine")
    with pytest.raises(ExistsError):
        call([small.bam], small.reference, out)
    assert out.read_bytes() == b"mine"
    first = call([small.bam], small.reference, out, overwrite=True)
    assert call([small.bam], small.reference, out) == first  # it is this very job's
    with pytest.raises(ExistsError):
        call([small.bam], small.reference, out, regions=["chr1:1-100"])
    with pytest.raises(UsageError):
        call([small.bam], small.reference, out.with_suffix(".txt"))


def test_merge_refuses_holes() -> None:
    receipt = Receipt("t", "j", (Piece("a", 0, 10),), "k", "d", 0, 0, 0, 0.0, "v")
    check_complete([Piece("a", 0, 10)], [receipt])
    with pytest.raises(CallError, match="a:11-20 are missing"):
        check_complete([Piece("a", 0, 20)], [receipt])
    with pytest.raises(CallError, match="twice"):
        check_complete([Piece("a", 0, 10)], [receipt, receipt])


def test_a_part_that_was_changed_is_noticed(
    small: Sample, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = str(out.with_name("job"))

    def spoil(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("bams3.variants.call.merged", spoil)
        with pytest.raises(KeyboardInterrupt):
            call([small.bam], small.reference, out, folder=folder, tile_bases=5_000)
    store = open_store(folder)
    key = next(entry.key for entry in store.list() if entry.key.endswith(".vcf.gz"))
    store.put(key, store.get(key)[:-40])
    with pytest.raises(Bams3Error, match="not what its receipt says"):
        call([small.bam], small.reference, out, folder=folder, tile_bases=5_000)


def test_replaced_reads_are_not_mixed(small: Sample, tmp_path: Path, out: Path) -> None:
    from bams3.variants.preflight import prepare
    from bams3.variants.task import Source, Task
    from bams3.variants.tile import call_tile

    prepared = prepare([small.bam], small.reference, regions=[Region("chr1", 0, 100)])
    task = Task(
        (Source(small.bam, "another"),), small.reference, prepared.checksums, Caller(), "v",
        prepared.pieces, str(tmp_path / "job"),
    )  # fmt: skip
    with pytest.raises(InputError, match="replaced"):
        call_tile(task)


# ---- what calls depend on ------------------------------------------------------------------------
RULES = "chr1 1 6000 F 1\n* * * F 2\n"


def test_rules_of_ploidy_are_those_of_the_file(
    small: Sample, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that was changed makes other calls, and is named from where the driver runs."""
    rules = tmp_path / "rules.txt"
    monkeypatch.chdir(tmp_path)
    for number, text in enumerate((RULES, "* * * F 2\n")):
        rules.write_text(text)
        same = tmp_path / f"same{number}.txt"
        same.write_text(text)
        expected = plain(small.reference, small.bam, more=("--ploidy-file", str(same)))
        caller = Caller(ploidy="rules.txt")
        call([small.bam], small.reference, out, caller=caller, tile_bases=5_000, overwrite=True)
        assert read_lines(out) == expected != []
    with pytest.raises(UsageError, match=r"--ploidy other\.txt: is nothing that bcftools knows"):
        call([small.bam], small.reference, out, caller=Caller(ploidy="other.txt"), overwrite=True)


@pytest.mark.parametrize("name", ["own.bed", "calls.vcf.gz", "padded.bed", "-x", "ploidy"])
def test_reads_may_have_any_name(name: str, tmp_path: Path, out: Path) -> None:
    sample = make_sample(tmp_path, Kind({"chr1": 3_000}, 15, 400, 300), name="")
    for ending in ("bam", "bam.bai"):
        (tmp_path / f"x.{ending}").rename(tmp_path / f"{name}.{ending}")
    done = call([str(tmp_path / f"{name}.bam")], sample.reference, out)
    assert done.samples == (name,) and len(read_lines(out)) == done.records > 3
    with pysam.VariantFile(str(out)) as file:
        assert [*file.header.samples] == [name]


def test_another_order_or_name_of_the_inputs_is_another_job(tmp_path: Path, out: Path) -> None:
    kind = Kind({"chr1": 3_000}, 15, 400, 300)
    one, other = make_sample(tmp_path / "a", kind), make_sample(tmp_path / "b", kind, name="mother")
    for inputs in ([one.bam, other.bam], [other.bam, one.bam]):
        done = call(inputs, one.reference, out, overwrite=True)
        with pysam.VariantFile(str(out)) as file:
            assert tuple(file.header.samples) == done.samples
        assert read_lines(out) == plain(one.reference, *inputs)


def test_a_contig_that_vcf_takes_for_a_comment_is_refused(tmp_path: Path, out: Path) -> None:
    sample = make_sample(tmp_path, Kind({"chr1": 3_000, "#1": 3_000}, 15, 400, 300))
    with pytest.raises(InputError, match="calls on contig '#1' cannot be written"):
        call([sample.bam], sample.reference, out)
    assert call([sample.bam], sample.reference, out, regions=["chr1"]).records > 3


# ---- the output ----------------------------------------------------------------------------------
def test_a_receipt_does_not_speak_for_other_calls(small: Sample, out: Path) -> None:
    call([small.bam], small.reference, out)
    whole = out.read_bytes()
    out.write_bytes(whole[:-28])
    with pytest.raises(ExistsError):
        call([small.bam], small.reference, out)
    call([small.bam], small.reference, out, overwrite=True)
    assert out.read_bytes() == whole


def test_a_kill_after_the_calls_are_there_is_no_loss(
    small: Sample, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("bams3.variants.call.Place.finish", killed)
        with pytest.raises(KeyboardInterrupt):
            call([small.bam], small.reference, out)
    done = call([small.bam], small.reference, out)
    assert done.records == len(read_lines(out)) > 5


def test_a_command_that_has_written_all_and_hangs_is_stopped(small: Sample, out: Path) -> None:
    program = f"{sys.executable} -m bams3.variants.stage"
    hangs = f"cat {{reads}} > /dev/null; {program} view -h {small.truth}; exec >&-; sleep 1000"
    with pytest.raises(CallError, match="the time is up"):
        call([small.bam], small.reference, out, caller=Caller(hangs), regions=["chr1:1-1"],
             deadline=time.monotonic() + 8)  # fmt: skip
