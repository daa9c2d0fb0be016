"""The audit log: who read which loci, and a chain that shows every change."""

from __future__ import annotations

import json
import re
import stat
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pysam
import pytest

from bams3.errors import CorruptError, InputError
from bams3.reads.convert import convert
from bams3.server.app import Access
from bams3.server.audit import AuditLog, verify
from bams3.server.auth import Token, User, digest_of
from bams3.server.cache import BlockCache
from bams3.server.loci import build, contig_names, fasta_loci
from bams3.server.roots import open_root
from tests.reads.sample import make_bam
from tests.server.running import Running, serving
from tests.server.test_clients import run


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def contains(loci: list[str], contig: str, start: int, end: int) -> bool:
    """Whether 0-based [start, end) of a contig lies in the loci."""
    for text in loci:
        name, first, last = re.fullmatch(r"(.*?)(?::([0-9]+)-([0-9]*))?", text).groups()  # type: ignore
        if (
            name.strip("{}") == contig
            and int(first or 1) - 1 <= start
            and end <= int(last or 1 << 40)
        ):
            return True
    return False


def test_reads_are_logged_with_their_loci(genomics: Path, tmp_path: Path) -> None:
    log = tmp_path / "audit.jsonl"
    tokens = (Token(digest_of("t" * 40), User("ada")),)
    with serving(("r", str(genomics)), audit=str(log), tokens=tokens) as server:
        head = {"Authorization": f"Bearer {'t' * 40}"}
        for name in ("s.bam.bai", "s.bam", "s.cram", "ref.fa", "v.vcf.gz", "v.bcf", "ref.fa.gz"):
            size = (genomics / name).stat().st_size
            span = {"Range": f"bytes={size // 2}-{size // 2 + 99}"} if name != "s.bam.bai" else {}
            assert server.ask(f"/files/r/{name}", head | span).status in (200, 206)
        server.ask("/files/r/s.bam", head, "HEAD")
        server.ask("/files/r/no.bam", head)
    found = lines(log)
    assert verify(log) == len(found) == 7
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert {entry["user"] for entry in found} == {"ada"}
    by_name = {str(entry["file"]).removeprefix("r/"): entry for entry in found}
    assert by_name["s.bam.bai"]["loci"] == []
    assert by_name["s.bam"]["sent"] == 100 and by_name["s.bam"]["complete"] is True
    for name in ("s.bam", "s.cram", "ref.fa", "v.vcf.gz", "v.bcf", "ref.fa.gz"):
        loci = by_name[name].get("loci")
        assert loci and all(str(text).startswith("chr") for text in loci), name  # type: ignore


def test_datasets_are_logged_with_their_loci(tmp_path: Path) -> None:
    """As BAM by range, and chunk by chunk: the loci hold every read."""
    made, place = make_bam(tmp_path, count=30_000), tmp_path / "d"
    convert(str(made), str(place / "s.bams3"), chunk_size=1 << 17)
    log = tmp_path / "audit.jsonl"
    with serving(("r", str(place)), audit=str(log)) as server:
        assert server.ask("/files/r/s.bams3.bam", {"Range": "bytes=60000-69999"}).status == 206
        for path in place.rglob("*.*"):
            if path.is_file():
                assert server.ask(f"/files/r/{quote(str(path.relative_to(place)))}").status == 200
        (tmp_path / "virtual.bam").write_bytes(server.ask("/files/r/s.bams3.bam").body)
    found = {str(entry["file"]): entry.get("loci") for entry in lines(log)}
    assert verify(log) == len(found) + 1
    assert found["r/s.bams3/_metadata.json"] == []
    assert all((loci is None) == ("+" in key) for key, loci in found.items())
    chunks = [
        locus for key, loci in found.items() if key.endswith(".chunk") for locus in loci or ()
    ]
    assert "*" in chunks and "chr1:1-524288" in chunks
    with pysam.AlignmentFile(str(made)) as reads:
        for read in reads:
            if read.reference_name == "chr1" and read.reference_start < 524_288:
                place_of = read.reference_name, read.reference_start, read.reference_start + 1
                assert contains(chunks, *place_of) and contains(found["r/s.bams3.bam"], *place_of)
    assert contains(loci_of(log, 60_000), *place_at(tmp_path / "virtual.bam", 60_000, 70_000))


def loci_of(log: Path, start: int) -> list[str]:
    return next(entry["loci"] for entry in lines(log) if entry["ranges"][0][0] == start)


