"""A dataset read as a BAM file: by htslib through its index, by ranges, as a Python file."""

from __future__ import annotations

import io
import os
import random
import shutil
import struct
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pysam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bams3
from bams3 import _core
from bams3.errors import CorruptError, InputError, UsageError
from bams3.reads.convert import convert
from bams3.reads.dataset import Dataset
from bams3.reads.manifest import Manifest, SliceTable
from bams3.reads.tile_cache import TileCache
from bams3.reads.to_bam import to_bam
from bams3.reads.verify import verify
from bams3.reads.virtual_bam import VirtualBam
from bams3.storage import open_store
from tests.format import make_golden
from tests.reads import made
from tests.reads.sample import CONTIGS, make_bam, make_dataset, samtools
from tests.servers.fake_s3 import FakeS3

INDEXES = ("bai", "csi")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bam(tmp_path_factory.mktemp("virtual"), count=70_000)


@pytest.fixture(scope="module")
def dataset(source: Path) -> Iterator[Dataset]:
    with bams3.open(make_dataset(source)) as dataset:
        yield dataset


@pytest.fixture(scope="module")
def bam(dataset: Dataset) -> VirtualBam:
    return dataset.as_bam()


@pytest.fixture(scope="module")
def whole(bam: VirtualBam) -> bytes:
    return b"".join(bam.read())


def written(bam: VirtualBam, folder: Path, index: str) -> Path:
    """The file on disk, with one of its indexes."""
    folder.mkdir(exist_ok=True)
    path = folder / "virtual.bam"
    path.write_bytes(b"".join(bam.read()))
    assert path.stat().st_size == bam.size
    (folder / f"virtual.bam.{index}").write_bytes(getattr(bam, index))
    return path


def converted(sam: str, folder: Path) -> Dataset:
    """A dataset of SAM text."""
    (folder / "in.sam").write_text(sam)
    convert(str(folder / "in.sam"), str(folder / "made.bams3"))
    return bams3.open(str(folder / "made.bams3"))


def tile_start(bam: VirtualBam, tile: int) -> int:
    """Where in the file a tile begins."""
    return bam._starts[bam._firsts[tile]]


def assert_equal(dataset: Dataset, folder: Path, regions: int = 40) -> None:
    """That samtools sees through either index what it sees in the BAM of `to-bam`."""
    theirs = folder / "theirs.bam"
    to_bam(dataset, theirs, pg=False)
    chance = random.Random(1)
    for index in INDEXES:
        if index == "bai" and max(dataset.contigs.values(), default=0) > 1 << 29:
            continue
        ours = written(dataset.as_bam(), folder / index, index)
        pysam.quickcheck(*([] if dataset.contigs else ["-u"]), str(ours))
        assert samtools("view", ours) == samtools("view", theirs)
        if not dataset.contigs:
            continue
        assert samtools("idxstats", ours) == samtools("idxstats", theirs)
        assert samtools("view", ours, "*") == samtools("view", theirs, "*")
        with pysam.AlignmentFile(str(ours)) as mine, pysam.AlignmentFile(str(theirs)) as other:
            for region in sampled(dataset.contigs, chance, regions):
                got = [read.to_string() for read in mine.fetch(*region)]
                assert got == [read.to_string() for read in other.fetch(*region)], region


def sampled(
    contigs: dict[str, int], chance: random.Random, count: int
) -> Iterator[tuple[str, int, int]]:
    names = list(contigs)
    for name in [*names[:10], *chance.choices(names, k=count)] if names else []:
        start = chance.randrange(contigs[name])
        length = chance.choice([1, 100, 20_000, 1 << 29])
        yield name, start, min(start + length, max(contigs[name], start + 1))
    for name in names[:3]:
        yield name, 0, contigs[name]


# ---- the file ------------------------------------------------------------------------------------
def test_samtools_sees_the_records_of_to_bam(dataset: Dataset, tmp_path: Path) -> None:
    tiles = sum(len(dataset.index.rows(chunk)) for chunk in range(len(dataset.index.chunks)))
    assert tiles > 10 and dataset.slices
    assert_equal(dataset, tmp_path, 100)


def test_header_and_records_are_those_of_the_source(
    source: Path, bam: VirtualBam, tmp_path: Path
) -> None:
    path = written(bam, tmp_path, "bai")
    assert samtools("view", "-h", "--no-PG", path) == samtools("view", "-h", "--no-PG", source)
    for region in ("chr1:500,000-500,100", "HLA-A*01:01", "{b}:7", "{b:7}", "chrM", "empty"):
        assert samtools("view", path, region) == samtools("view", source, region)
    assert samtools("view", "-M", path, "chr2", "chrM:5-90", "chr2:7-9") == samtools(
        "view", "-M", source, "chr2", "chrM:5-90", "chr2:7-9"
    )


