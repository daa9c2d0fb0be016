"""A flipped bit anywhere in a dataset is found by whatever reads it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

import bams3
from bams3 import _core
from bams3.errors import CorruptError
from bams3.reads.convert import convert
from bams3.reads.dataset import Dataset
from bams3.reads.manifest import METADATA, Manifest
from bams3.reads.merge import merge
from bams3.reads.to_bam import to_bam
from bams3.reads.verify import verify
from bams3.storage.local import LocalStore
from bams3.storage.store import Span
from tests.reads import made

CONTIGS = [("chr1", 3_000), ("chr2", 900)]


class Flipping(LocalStore):
    """A folder in which one bit of one object reads wrong."""

    flipped: tuple[str, int] = ("", 0)

    def get(self, key: str, start: int | None = None, end: int | None = None) -> bytes:
        data = bytearray(super().get(key))
        name, at = self.flipped
        if key == name:
            data[at] ^= 1 << at % 8
        return bytes(data if start is None else data[start:end])

    def get_many(self, spans: Sequence[Span]) -> list[bytes]:
        return [self.get(*span) for span in spans]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Flipping:
    folder = tmp_path_factory.mktemp("flips")
    text = made.header(contigs=CONTIGS) + made.shuffled(40, contigs=CONTIGS)
    convert(made.write_sam(folder, text), str(folder / "out"), workers=1)
    return Flipping(str(folder / "out"))


def opened(store: Flipping) -> Dataset:
    data = store.get(METADATA)
    return Dataset(store, Manifest.from_bytes(data, store.url_of(METADATA)), _core.hash64(data))


def places(store: Flipping, kind: str) -> Iterator[tuple[str, int]]:
    for entry in store.list():
        if entry.key.startswith(kind):
            yield from ((entry.key, at) for at in range(entry.size))


def test_in_the_manifest(store: Flipping) -> None:
    data = store.get(METADATA)
    for at in range(len(data)):
        for bit in range(8):
            spoilt = bytearray(data)
            spoilt[at] ^= 1 << bit
            with pytest.raises(CorruptError, match=r"here\.json: damaged manifest"):
                Manifest.from_bytes(bytes(spoilt), "here.json")


def test_in_the_header(store: Flipping) -> None:
    dataset = opened(store)
    for place in places(store, "_header"):
        store.flipped = place
        with pytest.raises(CorruptError, match=r"_header\..*checksum"):
            assert opened(store).header
    store.flipped = "", 0
    assert dataset.header


READERS: dict[str, Callable[[Dataset], object]] = {
    "records": lambda dataset: list(dataset.query(threads=1)),
    "batches": lambda dataset: list(dataset.query(threads=1).batches()),
}
CORE_READERS: dict[str, Callable[[Dataset], object]] = {
    "count": lambda dataset: dataset.query(threads=1).count(),
    "depth": lambda dataset: [*dataset.depth(threads=1).text(True, True)],
    "means": lambda dataset: [*dataset.depth(threads=1).means()],
}


@pytest.mark.parametrize("reader", [*READERS, *CORE_READERS])
def test_in_a_chunk(store: Flipping, reader: str) -> None:
    store.flipped = "", 0
    dataset = opened(store)
    act = (READERS | CORE_READERS)[reader]
    expected = act(dataset)
    cores = {
        dataset.source.key(number): sum(tile.core[1] for tile in dataset.index.tiles(number))
        for number in range(len(dataset.index.chunks))
    }
    for key, at in places(store, "data/chr1"):
        store.flipped = key, at
        if reader in READERS or at < cores[key]:
            with pytest.raises(CorruptError, match=r"\.chunk, tile 0: a section fails"):
                act(dataset)
        elif at % 50 == 0:
            assert act(dataset) == expected


def test_verify_to_bam_and_merge_name_the_object(store: Flipping, tmp_path: Path) -> None:
    store.flipped = "", 0
    dataset = opened(store)
    for place in random.Random(1).sample([*places(store, "data"), *places(store, "_header")], 60):
        store.flipped = place
        name = Path(place[0]).name
        dataset = opened(store)
        problems = verify(dataset, threads=1).problems
        assert len(problems) == 1 and name in problems[0]
        with pytest.raises(CorruptError, match=name):
            to_bam(dataset, tmp_path / "out.bam", threads=1)
    assert not list(tmp_path.iterdir())


def test_merge_refuses_a_damaged_chunk(store: Flipping, tmp_path: Path) -> None:
    store.flipped = "", 0
    objects = {entry.key: store.get(entry.key) for entry in store.list()}
    for key, data in objects.items():
        path = tmp_path / "damaged" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        spoilt = bytearray(data)
        if key.startswith("data"):
            spoilt[len(spoilt) // 2] ^= 1
        path.write_bytes(spoilt)
    with pytest.raises(CorruptError, match=r"data/.*\.chunk"):
        merge(str(tmp_path / "out"), [str(tmp_path / "damaged")])
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_records_on_contigs_that_are_not_there_are_damage(
    store: Flipping, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.flipped = "", 0
    dataset = opened(store)
    object.__setattr__(dataset.source, "contigs", 1)
    with pytest.raises(CorruptError, match=r"chr2.*\.chunk, tile 0: a record is on contig 1"):
        list(dataset.query())
    assert bams3.open(store.url).query().count() == 40