def place_at(bam: Path, start: int, end: int) -> tuple[str, int, int]:
    """Return the place of a read that begins in these bytes of a BAM."""
    with pysam.AlignmentFile(str(bam)) as reads:
        at = 0
        for read in reads:
            if start <= at < end and read.reference_id >= 0:
                return read.reference_name, read.reference_start, read.reference_start + 1
            at = reads.tell() >> 16
    raise AssertionError("no read begins there")


@pytest.mark.parametrize(
    ("question", "regions"),
    [
        ("reads/r/s?referenceName=chr1&start=99&end=500", ["chr1:100-500"]),
        ("reads/r/s?referenceName=chr2", ["chr2"]),
        ("reads/r/s?referenceName=*", ["*"]),
        ("reads/r/s?fields=QNAME,FLAG", ["."]),
        ("reads/r/s?format=CRAM&referenceName=chr1&end=7", ["chr1:1-7"]),
        ("variants/r/v?referenceName=chr1&start=9&end=90", ["chr1:10-90"]),
    ],
)
def test_htsget_is_logged_by_region(
    genomics: Path, tmp_path: Path, question: str, regions: list[str]
) -> None:
    log = tmp_path / "audit.jsonl"
    tokens = (Token(digest_of("t" * 40), User("ada")),)
    with serving(("r", str(genomics)), audit=str(log), tokens=tokens) as server:
        sizes = follow(server, f"/{question}", {"Authorization": f"Bearer {'t' * 40}"})
    ticket, *blocks = lines(log)
    if "CRAM" in question:  # its header is in no ticket
        blocks = [ticket]
    else:
        assert ticket["loci"] == ["header"]
    assert verify(log) == len(lines(log))
    assert [(entry["loci"], entry["sent"]) for entry in blocks] == [(regions, sizes[0])]
    assert {entry["user"] for entry in lines(log)} == {"ada"}
    assert {entry["file"] for entry in blocks} <= {"r/s.bam", "r/s.cram", "r/v.vcf.gz"}
    assert all(entry["etag"] and entry["complete"] for entry in blocks)


def test_a_whole_file_by_htsget_is_logged_as_its_bytes(genomics: Path, tmp_path: Path) -> None:
    log = tmp_path / "audit.jsonl"
    with serving(("r", str(genomics)), audit=str(log)) as server:
        follow(server, "/reads/r/s", {})
    (entry,) = lines(log)
    assert (entry["file"], entry["ranges"]) == (
        "r/s.bam",
        [[0, (genomics / "s.bam").stat().st_size]],
    )
    assert [str(text).partition(":")[0] for text in entry["loci"]][:2] == ["header", "chr1"]


def follow(server: Running, path: str, headers: dict[str, str]) -> list[int]:
    """Ask for a ticket, and for what it leads to; return the bytes of each block that is a link."""
    sizes = []
    for item in server.ask(path, headers).json["htsget"]["urls"]:
        if not item["url"].startswith("data:"):
            parts = urlsplit(item["url"])
            answer = server.ask(f"{parts.path}?{parts.query}")
            assert answer.status == 200
            sizes.append(len(answer.body))
    return sizes


@pytest.mark.parametrize(("kind", "spliced"), [("-b", False), ("-c", False), ("-b", True)])
def test_loci_hold_every_record_of_the_bytes(
    genomics: Path, tmp_path: Path, kind: str, spliced: bool
) -> None:
    bam, index = genomics / "s.bam", tmp_path / "index"
    if spliced:  # reads of 90 kb: a window's first offset says little
        bam = make_bam(tmp_path, count=30_000)
    subprocess.run(["samtools", "index", kind, bam, index], check=True)
    names = contig_names(bam.read_bytes())
    places = build(index.read_bytes(), names)
    with pysam.AlignmentFile(str(bam)) as reads:
        assert names == list(reads.references)
        at = reads.tell() >> 16
        for read in reads:
            loci = places.loci([(at, at + 1)])
            if read.reference_id >= 0:
                start, end = read.reference_start, read.reference_start + 1
                assert contains(loci, read.reference_name, start, end)
            else:
                assert "*" in loci
            at = reads.tell() >> 16
    assert places.loci([(0, 1)]) == ["header"] and places.loci([(5, 5)]) == []


