"""CRAM whose bases lie in an external reference: on disk, on a web server, on S3."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pysam
import pytest

from bams3.errors import Bams3Error, InputError, NotFoundError, StorageError
from bams3.reads.convert import convert
from bams3.storage import StorageOptions, open_store
from tests.cli.run import bams3_
from tests.reads import made
from tests.servers.fake_s3 import FakeS3
from tests.servers.files import FileServer
from tests.servers.proxy import FaultProxy, cut, fail, reset

LENGTH, READ = 300_000, 100


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ref.fa and in.cram, which is not to be read without it, and what it holds."""
    folder, chance = tmp_path_factory.mktemp("cram"), random.Random(1)
    genome = {name: "".join(chance.choices("ACGT", k=LENGTH)) for name in ("c1", "c2")}
    fasta = folder / "ref.fa"
    rows = {
        name: [bases[at : at + 60] for at in range(0, LENGTH, 60)] for name, bases in genome.items()
    }
    fasta.write_text("".join(">{}\n{}\n".format(name, "\n".join(rows[name])) for name in genome))
    pysam.faidx(str(fasta))
    sam = made.write_sam(folder, "".join(_lines(genome)))
    cram = folder / "in.cram"
    pysam.view("-C", "--no-PG", "-T", str(fasta), "-o", str(cram), sam, catch_stdout=False)
    decoded = pysam.view("-T", str(fasta), str(cram))
    (folder / "expected.sam").write_text(decoded)
    assert {line.split("\t")[9] for line in made.alignments(decoded)} > {genome["c1"][:READ]}
    pysam.tabix_compress(str(fasta), f"{fasta}.gz")
    pysam.faidx(f"{fasta}.gz")
    fasta.rename(folder / "moved.fa")  # not where UR of the header says
    (folder / "ref.fa.fai").rename(folder / "moved.fa.fai")
    return folder


def _lines(genome: dict[str, str]) -> Iterator[str]:
    yield "@HD\tVN:1.6\tSO:coordinate\n"
    yield from (f"@SQ\tSN:{name}\tLN:{LENGTH}\n" for name in genome)
    for name, bases in genome.items():
        for at in range(0, LENGTH - READ, 150):
            row = (
                f"{name}.{at}",
                0,
                name,
                at + 1,
                60,
                f"{READ}M",
                "*",
                0,
                0,
                bases[at : at + READ],
            )
            yield "\t".join(map(str, row)) + f"\t{'F' * READ}\n"


@pytest.fixture
def server(folder: Path) -> Iterator[FileServer]:
    with FileServer() as server:
        for name in ("moved.fa", "moved.fa.fai", "ref.fa.gz", "ref.fa.gz.fai", "ref.fa.gz.gzi"):
            server.files[f"/dir/{name}"] = (folder / name).read_bytes()
        yield server


def expected(folder: Path) -> list[str]:
    return made.alignments((folder / "expected.sam").read_text())


def converted(folder: Path, url: Path, reference: str, **options: object) -> list[str]:
    convert(str(folder / "in.cram"), str(url), reference=reference, **options)  # type: ignore[arg-type]
    return made.dataset(str(url))[1]