def test_sorting_is_told_in_the_header(tmp_path: Path) -> None:
    with converted(made.header("unsorted") + made.shuffled(50), tmp_path) as dataset:
        path = written(dataset.as_bam(), tmp_path / "virtual", "bai")
        assert "SO:coordinate" in samtools("view", "-H", "--no-PG", path).splitlines()[0]
        assert "@PG" not in samtools("view", "-H", "--no-PG", path)


@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_any_range_is_the_slice(bam: VirtualBam, whole: bytes, data: st.DataObject) -> None:
    at = st.integers(0, bam.size + 10)
    # Near the borders of tiles as often as anywhere.
    near = st.sampled_from(list(bam._starts)).flatmap(lambda b: st.integers(max(b - 2, 0), b + 2))
    start, end = data.draw(at | near), data.draw(at | near)
    assert b"".join(bam.read(start, end)) == whole[start:end]


def test_who_has_left_gets_no_third_tile(dataset: Dataset, whole: bytes) -> None:
    asked: list[int] = []
    bam = VirtualBam(dataset)

    def left() -> bool:
        asked.append(1)
        return len(asked) == 2

    data = b"".join(bam.read(0, None, left))
    assert len(bam._places) > 3 and len(asked) == 2
    assert data == whole[: tile_start(bam, 2)], "and no mark of the file's end"


def test_every_byte_alone_around_the_borders(bam: VirtualBam, whole: bytes) -> None:
    for border in (0, *bam._starts, bam.size):
        for start in range(max(border - 3, 0), border + 3):
            assert b"".join(bam.read(start, start + 1)) == whole[start : start + 1]
    assert b"".join(bam.read(bam._starts[3])) == whole[bam._starts[3] :]


def test_the_same_dataset_gives_the_same_bytes(
    dataset: Dataset, bam: VirtualBam, whole: bytes, fake_s3: FakeS3
) -> None:
    store = open_store("s3://bucket/again.bams3")
    for entry in dataset.store.list():
        store.put(entry.key, dataset.store.get(entry.key))
    with bams3.open("s3://bucket/again.bams3") as again:
        other = again.as_bam()
        assert (other.size, other.etag) == (bam.size, bam.etag)
        assert b"".join(other.read()) == whole
        assert (other.bai, other.csi) == (bam.bai, bam.csi)


def test_another_dataset_has_another_etag(bam: VirtualBam, tmp_path: Path) -> None:
    with converted(made.header() + made.line("a"), tmp_path) as dataset:
        assert dataset.as_bam().etag != bam.etag


# ---- what there is to be awkward -----------------------------------------------------------------
LONG = [("chr1", 1_700_000_000), ("chr2", 1 << 29), ("chr3", 2_000)]
MANY = [(f"contig{number}", 300 + number) for number in range(3_366)]


@pytest.mark.parametrize(
    "sam",
    [
        "@HD\tVN:1.6\tSO:coordinate\n",
        made.header(),
        made.header("coordinate", []) + "a\t4\t*\t0\t0\t*\t*\t0\t0\tACGT\t*\n" * 3,
        made.header() + made.line("a", "*", 0, 4),
        made.header() + made.line("b", position=0, flag=4) + made.line("a", position=9),
        made.header() + made.shuffled(3_000),
        made.header("unsorted", LONG) + made.shuffled(3_000, contigs=LONG),
        made.header("unsorted", MANY) + made.shuffled(15_000, contigs=MANY),
        made.header("unsorted", MANY) + made.line("a", "contig3000") + made.line("b", "contig1"),
        made.header("unsorted", [("chr1", 240_000_000)] * 1 + [("chr2", 200_000_000)])
        + made.shuffled(9_000, contigs=[("chr1", 240_000_000), ("chr2", 200_000_000)]),
    ],
    ids=["nothing", "empty", "no-contigs", "unplaced", "position-0", "short", "long", "many",
         "sparse-many", "sparse"],
)  # fmt: skip
def test_corner(sam: str, tmp_path: Path) -> None:
    with converted(sam, tmp_path) as dataset:
        assert_equal(dataset, tmp_path)


