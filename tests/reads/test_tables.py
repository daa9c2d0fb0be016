"""Datasets whose tiles lie in tables: the same answers, whatever befalls tables and hints."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bams3
from bams3 import _core
from bams3.errors import CorruptError, ExistsError, NotFoundError, PermissionDenied, StorageError
from bams3.reads import dataset as datasets
from bams3.reads import tables
from bams3.reads.clean import clean
from bams3.reads.dataset import Dataset
from bams3.reads.manifest import METADATA, Manifest
from bams3.reads.merge import merge
from bams3.reads.to_bam import to_bam
from bams3.reads.verify import verify
from bams3.reads.writer import Destination
from bams3.storage import Store, open_store
from bams3.storage.local import LocalStore
from bams3.storage.store import Data, Span
from tests.reads.sample import CONTIGS, make_bam, make_dataset, samtools
from tests.servers.fake_s3 import FakeS3

TILE = 50
"""Reads of a tile, so that a small dataset has many tiles and chunks."""
REGIONS = [
    "chr1:400,100-400,200", "chr1", "chr2:1-9,000", "chr2", "HLA-A*01:01", "{b:7}", "{b}:7",
    "empty", "chrM:16,500-20,000", "*", ".",
]  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def small_tables() -> Iterator[None]:
    """Small tiles, and a table for each contig that has chunks of its own."""
    cutter = _core.Cutter
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_core, "Cutter", lambda bins, _, size: cutter(bins, TILE, size))
        patch.setattr(tables, "LARGE", 0)
        patch.setattr(tables, "WORTH", 1)
        yield


@pytest.fixture(scope="module")
def bam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bam(tmp_path_factory.mktemp("one"), 6_000)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bam(tmp_path_factory.mktemp("two"), 5_000, 2)


@pytest.fixture(scope="module")
def objects(bam: Path) -> dict[str, bytes]:
    return objects_of(make_dataset(bam))


@pytest.fixture(scope="module")
def others(other: Path) -> dict[str, bytes]:
    return objects_of(make_dataset(other))


def objects_of(url: str) -> dict[str, bytes]:
    store = open_store(url)
    return {entry.key: store.get(entry.key) for entry in store.list()}


def fill(url: str, objects: dict[str, bytes]) -> Store:
    store = open_store(url)
    for key, data in objects.items():
        store.put(key, data)
    return store


def lines(dataset: Dataset, *regions: str) -> list[str]:
    blocks = dataset.query(*regions).blocks()
    return (
        b"".join(_core.format_sam(block, dataset.header) for block in blocks).decode().split("\n")
    )


def expected(bam: Path, *regions: str) -> list[str]:
    return samtools("view", bam, *regions).split("\n")


def index_of(objects: dict[str, bytes]) -> _core.Index:
    return Manifest.from_bytes(objects[METADATA]).index


def test_there_are_tables_and_chunks_in_the_manifest(objects: dict[str, bytes]) -> None:
    index = index_of(objects)
    assert [table.tid for table in index.tables] == [0, 1, -1]
    names = [key.split(".")[0] for key in objects if key.endswith(".tiles")]
    assert sorted(names) == ["_index/chr1", "_index/chr2", "_index/unmapped"]
    chunks = index.chunks
    assert len(chunks) > 12 and any(chunk.first_tid != chunk.last_tid for chunk in chunks)


@pytest.mark.parametrize("known", [False, True])
def test_queries_are_those_of_samtools(
    bam: Path, objects: dict[str, bytes], store_url: str, known: bool
) -> None:
    fill(store_url, objects)
    for region in REGIONS:
        with bams3.open(store_url, regions=[region] if known else []) as dataset:
            assert lines(dataset, region) == expected(bam, region)
            count = samtools("view", "-c", bam, region)
            assert f"{dataset.query(region).count()}\n" == count
    with bams3.open(store_url, regions=REGIONS[:4] if known else []) as dataset:
        assert lines(dataset, *REGIONS[:4]) == expected(bam, *REGIONS[:4])
    with bams3.open(store_url) as dataset:
        bed = [bams3.Region("chr2", 10, 9000), bams3.Region("chrM", 0, 99)]
        assert dataset.query(bed=bed).count() == dataset.query("chr2:11-9000", "chrM:1-99").count()


def test_whole_dataset_readers(
    bam: Path, objects: dict[str, bytes], store_url: str, tmp_path: Path
) -> None:
    fill(store_url, objects)
    with bams3.open(store_url) as dataset:
        assert b"".join(dataset.depth().text()).decode() == samtools("depth", bam)
    with bams3.open(store_url) as dataset:
        to_bam(dataset, tmp_path / "back.bam", pg=False)
        assert samtools("view", "-h", "--no-PG", tmp_path / "back.bam") == samtools(
            "view", "-h", "--no-PG", bam
        )
    with bams3.open(store_url) as dataset:
        found = verify(dataset, against=str(bam))
        assert found.ok and found.objects == len(objects) - len(dataset.index.tables)


def test_whatever_regions_are_named_at_first(objects: dict[str, bytes], fake_s3: FakeS3) -> None:
    """None of them is an error, and not too many are asked for."""
    fill("s3://bucket/x", objects)
    odd = ["", ".", "*", ":", "{", "../x", "chr1\0", "\udc80", "ü", "nothing:5", "chr1", "chr2:1-2"]
    with bams3.open("s3://bucket/x", regions=odd) as dataset:
        assert all(table.loaded for table in dataset.index.tables)
    fake_s3.reset()
    with bams3.open("s3://bucket/x", regions=[f"chr{n}" for n in range(40)]) as dataset:
        assert not any(table.loaded for table in dataset.index.tables)
    assert len(fake_s3.requests) == 1


def test_statistics_need_no_table(objects: dict[str, bytes], fake_s3: FakeS3) -> None:
    fill("s3://bucket/x", objects)
    fake_s3.reset()
    with bams3.open("s3://bucket/x") as dataset:
        assert dataset.stats()["records"] == 6_000
    assert [request.key for request in fake_s3.requests] == [f"x/{METADATA}"]


def test_tiles_that_are_not_loaded_are_not_nothing(objects: dict[str, bytes]) -> None:
    index = index_of(objects)
    number = [chunk.first_tid for chunk in index.chunks].index(1)
    for act in (
        lambda: index.overlapping(0, 0, 10),
        lambda: index.overlapping(-1, 0, 10),
        lambda: index.tiles(number),
        lambda: index.rows(number),
        lambda: index.size(number),
    ):
        with pytest.raises(RuntimeError, match="not loaded"):
            act()
    assert index.overlapping(list(CONTIGS).index("chrM"), 0, 1 << 20)


# ---- whatever befalls them -----------------------------------------------------------------------
class Changed(LocalStore):
    """A folder in which some objects read otherwise: other bytes, missing, or an error."""

    changes: dict[str, bytes | Exception]

    def get(self, key: str, start: int | None = None, end: int | None = None) -> bytes:
        change = self.changes.get(key)
        if isinstance(change, Exception):
            raise change
        data = super().get(key) if change is None else change
        if end is not None and end > len(data):
            raise CorruptError(f"{self.url_of(key)}: has {len(data)} bytes")
        return data if start is None else data[start:end]

    def get_many(self, spans: Sequence[Span]) -> list[bytes]:
        return [self.get(*span) for span in spans]


FATES = ["right", "old", "other", "flipped", "cut", "long", "empty", "missing", "denied", "down"]
TABLES = ["right", "right", "right", "flipped", "cut", "missing"]
PLACES = {"chr1": 0, "chr2": 1, "unmapped": -1}


def fated(
    fate: str, name: str, data: bytes, others: dict[str, bytes], at: int
) -> bytes | Exception:
    """What is read instead of a hint or a table."""
    spoilt = bytearray(data)
    spoilt[at % len(data)] ^= 1 << at % 8
    another = "chr2" if name == "chr1" else "chr1"
    return {
        "right": data,
        "old": others[f"_index/{name}.hint"],
        "other": others[f"_index/{another}.hint"],
        "flipped": bytes(spoilt),
        "cut": data[: at % len(data)],
        "long": data + b"\0",
        "empty": b"",
        "missing": NotFoundError("nothing there"),
        "denied": PermissionDenied("not allowed"),
        "down": StorageError("down"),
    }[fate]


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_mixture_of_hints_and_tables_is_right_or_an_error(
    data: st.DataObject, bam: Path, objects: dict[str, bytes], others: dict[str, bytes]
) -> None:
    store = Changed(str(bam.with_suffix(".bams3")))
    fates: dict[str, tuple[str, str]] = {}
    store.changes = {}
    keys = {key.split(".")[0].removeprefix("_index/"): key for key in objects if ".tiles" in key}
    for name, key in keys.items():
        fates[name] = data.draw(st.tuples(st.sampled_from(FATES), st.sampled_from(TABLES)))
        at = data.draw(st.integers(0, 9999))
        for one, fate in zip((f"_index/{name}.hint", key), fates[name], strict=True):
            store.changes[one] = fated(fate, name, objects[key], others, at)
    region = data.draw(st.sampled_from(REGIONS))
    known = data.draw(st.lists(st.sampled_from(REGIONS), max_size=3))
    needed = {"*": {"unmapped"}, ".": set(PLACES), "chr1": {"chr1"}, "chr2": {"chr2"}}
    needs = needed.get(region.partition(":")[0], set())
    hinted = {name for name in needs if fates[name][0] == "right" and asked(name, known)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets, "open_store", lambda *_: store)
        with bams3.open("anything", regions=known) as dataset:
            assert {name for name in needs if is_loaded(dataset, name)} == hinted
            if all(fates[name][1] == "right" for name in needs - hinted):
                assert lines(dataset, region) == expected(bam, region)
            else:
                with pytest.raises(CorruptError, match=r"\.tiles|nothing there"):
                    lines(dataset, region)


def asked(name: str, known: list[str]) -> bool:
    return ("*" if name == "unmapped" else name) in {region.partition(":")[0] for region in known}


def is_loaded(dataset: Dataset, name: str) -> bool:
    (table,) = [table for table in dataset.index.tables if table.tid == PLACES[name]]
    return table.loaded


def test_verify_names_a_bad_table_and_passes_over_hints(
    objects: dict[str, bytes], tmp_path: Path
) -> None:
    store = fill(str(tmp_path), objects)
    store.put("_index/chr1.hint", b"nonsense")
    with bams3.open(tmp_path) as dataset:
        assert verify(dataset).ok
    (key,) = [key for key in objects if key.startswith("_index/chr2.") and "tiles" in key]
    store.put(key, objects[key][:-1] + b"x")
    for quick in (False, True):
        with bams3.open(tmp_path) as dataset:
            found = verify(dataset, quick=quick)
            assert [key in problem for problem in found.problems] == [True]
    store.delete_many([key])
    with bams3.open(tmp_path) as dataset:
        assert [key in problem for problem in verify(dataset).problems] == [True]


# ---- writing -------------------------------------------------------------------------------------
def test_objects_on_stores(bam: Path, other: Path, any_store_url: str) -> None:
    """Tables and hints are written, replaced with the dataset, and nothing else is left."""
    from bams3.reads.convert import convert

    for number, source in enumerate((bam, other)):
        convert(str(source), any_store_url, chunk_size=1 << 16, overwrite=bool(number), workers=2)
        keys = {entry.key for entry in open_store(any_store_url).list()}
        with bams3.open(any_store_url, regions=["chr1"]) as dataset:
            manifest = dataset.manifest
            assert keys == manifest.keys() | manifest.hints() | {METADATA}
            assert is_loaded(dataset, "chr1") and not is_loaded(dataset, "chr2")
            assert lines(dataset, "chr1") == expected(source, "chr1")
    before = clean(any_store_url)
    assert before.objects == 0


def test_readers_of_a_replaced_dataset(bam: Path, other: Path, tmp_path: Path) -> None:
    url = str(tmp_path / "x")
    make(bam, url)
    with bams3.open(url) as cold, bams3.open(url, regions=["chr2"]) as warm:
        make(other, url, overwrite=True)
        for dataset in (cold, warm):
            for region in ("chr1", "chr2:1-9,000", "*", "."):
                with pytest.raises(StorageError, match="replaced"):
                    lines(dataset, region)
        with pytest.raises(StorageError, match="replaced"):
            verify(cold)


def test_a_manifest_and_hints_of_two_datasets(
    bam: Path, other: Path, objects: dict[str, bytes], others: dict[str, bytes], tmp_path: Path
) -> None:
    """As a reader sees them whose requests lie around the moment of replacement."""
    for first, second, source in ((objects, others, bam), (others, objects, other)):
        hints = {key: data for key, data in second.items() if key.endswith(".hint")}
        fill(str(tmp_path), first | hints)
        with bams3.open(tmp_path, regions=REGIONS) as dataset:
            assert not any(table.loaded for table in dataset.index.tables)
            for region in REGIONS:
                assert lines(dataset, region) == expected(source, region)


def make(source: Path, url: str, **options: object) -> None:
    from bams3.reads.convert import convert

    convert(str(source), url, chunk_size=1 << 16, workers=2, **options)  # type: ignore[arg-type]


KILLED = """
import os, sys
from bams3 import _core
from bams3.reads import tables
from bams3.reads.convert import convert
from bams3.storage.local import LocalStore