@pytest.mark.parametrize("name", ["moved.fa", "ref.fa.gz"])
def test_a_path(name: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert converted(folder, tmp_path / "a", str(folder / name)) == expected(folder)
    assert converted(folder, tmp_path / "b", f"file://{folder / name}") == expected(folder)
    monkeypatch.chdir(folder)
    assert converted(folder, tmp_path / "c", name) == expected(folder)


@pytest.mark.parametrize("name", ["moved.fa", "ref.fa.gz", "moved.fa?token=a%2Fb"])
def test_a_web_address(
    name: str, folder: Path, server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    assert converted(folder, tmp_path / "x", f"{server.url}/dir/{name}") == expected(folder)
    assert set(server.queries) == {name.partition("?")[2]}


def test_our_address_goes_round_a_proxy(
    folder: Path, fake_s3: FakeS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(folder, "s3://b/x")
    monkeypatch.setenv("no_proxy", "127.0.0.1")  # for the fake S3 in this process
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert converted(folder, tmp_path / "x", "s3://b/x/moved.fa") == expected(folder)


@pytest.mark.parametrize("name", ["moved.fa", "ref.fa.gz", "with space%+#.fa"])
def test_s3(name: str, folder: Path, any_store_url: str, tmp_path: Path) -> None:
    put(folder, any_store_url)
    assert converted(folder, tmp_path / "x", f"{any_store_url}/{name}") == expected(folder)
    done = bams3_(
        "verify", tmp_path / "x", "--against", folder / "in.cram",
        "--reference", f"{any_store_url}/{name}",
    )  # fmt: skip
    assert done.out.startswith(b"ok: "), done.err


def put(folder: Path, url: str) -> None:
    store = open_store(url)
    for path in folder.glob("*.fa*"):
        store.put(path.name, path.read_bytes())
    for ending in ("", ".fai"):
        store.put(f"with space%+#.fa{ending}", (folder / f"moved.fa{ending}").read_bytes())


# ---- what is wrong -------------------------------------------------------------------------------
def refused(folder: Path, url: Path, reference: str | None, kind: type[Bams3Error]) -> Bams3Error:
    with pytest.raises(kind) as caught:
        convert(str(folder / "in.cram"), str(url), reference=reference)
    assert not [path for path in url.rglob("*") if path.is_file()]
    return caught.value


def test_without_the_reference(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REF_PATH", str(tmp_path))
    error = refused(folder, tmp_path / "x", None, InputError)
    assert "in.cram: " in error.message and "Unable to fetch reference c1" in error.message
    assert "--reference" in str(error.hint)
    done = bams3_("convert", folder / "in.cram", tmp_path / "x", "--quiet")
    assert done.code == 1 and "hint: give the FASTA" in done.err and "Traceback" not in done.err


def test_no_such_reference(
    folder: Path, fake_s3: FakeS3, server: FileServer, tmp_path: Path
) -> None:
    for name in (f"{tmp_path}/none.fa", "s3://b/none.fa", f"{server.url}/none.fa", str(tmp_path)):
        error = refused(folder, tmp_path / "x", name, NotFoundError)
        assert error.message.startswith(name)


def test_a_remote_reference_without_index(folder: Path, server: FileServer, tmp_path: Path) -> None:
    del server.files["/dir/moved.fa.fai"]
    error = refused(folder, tmp_path / "x", f"{server.url}/dir/moved.fa", NotFoundError)
    assert "moved.fa.fai" in error.message and "samtools faidx" in str(error.hint)


def test_a_server_without_ranges(folder: Path, tmp_path: Path) -> None:
    with FileServer(ranges=False) as server:
        server.files["/x.fa"] = server.files["/x.fa.fai"] = b"x" * 1000
        error = refused(folder, tmp_path / "x", f"{server.url}/x.fa", StorageError)
    assert "byte ranges" in error.message


def test_another_reference(folder: Path, server: FileServer, tmp_path: Path) -> None:
    text = (folder / "moved.fa").read_text()
    (tmp_path / "wrong.fa").write_text(text.replace("ACGT", "ACCT"))
    (tmp_path / "half.fa").write_text(text.partition(">c2")[0])
    server.files["/dir/moved.fa"] = (tmp_path / "wrong.fa").read_bytes()
    for name in (str(tmp_path / "wrong.fa"), f"{server.url}/dir/moved.fa"):
        error = refused(folder, tmp_path / "x", name, InputError)
        assert "MD5 checksum reference mismatch" in error.message
        assert f"aligned to {name}?" in str(error.hint)
    error = refused(folder, tmp_path / "x", str(tmp_path / "half.fa"), InputError)
    assert "c2" in error.message


def test_the_store_fails_on_the_way(folder: Path, server: FileServer, tmp_path: Path) -> None:
    quick = StorageOptions.resolve({"retries": 3, "backoff": 0.01})
    with FaultProxy(server.url) as proxy:
        url = f"{proxy.url}/dir/moved.fa"
        proxy.plan(*[fail(503), None, reset(), cut(20_000), None] * 3)
        assert converted(folder, tmp_path / "x", url, storage=quick) == expected(folder)
        assert proxy.faults >= 5
        for before in (2, 3, 4, 6):
            proxy.plan(*[None] * before, *[fail(503)] * 500)
            with pytest.raises(StorageError, match=r"moved\.fa.*: SlowDown"):
                converted(folder, tmp_path / "y", url, storage=quick)
            assert not [path for path in (tmp_path / "y").rglob("*") if path.is_file()]


def test_nothing_is_served_to_strangers(folder: Path, server: FileServer) -> None:
    import urllib.error
    import urllib.request

    from bams3.storage.loopback import Loopback

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with Loopback(f"{server.url}/dir/moved.fa") as served:
        whole = (folder / "moved.fa").read_bytes()
        assert opener.open(served.address).read() == whole
        asked = urllib.request.Request(served.address, headers={"Range": "bytes=100-199"})
        assert opener.open(asked).read() == whole[100:200]
        base = served.address.partition("/moved.fa")[0]
        for address in (base, f"{base}/ref.fa.gz", base[:-1] + "/moved.fa", f"{served.address}.gz"):
            with pytest.raises(urllib.error.HTTPError, match="404") as caught:
                opener.open(address)
            caught.value.close()