def test_loci_are_narrow(genomics: Path, tmp_path: Path) -> None:
    """A piece of a long contig is told by windows, not by the contig."""
    bam = make_bam(tmp_path, count=30_000)
    places = build(Path(f"{bam}.bai").read_bytes(), contig_names(bam.read_bytes()))
    with pysam.AlignmentFile(str(bam)) as reads:
        starts = [(reads.tell() >> 16, read.reference_start) for read in reads.fetch("chr1")]
    middle = starts[len(starts) // 4]
    (locus,) = places.loci([(middle[0], middle[0] + 1)])
    first, _, last = locus.removeprefix("chr1:").partition("-")
    assert int(first) <= middle[1] + 1 <= int(last)
    assert int(last) - int(first) < 10 << 14


def test_cram_slices(genomics: Path) -> None:
    names = contig_names((genomics / "s.cram").read_bytes())
    places = build((genomics / "s.cram.crai").read_bytes(), names)
    assert names == ["chr1", "chr2", "chrM"]
    whole = places.loci([(0, (genomics / "s.cram").stat().st_size)])
    with pysam.AlignmentFile(str(genomics / "s.bam")) as reads:
        for read in reads:
            if read.reference_id >= 0:
                start = read.reference_start
                assert contains(whole, read.reference_name, start, start + 1)


def test_variants(genomics: Path) -> None:
    for name, index in (("v.vcf.gz", ".tbi"), ("v.bcf", ".csi")):
        data = (genomics / name).read_bytes()
        places = build((genomics / f"{name}{index}").read_bytes(), contig_names(data))
        whole = places.loci([(0, len(data))])
        with pysam.VariantFile(str(genomics / name)) as records:
            for record in records:
                assert contains(whole, record.contig, record.start, record.start + 1)


def test_fasta(genomics: Path, tmp_path: Path) -> None:
    fai = (genomics / "ref.fa.fai").read_bytes()
    text = (genomics / "ref.fa").read_bytes()
    sequence = run(["samtools", "faidx", str(genomics / "ref.fa"), "chr1"], tmp_path)
    bases = b"".join(sequence.split(b"\n")[1:])
    for start, end in ((0, 3), (6, 8), (500, 700), (9000, 9100)):
        loci = fasta_loci(fai, None, [(start, end)])
        if start == 0:
            assert loci == []  # the name
            continue
        (locus,) = loci
        first, _, last = locus.partition(":")[2].partition("-")
        assert bases[int(first) - 1 : int(last)] == text[start:end].replace(b"\n", b"")


@pytest.mark.parametrize("data", [b"", b"BAI\1", b"BAI\1\xff\xff\xff\x7f", b"\x1f\x8bxx", b"a\tb"])
def test_what_is_no_index(data: bytes) -> None:
    if data == b"":
        assert build(data, []).loci([(0, 10)]) == ["header"]
        return
    with pytest.raises(InputError):
        build(data, [])


def test_the_chain_shows_changes(genomics: Path, tmp_path: Path) -> None:
    log = tmp_path / "audit.jsonl"
    for _ in range(2):  # a second run goes on where the first ended
        with serving(("r", str(genomics)), audit=str(log)) as server:
            for _ in range(2):
                server.ask("/files/r/s.bam", {"Range": "bytes=0-9"})
    text = log.read_text()
    rows = text.splitlines(keepends=True)
    assert verify(log) == 4
    for changed in (
        text.replace('"sent": 10', '"sent": 11', 1), "".join(rows[1:]),
        "".join(rows[:1] + rows[2:]), "".join([rows[1], rows[0], *rows[2:]]),
        text + rows[0], text[:-20], text + "x\n",
    ):  # fmt: skip
        log.write_text(changed)
        with pytest.raises(CorruptError):
            verify(log)
    with pytest.raises(CorruptError):
        AuditLog(log)


def test_without_its_log_the_server_serves_nothing(genomics: Path, tmp_path: Path) -> None:
    log = tmp_path / "audit.jsonl"
    log.symlink_to("/dev/full")
    with serving(("r", str(genomics)), audit=str(log)) as server:
        server.ask("/files/r/s.bam")
        for _ in range(100):
            answer = server.ask("/files/r/s.bam", {"Range": "bytes=0-9"})
            if answer.status == 503:
                break
        assert answer.status == 503 and b"audit" in answer.body
        assert server.ask("/healthz").status == 503


def test_loci_are_of_what_was_sent(genomics: Path, tmp_path: Path) -> None:
    """A client that left early has not seen the rest of what it asked for."""
    log, size = tmp_path / "audit.jsonl", (genomics / "ref.fa").stat().st_size
    with (
        closing(open_root("r", str(genomics), BlockCache())) as root,
        closing(AuditLog(log)) as audit,
    ):
        access = Access("ada", "", "GET", root, "ref.fa", "e", 206, ((100, 200), (5_000, size)))
        for sent in (50, 100 + 600, 100 + size - 5_000):
            audit.note(access, sent, False)
    part, more, whole = (entry["loci"] for entry in lines(log))
    assert [int(loci[-1].rpartition("-")[2]) // 1_000 for loci in (part, more)] == [0, 5]
    assert len(part) == 1 and len(more) == 2 and {text.split(":")[0] for text in whole} > {"chr1"}
