"""A file and an object are compared by what S3 states, else byte by byte."""

from __future__ import annotations

import hashlib
import io
import os
import random
from pathlib import Path
from typing import Any

import pytest

from bams3.errors import ChecksumNameError, CorruptError, InputError, KeyRejectedError
from bams3.storage.bucket import Bucket
from bams3.transfer import Settings, download
from bams3.transfer.access import find_object
from bams3.transfer.claims import new_hash
from bams3.transfer.files import FileSource
from bams3.transfer.keys import GivenKey, read_key
from bams3.transfer.verify import Verified, digest, verify
from tests.servers.proxy import FaultProxy, flip
from tests.transfer import s3

MIB = 1 << 20
DATA = random.Random(3).randbytes(11 * MIB + 17)
PIECES = [DATA[: 5 * MIB], DATA[5 * MIB : 10 * MIB], DATA[10 * MIB :]]
UNLIKE = [DATA[: 5 * MIB], DATA[5 * MIB : 11 * MIB], DATA[11 * MIB :]]
KEY = b"0123456789abcdefghijklmnopqrstuv"


@pytest.fixture(params=["real_s3", "localstack_s3"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(request.param)).removeprefix("s3://")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("verify") / "data"
    path.write_bytes(DATA)
    return path


def compared(path: Path, name: str, key: str = "k", given: GivenKey | None = None) -> Verified:
    bucket = Bucket(name)
    info, customer_key = find_object(bucket, key, given)
    return verify(FileSource(path), bucket, info, customer_key=customer_key)


def differs(path: Path, name: str, given: GivenKey | None = None) -> None:
    """Flip one byte of the file, and expect that to be found."""
    for position in (5 * MIB, len(DATA) - 1):
        spoilt = bytearray(DATA)
        spoilt[position] ^= 1
        other = path.with_name("other")
        other.write_bytes(spoilt)
        with pytest.raises(CorruptError, match="differ"):
            compared(other, name, given=given)


def test_md5_of_a_single_put(name: str, file: Path) -> None:
    s3.client().put_object(Bucket=name, Key="k", Body=DATA)
    found = compared(file, name)
    assert found.downloaded == 0
    assert found.proof in ("md5", "crc64nvme", "crc32")
    differs(file, name)


@pytest.mark.parametrize("algorithm", ["SHA256", "SHA1", "CRC32"])
def test_checksum_of_a_single_put(name: str, file: Path, algorithm: str) -> None:
    s3.client().put_object(Bucket=name, Key="k", Body=DATA, ChecksumAlgorithm=algorithm)
    found = compared(file, name)
    assert (found.proof, found.downloaded) == (algorithm.lower(), 0)
    differs(file, name)


@pytest.mark.parametrize(
    "given", [("SHA256", "COMPOSITE"), ("CRC32", "COMPOSITE"), ("CRC32", "FULL_OBJECT")]
)
@pytest.mark.parametrize("pieces", [PIECES, UNLIKE], ids=["equal", "unlike"])
def test_checksums_of_parts(
    localstack_s3: str, file: Path, given: tuple[str, str], pieces: list[bytes]
) -> None:
    name = localstack_s3.removeprefix("s3://")
    s3.multipart(name, "k", pieces, ChecksumAlgorithm=given[0], ChecksumType=given[1])
    found = compared(file, name)
    suffix = " of parts" if given[1] == "COMPOSITE" else ""
    assert (found.proof, found.downloaded) == (given[0].lower() + suffix, 0)
    differs(file, name)


def test_a_server_that_does_not_show_its_parts(real_s3: str, file: Path) -> None:
    name = real_s3.removeprefix("s3://")
    s3.multipart(name, "k", PIECES, ChecksumAlgorithm="SHA256")
    assert compared(file, name).proof == "sha256 of parts"
    differs(file, name)
    s3.multipart(name, "k", UNLIKE, ChecksumAlgorithm="SHA256")
    found = compared(file, name)
    assert (found.proof, found.downloaded) == ("bytes", len(DATA))
    differs(file, name)


def test_a_multipart_etag(name: str, file: Path) -> None:
    s3.multipart(name, "k", PIECES)
    found = compared(file, name)
    assert found.downloaded in (0, len(DATA))
    if not found.downloaded:
        assert found.proof in ("md5 of parts", "crc64nvme")
    differs(file, name)


def test_parts_of_unlike_sizes_are_read(localstack_s3: str, file: Path) -> None:
    name = localstack_s3.removeprefix("s3://")
    s3.multipart(name, "k", UNLIKE)
    found = compared(file, name)
    assert found.size == len(DATA)
    differs(file, name)


def test_a_customer_key(localstack_s3: str, file: Path) -> None:
    name = localstack_s3.removeprefix("s3://")
    s3.client().put_object(Bucket=name, Key="k", Body=DATA, **s3.sse_c(KEY))
    given = read_key(KEY.decode())
    found = compared(file, name, given=given)
    assert found.size == len(DATA)
    differs(file, name, given)
    with pytest.raises(KeyRejectedError, match="SSE-C"):
        compared(file, name)


def test_another_size_is_told_at_once(name: str, file: Path) -> None:
    s3.client().put_object(Bucket=name, Key="k", Body=DATA[:-1])
    with pytest.raises(CorruptError, match="bytes"):
        compared(file, name)


def test_an_empty_file(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    s3.client().put_object(Bucket=name, Key="k", Body=b"")
    assert compared(tmp_path / "empty", name).size == 0


# ---- what is proven of a download ----------------------------------------------------------------
def downloaded(name: str, folder: Path, to_stream: bool) -> tuple[str, bytes]:
    """Download s3://NAME/k; return what proved it, and the bytes."""
    bucket = Bucket(name)
    if to_stream:
        stream = io.BytesIO()
        return download(bucket, "k", stream).proof, stream.getvalue()
    found = download(bucket, "k", folder / "back", Settings(exists="overwrite"))
    return found.proof, (folder / "back").read_bytes()


@pytest.mark.parametrize("to_stream", [False, True], ids=["file", "stream"])
@pytest.mark.parametrize("pieces", [PIECES, UNLIKE], ids=["equal", "unlike"])
@pytest.mark.parametrize("algorithm", ["SHA256", "CRC32"])
def test_checksums_of_parts_prove_a_download(
    localstack_s3: str, tmp_path: Path, algorithm: str, pieces: list[bytes], to_stream: bool
) -> None:
    name = localstack_s3.removeprefix("s3://")
    s3.multipart(name, "k", pieces, ChecksumAlgorithm=algorithm, ChecksumType="COMPOSITE")
    assert downloaded(name, tmp_path, to_stream) == (f"{algorithm.lower()} of parts", DATA)


@pytest.mark.parametrize("to_stream", [False, True], ids=["file", "stream"])
def test_what_a_download_proves_where_parts_are_not_shown(
    real_s3: str, tmp_path: Path, to_stream: bool
) -> None:
    name = real_s3.removeprefix("s3://")
    for pieces, proof in ((PIECES, "sha256 of parts"), (UNLIKE, "")):
        s3.multipart(name, "k", pieces, ChecksumAlgorithm="SHA256")
        assert downloaded(name, tmp_path, to_stream) == (proof, DATA)


@pytest.mark.parametrize("to_stream", [False, True], ids=["file", "stream"])
@pytest.mark.parametrize("algorithm", ["SHA256", "CRC32"])
def test_a_byte_that_changed_on_its_way_is_found_out_by_the_parts(
    localstack_s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, algorithm: str,
    to_stream: bool,
) -> None:  # fmt: skip
    name = localstack_s3.removeprefix("s3://")
    s3.multipart(name, "k", PIECES, ChecksumAlgorithm=algorithm, ChecksumType="COMPOSITE")
    with FaultProxy(os.environ["AWS_ENDPOINT_URL_S3"]) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.url)
        attributes = [None] if to_stream else []  # which a file asks for at the end
        proxy.plan(*attributes, flip(77), match=f"GET /{name}/k")
        with pytest.raises(CorruptError, match=f"{algorithm.lower()} of parts"):
            downloaded(name, tmp_path, to_stream)
        assert proxy.faults == 1
    assert to_stream or not (tmp_path / "back").exists()


# ---- the digest ----------------------------------------------------------------------------------
@pytest.mark.parametrize("is_master", [False, True])
def test_t17_digest_with_a_customer_key(localstack_s3: str, is_master: bool) -> None:
    name, given = localstack_s3.removeprefix("s3://"), read_key(KEY.decode(), is_master=is_master)
    assert given is not None
    secret = given.of("us-east-1", name, "k").key
    parameters: dict[str, Any] = s3.sse_c(secret)
    s3.client().put_object(Bucket=name, Key="k", Body=DATA, **parameters)
    bucket = Bucket(name)
    info, customer_key = find_object(bucket, "k", given)
    for algorithm in ("md5", "sha256", "blake2b"):
        found = digest(bucket, info, algorithm, customer_key=customer_key)
        assert found == hashlib.new(algorithm, DATA).hexdigest()


@pytest.mark.parametrize("algorithm", ["nope", "", "shake_128"])
def test_algorithms_that_are_none(algorithm: str) -> None:
    with pytest.raises(ChecksumNameError) as caught:
        new_hash(algorithm)
    assert caught.value.exit_code == 9


def test_a_file_that_changes_meanwhile(real_s3: str, tmp_path: Path) -> None:
    name, path = real_s3.removeprefix("s3://"), tmp_path / "data"
    path.write_bytes(DATA)
    s3.client().put_object(Bucket=name, Key="k", Body=DATA)
    info, _ = find_object(Bucket(name), "k", None)
    with pytest.raises(InputError, match="changed while it was read"):
        verify(FileSource(path), Bucket(name), info, advance=lambda _: os.utime(path, (1, 1)))