def test_reads_that_reach_far(tmp_path: Path) -> None:
    """A spliced read over everything, at the start, is found everywhere."""
    length = 100_000_000
    lines = [f"@HD\tVN:1.6\tSO:coordinate\n@SQ\tSN:chr1\tLN:{length}\n@SQ\tSN:chr2\tLN:{length}\n"]
    lines.append(f"far\t0\tchr1\t1\t60\t10M{length - 20}N10M\t*\t0\t0\t{'ACGTA' * 4}\t*\n")
    places = sorted(random.Random(2).randrange(2, length - 100) for _ in range(30_000))
    lines += [made.line(f"r{number}", position=place) for number, place in enumerate(places)]
    lines += [made.line("last", "chr2", 77_000_000)]
    text = "".join(lines).replace("RG:Z:x", "XX:Z:x")
    with converted(text, tmp_path) as dataset:
        assert_equal(dataset, tmp_path)


def test_contigs_too_long_for_bai(tmp_path: Path) -> None:
    with converted(made.header("unsorted", LONG), tmp_path) as dataset:
        with pytest.raises(UsageError, match="longer than BAI can index"):
            _ = dataset.as_bam().bai


@pytest.mark.parametrize("step", [18, pytest.param(1, marks=pytest.mark.soak)])
@pytest.mark.parametrize("kind", ["bam", "sam", "cram"])
def test_real_files(kind: str, step: int, shared_data: Path, tmp_path: Path) -> None:
    """Every eighteenth file; all of them in the soak."""
    done = 0
    for path in sorted(shared_data.rglob(f"*.{kind}"))[::step]:
        if path.stat().st_size > (300_000 if step > 1 else 9_000_000) or "failed" in path.parts:
            continue
        url = str(tmp_path / str(done))
        try:
            convert(str(path), url, workers=2, profile="fast")
        except InputError:
            continue
        (tmp_path / f"{done}.files").mkdir()
        with bams3.open(url) as dataset:
            assert_equal(dataset, tmp_path / f"{done}.files", 10)
        done += 1
    assert done > 0


# ---- what is read --------------------------------------------------------------------------------
def test_only_the_chunks_concerned_are_touched(source: Path, fake_s3: FakeS3) -> None:
    convert(str(source), "s3://bucket/made.bams3", chunk_size=1 << 18)
    with bams3.open("s3://bucket/made.bams3") as dataset:
        bam = dataset.as_bam()
        assert len(dataset.index.chunks) >= 4
        fake_s3.reset()
        assert bam.bai
        assert bam.csi
        assert b"".join(bam.read(0, bam._starts[0]))
        assert b"".join(bam.read(bam.size - 28))
        assert fake_s3.requests == [], "header, index and end need no chunk"
        for tile, place in enumerate(bam._places):
            fake_s3.reset()
            # An open range, of which the client takes one block.
            stream = bam.read(tile_start(bam, tile))
            assert next(stream)
            stream.close()
            wanted = f"made.bams3/{dataset.source.key(place.chunk)}"
            assert {request.key for request in fake_s3.requests} <= {wanted}
            assert len(fake_s3.requests) <= 2
        fake_s3.reset()
        assert next(bam.read(tile_start(bam, 1)))
        assert fake_s3.requests == [], "what was read is held"


def test_damage_stops_the_stream(source: Path, tmp_path: Path) -> None:
    convert(str(source), str(tmp_path / "made"))
    with bams3.open(str(tmp_path / "made")) as dataset:
        bam = dataset.as_bam()
        chunk = tmp_path / "made" / dataset.source.key(0)
        chunk.write_bytes(bytes(chunk.stat().st_size))
        with pytest.raises(CorruptError):
            b"".join(bam.read())
        with pytest.raises(CorruptError):
            b"".join(bam.read(bam._starts[1], bam._starts[1] + 1))


def test_a_tile_that_is_not_as_long_as_the_index_says_stops_the_stream(bam: VirtualBam) -> None:
    first, second = bam._sections([0])[0], bam._sections([1])[0]
    assert first.place.bytes != second.place.bytes
    with pytest.raises(CorruptError, match="other sizes than the index says"):
        bam._whole((1, replace(first, place=second.place)))


