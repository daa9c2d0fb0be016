"""References: any line length, plain and bgzipped, on disk and in a store, read in pieces."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pysam
import pytest

from bams3.errors import CorruptError
from bams3.variants import reference as module
from bams3.variants.reference import open_reference

ROOT = Path(__file__).parents[2]
CONTIGS = {"one": 100_003, "two": 61, "three": 60, "four": 40_000}


@pytest.fixture(scope="module", params=["\n", "\r\n"])
def bases(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, str]]:
    """Write r.fa and r.fa.gz with their indexes; return the folder and the bases."""
    folder, source = tmp_path_factory.mktemp("reference"), random.Random(7)
    found = {name: "".join(source.choices("ACGTacgtN", k=size)) for name, size in CONTIGS.items()}
    with open(folder / "r.fa", "w", newline="") as out:
        for name, text in found.items():
            lines = (text[at : at + 60] for at in range(0, len(text), 60))
            out.write("".join(f"{line}{request.param}" for line in (f">{name}", *lines)))
    pysam.tabix_compress(str(folder / "r.fa"), str(folder / "r.fa.gz"), force=True)
    for name in ("r.fa", "r.fa.gz"):
        pysam.faidx(str(folder / name))
    return folder, found


@pytest.mark.parametrize("name", ["r.fa", "r.fa.gz"])
@pytest.mark.parametrize("piece", [7, 60, 65_536, 8 << 20])
def test_checksums_are_those_of_the_bases_in_upper_case(
    bases: tuple[Path, dict[str, str]], name: str, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, found = bases
    monkeypatch.setattr(module, "_PIECE", piece)
    module._checksum.cache_clear()
    opened = open_reference(str(folder / name))
    for contig, text in found.items():
        if piece > 7 or len(text) < 100:
            assert opened.checksum(contig) == hashlib.md5(text.upper().encode()).hexdigest()


@pytest.mark.parametrize("name", ["r.fa", "r.fa.gz"])
def test_a_copy_has_the_contigs_asked_for(
    bases: tuple[Path, dict[str, str]], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, found = bases
    monkeypatch.setattr(module, "_PIECE", 10_000)
    remote = open_reference(f"file://{folder / name}")
    assert not remote.is_local
    with pysam.FastaFile(remote.local(["four", "one"], tmp_path)) as copy:
        assert {contig: copy.fetch(contig) for contig in copy.references} == {
            contig: found[contig] for contig in ("four", "one")
        }


def test_an_index_of_another_file_is_told(
    bases: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    shutil.copy(bases[0] / "r.fa", tmp_path / "r.fa")
    index = (bases[0] / "r.fa.fai").read_text().replace("two\t61", "two\t121")
    (tmp_path / "r.fa.fai").write_text(index)
    opened = open_reference(str(tmp_path / "r.fa"))
    with pytest.raises(CorruptError, match=r"two has .* bases, its \.fai says 121"):
        opened.checksum("two")


def test_one_that_is_replaced_meanwhile_is_told(
    bases: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    for name in ("r.fa", "r.fa.fai"):
        shutil.copy(bases[0] / name, tmp_path / name)
    opened = open_reference(str(tmp_path / "r.fa"))
    text = (tmp_path / "r.fa").read_text().swapcase()
    (tmp_path / "new").write_text(text)
    (tmp_path / "new").replace(tmp_path / "r.fa")
    with pytest.raises(CorruptError, match="was replaced"):
        opened.checksum("one")
    with pytest.raises(CorruptError, match="was replaced"):
        list(opened.lines(opened.contigs["two"]))


SHOW = """
import multiprocessing
from bams3.variants.tile import shared_folder
def show():
    print(shared_folder(), flush=True)
process = multiprocessing.get_context("fork").Process(target=show)
process.start()
process.join()
show()
"""


def test_copies_go_when_their_process_ends(tmp_path: Path) -> None:
    """Also those of a worker of Dask, which is a process of multiprocessing."""
    environ = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT / "python")}
    done = subprocess.run(
        [sys.executable, "-c", SHOW], env=environ, check=True, stdout=subprocess.PIPE, text=True
    )
    folders = [Path(line) for line in done.stdout.splitlines()]
    assert len({*folders}) == 2 and {folder.parent for folder in folders} == {tmp_path}
    assert list(tmp_path.iterdir()) == []
