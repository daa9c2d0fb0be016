"""Conversion of good input: all records, in the right order, the same bytes each time."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import pysam
import pytest

from bams3.errors import CorruptError, ExistsError, UsageError
from bams3.reads import spill
from bams3.reads.clean import clean
from bams3.reads.convert import convert
from bams3.reads.manifest import ChunkPlace, Manifest, chunk_key, escape
from bams3.storage import open_store
from tests.reads import made


@pytest.fixture
def unsorted_sam(tmp_path: Path) -> str:
    return made.write_sam(tmp_path, made.header() + made.shuffled(3000))


def test_other_input_gets_the_order_of_samtools_sort(unsorted_sam: str, tmp_path: Path) -> None:
    url = str(tmp_path / "out")
    summary = convert(unsorted_sam, url, workers=2)
    head, lines = made.dataset(url)
    assert lines == made.samtools_sorted(unsorted_sam, tmp_path)
    assert head.text == made.header().encode()
    assert summary.records == made.manifest_of(url).records == 3000
    assert not summary.bytes_spilled


def test_sorted_input_keeps_its_order(tmp_path: Path) -> None:
    # Reverse before forward at one place: samtools sort would turn it round.
    lines = [made.line("b", position=5, flag=16), made.line("a", position=5)]
    lines += [made.line(f"c{i}", "a/b", 7) for i in range(2500)] + [made.line("u", "*", 0, 4)]
    path = made.write_sam(tmp_path, made.header("coordinate") + "".join(lines))
    convert(path, str(tmp_path / "out"), workers=2)
    _, out = made.dataset(str(tmp_path / "out"))
    assert out == [line.rstrip("\n") for line in lines]
    assert made.manifest_of(str(tmp_path / "out")).input_order


@pytest.mark.parametrize("chunk_size", [1 << 10, 1 << 20])
def test_spilling_changes_nothing(
    chunk_size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = made.header() + made.shuffled(12_000)
    monkeypatch.setattr("bams3.reads.inputs.BLOCK", 1 << 16)
    monkeypatch.setattr(spill, "BLOCK", 20_000)
    monkeypatch.setattr(spill, "FAN_IN", 5)
    urls = [str(tmp_path / name) for name in ("large", "small")]
    for url, buffer in zip(urls, (1 << 30, 1 << 20), strict=True):
        summary = convert(
            io.BytesIO(text.encode()), url, workers=2, sort_buffer=buffer, chunk_size=chunk_size
        )
    assert summary.bytes_spilled > 0
    assert made.objects(urls[0]) == made.objects(urls[1])


def test_spill_dir_is_the_only_local_disk(unsorted_sam: str, tmp_path: Path) -> None:
    seen = []

    def progress(stage: str, read: int, records: int, written: int) -> None:
        seen.extend(path for path in (tmp_path / "spills").rglob("*.spill"))

    convert(
        unsorted_sam,
        str(tmp_path / "out"),
        workers=1,
        sort_buffer=1 << 20,
        spill_dir=str(tmp_path / "spills"),
        progress=progress,
    )
    assert seen
    assert not list((tmp_path / "spills").rglob("*.spill"))


def variants(sam: str, folder: Path) -> dict[str, str]:
    """Write the same alignments in every format."""
    text = Path(sam).read_bytes()
    paths = {name: str(folder / f"in.{name}") for name in ("bam", "cram", "sam.gz", "bgzf", "ubam")}
    Path(paths["sam.gz"]).write_bytes(gzip.compress(text[:1000]) + gzip.compress(text[1000:]))
    pysam.tabix_compress(sam, paths["bgzf"])
    for option, name in (("-b", "bam"), ("-u", "ubam")):
        pysam.view(option, "--no-PG", "-o", paths[name], sam, catch_stdout=False)
    fasta = folder / "ref.fa"
    genome = (f">{name}\n{'A' * length}\n" for name, length in made.CONTIGS)
    fasta.write_text("".join(genome))
    pysam.view(
        "-C", "--no-PG", "-T", str(fasta), "--output-fmt-option", "no_ref=1", "-o", paths["cram"],
        sam, catch_stdout=False,
    )  # fmt: skip
    return paths


def test_every_format_gives_the_same_records(unsorted_sam: str, tmp_path: Path) -> None:
    expected = made.samtools_sorted(unsorted_sam, tmp_path)
    paths = variants(unsorted_sam, tmp_path)
    # CRAM itself gives up the MAPQ of unmapped reads.
    from_cram = made.samtools_sorted(paths["cram"], tmp_path)
    for name, path in paths.items():
        url = str(tmp_path / f"out.{name}")
        convert(path, url, workers=2)
        assert made.dataset(url)[1] == (from_cram if name == "cram" else expected), name


def test_many_contigs_share_chunks(tmp_path: Path) -> None:
    contigs = [(f"t{number}", 500) for number in range(20_000)]
    lines = [made.line(f"r{n}", contigs[n * 7 % 20_000][0], 1 + n % 400) for n in range(9000)]
    path = made.write_sam(tmp_path, made.header(contigs=contigs) + "".join(lines))
    summary = convert(path, str(tmp_path / "out"), workers=2, sort_buffer=4 << 20)
    assert summary.chunks < 20
    assert made.dataset(str(tmp_path / "out"))[1] == made.samtools_sorted(path, tmp_path)


def test_no_records_is_a_dataset(tmp_path: Path) -> None:
    path = made.write_sam(tmp_path, made.header())
    assert convert(path, str(tmp_path / "out"), workers=1).records == 0
    assert made.dataset(str(tmp_path / "out"))[1] == []


def test_position_minus_one_comes_first(tmp_path: Path) -> None:
    path = str(tmp_path / "in.bam")
    with pysam.AlignmentFile(path, "wb", reference_names=["a"], reference_lengths=[100]) as out:
        for name, position in (("late", 10), ("nowhere", -1)):
            read = pysam.AlignedSegment(out.header)
            read.query_name, read.reference_id, read.reference_start = name, 0, position
            out.write(read)
    convert(path, str(tmp_path / "out"), workers=1)
    names = [line.split("\t")[0] for line in made.dataset(str(tmp_path / "out"))[1]]
    assert names == ["nowhere", "late"]


def test_a_dataset_is_not_overwritten_unasked(unsorted_sam: str, tmp_path: Path) -> None:
    url = str(tmp_path / "out")
    convert(unsorted_sam, url, workers=1)
    before = made.objects(url)
    with pytest.raises(ExistsError):
        convert("no such file", url)
    assert made.objects(url) == before


def test_overwriting_leaves_only_the_new_dataset(unsorted_sam: str, tmp_path: Path) -> None:
    url = str(tmp_path / "out")
    convert(unsorted_sam, url, workers=1)
    text = made.header() + made.shuffled(100, seed=2)
    convert(io.BytesIO(text.encode()), url, overwrite=True, workers=1)
    manifest = made.manifest_of(url)
    assert set(made.objects(url)) == manifest.keys() | {"_metadata.json"}
    assert manifest.records == 100


def test_overwriting_with_the_same_keeps_all_of_it(unsorted_sam: str, tmp_path: Path) -> None:
    """Objects are named after their content: the old ones are the new ones."""
    url = str(tmp_path / "out")
    convert(unsorted_sam, url, workers=1)
    before = made.objects(url)
    convert(unsorted_sam, url, workers=1, overwrite=True)
    assert made.objects(url) == before


def test_clean_touches_nothing_where_the_manifest_is_damaged(
    unsorted_sam: str, tmp_path: Path
) -> None:
    url = str(tmp_path / "out")
    convert(unsorted_sam, url, workers=1)
    store = open_store(url)
    store.put("_metadata.json", store.get("_metadata.json").replace(b"chunk_size", b"chunk_sizf"))
    before = made.objects(url)
    with pytest.raises(CorruptError):
        clean(url)
    assert made.objects(url) == before


def test_clean_removes_only_what_nothing_refers_to(unsorted_sam: str, tmp_path: Path) -> None:
    url = str(tmp_path / "out")
    convert(unsorted_sam, url, workers=1)
    before, store = made.objects(url), open_store(url)
    store.put("data/chr1/000000000-000001024.0123456789abcdef.chunk", b"old")
    store.put("_spill/abc/000000.spill", b"old")
    store.put("notes.txt", b"mine")
    assert clean(url).objects == 2
    assert made.objects(url) == before | {"notes.txt": b"mine"}


def test_manifest_comes_back(unsorted_sam: str, tmp_path: Path) -> None:
    url = str(tmp_path / "out")
    convert(unsorted_sam, url, workers=1, drop_tags=["XX"])
    data = open_store(url).get("_metadata.json")
    manifest = Manifest.from_bytes(data)
    assert manifest.to_bytes() == data
    assert manifest.samples == ("child",)
    assert manifest.loss == {"drop_tags": ["XX"]}
    assert str(tmp_path) not in data.decode()


def test_contig_names_cannot_lead_out_of_data() -> None:
    names = ["a/b", "..", ".", "unmapped", "x" * 300, "%2E", "a+b", "é", "~"]
    escaped = [escape(name) for name in names]
    assert len(set(escaped)) == len(names)
    assert not {"unmapped", ".", ".."} & set(escaped)
    assert all("/" not in name and "+" not in name and len(name) < 100 for name in escaped)
    assert escape("x" * 300) != escape("x" * 301)


def test_keys_name_the_contigs_joined() -> None:
    chunk = ChunkPlace(first_tid=0, last_tid=1, start=0, end=10, digest=0xABC)
    key = "data/a%2A+b/000000000-000000010.0000000000000abc.chunk"
    assert chunk_key([("a*", 10), ("b", 10)], chunk) == key


@pytest.mark.parametrize(
    "option", [{"profile": "best"}, {"workers": -1}, {"sort_buffer": 10}, {"chunk_size": 0},
               {"qualities": "bin2"}, {"drop_tags": ["ABC"]}],
)  # fmt: skip
def test_options_without_meaning_are_refused(option: dict, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        convert("none", str(tmp_path / "out"), **option)


def test_names_of_chunks_that_span_contigs(tmp_path: Path) -> None:
    """`end` lies on the last contig, and is raised to `start` where it would be less."""
    contigs = [("long", 5000), ("short", 300), ("last", 2000)]
    places = [("long", 4100), ("short", 7), ("last", 1), ("last", 1990)]
    lines = "".join(made.line("r", name, position, length=5) for name, position in places)
    path = made.write_sam(tmp_path, made.header("coordinate", contigs) + lines)
    convert(path, str(tmp_path / "out"), workers=1, chunk_size=1024)
    (chunk,) = made.manifest_of(str(tmp_path / "out")).index.chunks
    assert (chunk.start, chunk.end) == (4096, 4096)
    (key,) = (key for key in made.objects(str(tmp_path / "out")) if key.startswith("data/"))
    assert key == f"data/long+last/000004096-000004096.{chunk.digest:016x}.chunk"
    assert [row.split("\t")[3] for row in made.dataset(str(tmp_path / "out"))[1]] == [
        str(position) for _, position in places
    ]