# ---- slices --------------------------------------------------------------------------------------
def test_slices_are_where_the_records_are(dataset: Dataset, bam: VirtualBam) -> None:
    """Each begins with a block, and the index begins with them."""
    sliced = 0
    for tile, place in enumerate(bam._places):
        slices, records = dataset.slices_of(place), iter(bam.dataset.source.read([place], "both"))
        data = dataset.source.decode(next(records))
        assert slices in ([], _core.measure_slices(data, [row[0] for row in slices]))
        for number in range(len(slices)):
            start = bam._starts[bam._firsts[tile] + number]
            block = _core.bgzf_inflate(next(bam.read(start)))
            assert struct.unpack_from("<i", block, 8)[0] == slices[number][1]
        sliced += len(slices)
    assert sliced > 10


def test_who_begins_late_in_a_tile_gets_the_next_one_decoded(dataset: Dataset) -> None:
    bam = VirtualBam(dataset)
    tile = next(t for t in range(len(bam._places)) if bam._firsts[t + 1] - bam._firsts[t] > 3)
    early, late = tile_start(bam, tile), bam._starts[bam._firsts[tile + 1] - 1]
    assert next(bam.read(early)) and next(bam.read(late, tile_start(bam, tile + 1)))
    bam._ahead.submit(int).result()
    assert bam._key(tile + 1) not in bam._cache
    bam = VirtualBam(dataset)
    assert next(bam.read(late))
    bam._ahead.submit(int).result()
    assert bam._key(tile + 1) in bam._cache


def test_what_cannot_be_decoded_ahead_is_told_to_who_asks(source: Path, tmp_path: Path) -> None:
    convert(str(source), str(tmp_path / "made"))
    with bams3.open(str(tmp_path / "made")) as dataset:
        bam = dataset.as_bam()
        tile = next(t for t in range(len(bam._places)) if bam._firsts[t + 1] - bam._firsts[t] > 2)
        place = bam._places[tile + 1]
        with open(tmp_path / "made" / dataset.source.key(place.chunk), "r+b") as chunk:
            chunk.seek(place.core[0])
            chunk.write(bytes(place.core[1]))
        stream = bam.read(bam._starts[bam._firsts[tile + 1] - 1])
        assert next(stream)
        bam._ahead.submit(int).result()
        with pytest.raises(CorruptError, match=f"tile {place.tile}: .*checksum"):
            next(stream)


def test_older_datasets_without_slices(tmp_path: Path) -> None:
    version, *_ = sorted(make_golden.GOLDEN.iterdir())
    for case in ("short.fast", "tables.balanced"):
        (tmp_path / case).mkdir()
        with bams3.open(version / case) as dataset:
            assert dataset.manifest.version == (1, 0) and not dataset.slices
            assert_equal(dataset, tmp_path / case)


@pytest.mark.parametrize("kind", ["missing", "cut off", "exchanged", "other"])
def test_slices_that_are_not_right_are_damage(kind: str, source: Path, tmp_path: Path) -> None:
    made_ = tmp_path / "made"
    convert(str(source), str(made_))
    (path,) = made_.glob("_index/*.slices")
    raw = path.read_bytes()
    slices, other = _core.Slices.from_bytes(_core.zstd_decompress(raw, 1 << 20)), _core.Slices()
    for tile in range(slices.tiles):
        # Their bytes do not sum to those of the tile; or they do, and only the digest tells.
        change = (0, 0, 0, 1) if kind == "other" else (0, 0, 1, 0)
        other.add([tuple(map(sum, zip(row, change, strict=True))) for row in slices.of(tile)])
    data = _core.zstd_compress(other.to_bytes(), 9)
    if kind == "other":
        replace_slices(made_, path, data)
    path.unlink()
    if kind in ("cut off", "exchanged"):
        path.write_bytes(raw[:-1] if kind == "cut off" else data)
    said = {"missing": "slices: No such", "other": "slices are not"}.get(kind, "fails its checksum")
    with bams3.open(made_) as dataset:
        with pytest.raises(CorruptError, match=said):
            dataset.as_bam()
        assert dataset.query("chr1:500,000-500,100").count() > 0, "queries do without"
        summary = verify(dataset)
        assert summary.problems and all("slices" in problem for problem in summary.problems)


def replace_slices(folder: Path, path: Path, data: bytes) -> None:
    """Put other slices into a dataset, as if they had been written so."""
    manifest = Manifest.from_bytes((folder / "_metadata.json").read_bytes())
    table = SliceTable(_core.hash64(data), len(data))
    assert table.key != f"_index/{path.name}"
    (folder / table.key).write_bytes(data)
    (folder / "_metadata.json").write_bytes(replace(manifest, slices=table).to_bytes())