tables.LARGE, tables.WORTH, cutter, put = 0, 1, _core.Cutter, LocalStore.put
_core.Cutter = lambda bins, _, size: cutter(bins, 50, size)

def killed(self, key, data):
    global left
    if key.endswith(".hint"):
        left -= 1
        if left < 0:
            os._exit(9)
    return put(self, key, data)

left, LocalStore.put = int(sys.argv[3]), killed
convert(sys.argv[1], sys.argv[2], chunk_size=1 << 16, workers=2, overwrite=True)
"""


@pytest.mark.parametrize("written", [0, 1, 2])
def test_killed_before_all_hints_are_written(
    bam: Path, other: Path, written: int, tmp_path: Path
) -> None:
    url = str(tmp_path / "x")
    make(bam, url)
    command = [sys.executable, "-c", KILLED, str(other), url, str(written)]
    assert subprocess.run(command).returncode == 9
    with bams3.open(url, regions=REGIONS) as dataset:
        loaded = [table.loaded for table in dataset.index.tables]
        assert 3 - written <= loaded.count(False) <= 3
        assert lines(dataset, ".") == expected(other)
        assert lines(dataset, "chr2") == expected(other, "chr2")
    assert clean(url).objects > 3
    with bams3.open(url, regions=REGIONS) as dataset:
        assert all(table.loaded for table in dataset.index.tables)
        keep = dataset.manifest.keys() | dataset.manifest.hints() | {METADATA}
        assert lines(dataset, ".") == expected(other)
    assert set(objects_of(url)) == keep


def test_clean_removes_what_is_not_of_the_dataset(
    objects: dict[str, bytes], others: dict[str, bytes], store_url: str
) -> None:
    strange = {"_index/notes.txt": b"not ours", "_index/deep/er": b"neither"}
    left = {key: data for key, data in others.items() if key.endswith(".tiles")}
    left |= {"_index/gone.hint": b"", "_index/chr2.0123456789abcdef.tiles": b""}
    store = fill(store_url, objects | left | strange | {"_index/chr1.hint": b"old"})
    store.delete_many(["_index/chr2.hint"])
    assert clean(store_url).objects == len(left)
    assert objects_of(store_url) == objects | strange


def test_a_small_dataset_in_place_of_a_large_one(
    bam: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = str(tmp_path / "x")
    make(bam, url)
    monkeypatch.setattr(tables, "LARGE", 1 << 20)
    make(bam, url, overwrite=True)
    assert not [key for key in objects_of(url) if key.startswith("_index")]
    with bams3.open(url, regions=["chr1"]) as dataset:
        assert lines(dataset, "chr1") == expected(bam, "chr1")


def test_one_that_comes_too_late_leaves_hints_alone(
    bam: Path, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = str(tmp_path / "x")
    settle = Destination._check_all_there

    def slow(self: Destination, manifest: Manifest) -> None:
        monkeypatch.setattr(Destination, "_check_all_there", settle)
        make(other, url)

    monkeypatch.setattr(Destination, "_check_all_there", slow)
    with pytest.raises(ExistsError):
        make(bam, url)
    with bams3.open(url, regions=REGIONS) as dataset:
        assert all(table.loaded for table in dataset.index.tables)
        assert lines(dataset, ".") == expected(other)
        kept = dataset.manifest.keys() | dataset.manifest.hints() | {METADATA}
    clean(url)
    assert set(objects_of(url)) == kept


def test_hints_that_cannot_be_written_are_done_without(
    bam: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = LocalStore.put

    def failing(self: LocalStore, key: str, data: Data) -> str:
        if key.endswith(".hint"):
            raise StorageError("full")
        return put(self, key, data)

    monkeypatch.setattr(LocalStore, "put", failing)
    make(bam, str(tmp_path))
    assert not [key for key in objects_of(str(tmp_path)) if key.endswith(".hint")]
    with bams3.open(tmp_path, regions=["chr1"]) as dataset:
        assert lines(dataset, "chr1") == expected(bam, "chr1")


def test_merge(bam: Path, other: Path, tmp_path: Path) -> None:
    part = tmp_path / "chr2.bam"
    samtools("view", "-b", "--no-PG", "-o", part, other, "chr2")
    apart = tmp_path / "chr1.bam"
    samtools("view", "-b", "--no-PG", "-o", apart, bam, "chr1")
    for source in (bam, other, part, apart):
        make(source, str(source.with_suffix(".split")), overwrite=True)
    sources = [str(source.with_suffix(".split")) for source in (apart, part)]
    done = merge(str(tmp_path / "copied"), sources)
    assert done.encoded == 0 and done.copied > 3
    with bams3.open(tmp_path / "copied", regions=["chr1", "chr2"]) as dataset:
        assert [table.loaded for table in dataset.index.tables] == [True, True]
        assert lines(dataset)[:-1] == expected(apart)[:-1] + expected(part)[:-1]
        assert verify(dataset).ok
    merge(
        str(tmp_path / "both"), [str(bam.with_suffix(".split")), str(other.with_suffix(".split"))]
    )
    with bams3.open(tmp_path / "both") as dataset:
        assert len(dataset.index.tables) == 3
        assert sorted(lines(dataset)) == sorted(expected(bam)[:-1] + expected(other))
        assert verify(dataset).ok