# ---- the cache -----------------------------------------------------------------------------------
class Sliced:
    """A tile of three slices of 10 bytes; its columns take 50."""

    count, size = 3, 50

    def __init__(self) -> None:
        self.made: list[int] = []

    def slice(self, number: int) -> bytes:
        self.made.append(number)
        return bytes([number] * 10)


def test_tiles_are_made_once_however_many_ask() -> None:
    cache, made, gate = TileCache(100), [], threading.Event()

    def make() -> Sliced:
        gate.wait(10)
        made.append(Sliced())
        return made[-1]

    got: list[list[bytes]] = []
    read = lambda: got.append([cache.slice("a", number, make) for number in (1, 0)])  # noqa: E731
    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join()
    assert got == [[b"\1" * 10, b"\0" * 10]] * 8
    assert len(made) == 1 and sorted(made[0].made) == [0, 1]


def test_the_tile_used_least_lately_is_dropped() -> None:
    cache = TileCache(130)
    cache.slice("a", 0, Sliced)
    cache.slice("b", 0, Sliced)
    assert "a" in cache and "b" in cache
    cache.slice("a", 1, Sliced)  # 70 and 60
    cache.prepare("c", Sliced)
    assert "b" not in cache and "a" in cache and "c" in cache
    cache.slice("a", 2, Sliced)  # whole: 30 without its columns
    cache.slice("d", 0, Sliced)
    assert "a" in cache and "c" not in cache and "d" in cache
    assert TileCache(20).slice("e", 0, Sliced) == bytes(10), "however small the cache"


def test_nobody_waits_for_another_tile() -> None:
    cache, gate = TileCache(1000), threading.Event()

    def slow() -> Sliced:
        gate.wait(10)
        return Sliced()

    thread = threading.Thread(target=cache.slice, args=["slow", 0, slow])
    thread.start()
    try:
        assert cache.slice("quick", 0, Sliced) == bytes(10)
        assert "slow" in cache
    finally:
        gate.set()
        thread.join()


def test_tiles_that_cannot_be_made_are_not_held() -> None:
    cache = TileCache(100)

    def broken() -> Sliced:
        raise CorruptError("broken")

    class Half(Sliced):
        def slice(self, number: int) -> bytes:
            if number:
                raise CorruptError("broken")
            return super().slice(number)

    for make in (broken, Half):
        with pytest.raises(CorruptError):
            cache.slice("a", 1, make)
        assert "a" not in cache and cache._size == 0
    with pytest.raises(CorruptError):
        cache.prepare("a", broken)
    assert cache.slice("a", 0, Half) == bytes(10)
    with pytest.raises(CorruptError):
        cache.slice("a", 1, Half)
    assert cache.slice("a", 1, Sliced) == b"\1" * 10


# ---- as a file -----------------------------------------------------------------------------------
def test_as_a_python_file(bam: VirtualBam, whole: bytes) -> None:
    chance, oracle = random.Random(3), io.BytesIO(whole)
    with bam.open() as file:
        assert (file.readable(), file.seekable(), file.writable()) == (True, True, False)
        for _ in range(300):
            if chance.random() < 0.5:
                whence = chance.choice([io.SEEK_SET, io.SEEK_END])
                offset = chance.randrange(bam.size) * (1 if whence == io.SEEK_SET else -1)
                assert file.seek(offset, whence) == oracle.seek(offset, whence)
            size = chance.choice([0, 1, 100, 3_000_000])
            assert file.read(size) == oracle.read(size)
            assert file.tell() == oracle.tell()
        with pytest.raises(ValueError, match="before the file"):
            file.seek(-bam.size - 1, io.SEEK_END)


def test_through_a_pipe(bam: VirtualBam, source: Path) -> None:
    ours, theirs = os.pipe()

    def write() -> None:
        with bam.open() as file, os.fdopen(theirs, "wb") as pipe:
            shutil.copyfileobj(file, pipe, 1 << 20)

    thread = threading.Thread(target=write)
    thread.start()
    with os.fdopen(ours, "rb") as pipe, pysam.AlignmentFile(pipe) as mine:
        with pysam.AlignmentFile(str(source)) as other:
            assert mine.header.to_dict() == other.header.to_dict()
            assert [read.to_string() for read in mine] == [
                read.to_string() for read in other.fetch(until_eof=True)
            ]
    thread.join()


def test_contigs_are_those_of_the_source(bam: VirtualBam, tmp_path: Path) -> None:
    with pysam.AlignmentFile(str(written(bam, tmp_path, "csi"))) as file:
        assert dict(zip(file.references, file.lengths, strict=True)) == CONTIGS
