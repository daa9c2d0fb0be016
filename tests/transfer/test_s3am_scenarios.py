"""S3AM's own tests, scenario by scenario, with its command line, on loopback.

SSE-C needs LocalStack (`make localstack`); without it these are skipped.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest

from bams3.transfer.keys import GivenKey, read_key
from tests.cli.run import Done, s3am_
from tests.servers.ftp import FtpServer
from tests.servers.localstack import LocalStack
from tests.servers.proxy import fail
from tests.transfer import s3
from tests.transfer.places import SIZES, P, Place, data_of

MASTER = "-0123456789012345678901234567890"
OTHER_KEY = "skdjfh9q4rusidfjs9fjsdr9vkfdh833"
BIG = SIZES[-1]


def ok(*arguments: str | Path) -> Done:
    done = s3am_(*arguments)
    assert done.code == 0, done.err
    return done


def object_key(place: Place, key: str, secret: str = MASTER) -> bytes:
    """Return the key that S3AM derives for an object of the target bucket."""
    given = read_key(secret, is_master=True)
    assert isinstance(given, GivenKey)
    return given.of("us-west-1", place.bucket, key).key


def fail_midway(place: Place, ftp: FtpServer, size: int = BIG, *more: str) -> None:
    """Leave an unfinished upload with the first parts of a file that breaks off at 75 %."""
    ftp.fail_at = int(size * 0.75)
    done = s3am_(
        "upload", f"{ftp.url}/test-{size}.bin", f"s3://{place.bucket}/",
        "--download-slots=1", "--upload-slots=0", f"--part-size={P}", *more,
    )  # fmt: skip
    assert done.code == 1, done.err
    ftp.fail_at = None


@pytest.mark.parametrize("form", ["file:", "file://", "file://localhost"])
def test_01_forms_of_file_addresses(place: Place, tmp_path: Path, form: str) -> None:
    (tmp_path / "x").write_bytes(data_of(100))
    for _ in range(2):
        ok("upload", f"{form}{tmp_path}/x", f"s3://{place.bucket}/d/", "--exists=overwrite")
    assert s3.content(place.bucket, "d/x") == data_of(100)


def test_02_a_file_of_another_machine(place: Place, tmp_path: Path) -> None:
    assert s3am_("upload", f"file:/{tmp_path}/x", f"s3://{place.bucket}/").code == 5


def test_03_absolute_and_relative_paths(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "a b", "a#b", "a?b", "a%20b", "ä 日"):
        (tmp_path / name).write_bytes(name.encode())
        for form in (name, f"./{name}", f"{tmp_path}/{name}"):
            ok("upload", form, f"s3://{place.bucket}/d/", "--exists=overwrite")
        assert s3.content(place.bucket, f"d/{name}") == name.encode()


@pytest.mark.parametrize("size", SIZES)
def test_04_ftp_upload_of_all_sizes(place: Place, ftp: FtpServer, size: int) -> None:
    ok("upload", f"{ftp.url}/test-{size}.bin", f"s3://{place.bucket}/", f"--part-size={P}")
    assert s3.content(place.bucket, f"test-{size}.bin") == data_of(size)
    printed = ok("verify", f"s3://{place.bucket}/test-{size}.bin").out.decode().strip()
    assert printed == hashlib.md5(data_of(size)).hexdigest()


def test_05_an_object_that_exists(place: Place, ftp: FtpServer) -> None:
    command = ("upload", f"{ftp.url}/test-1.bin", f"s3://{place.bucket}/")
    ok(*command)
    before = s3.client().head_object(Bucket=place.bucket, Key="test-1.bin")["LastModified"]
    assert s3am_(*command).code == 3
    skipped = ok(*command, "--exists=skip")
    assert "skipped" in skipped.err
    after = s3.client().head_object(Bucket=place.bucket, Key="test-1.bin")["LastModified"]
    assert before == after
    ok(*command, "--exists=overwrite")


@pytest.mark.parametrize(
    ("form", "is_master", "size"),
    [("text", False, BIG), ("file", True, BIG), ("base64", False, 1), ("text", True, 1)],
)
def test_06_customer_keys(
    place: Place, ftp: FtpServer, tmp_path: Path, size: int, is_master: bool, form: str
) -> None:
    (tmp_path / "key").write_bytes(MASTER.encode())
    flags = {
        "text": f"--sse-key={MASTER}",
        "file": f"--sse-key-file={tmp_path}/key",
        "base64": f"--sse-key-base64={base64.b64encode(MASTER.encode()).decode()}",
    }
    key = [flags[form], *(["--sse-key-is-master"] if is_master else [])]
    name = f"test-{size}.bin"
    url = f"s3://{place.bucket}/{name}"
    ok("upload", f"{ftp.url}/{name}", url, f"--part-size={P}", *key)
    secret = object_key(place, name) if is_master else MASTER.encode()
    assert s3.content(place.bucket, name, **s3.sse_c(secret)) == data_of(size)
    # Without the key, with a wrong one, and with the master used directly.
    wrong = s3am_("download", url, tmp_path / "out")
    assert wrong.code == 10 and "SSE-C" in wrong.err, wrong.err
    wrong = s3am_("download", url, tmp_path / "out", f"--sse-key={OTHER_KEY}")
    assert wrong.code == 10 and "not the object's" in wrong.err, wrong.err
    if is_master:
        assert s3am_("download", url, tmp_path / "out", flags[form]).code == 10
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []
    ok("download", url, tmp_path / "out", *key)
    assert (tmp_path / "out").read_bytes() == data_of(size)
    printed = ok("verify", url, *key).out.decode().strip()
    assert printed == hashlib.md5(data_of(size)).hexdigest()


def test_07_resume(place: Place, ftp: FtpServer) -> None:
    fail_midway(place, ftp)
    command = ("upload", f"{ftp.url}/test-{BIG}.bin", f"s3://{place.bucket}/")
    assert s3am_(*command, f"--part-size={P}").code == 4
    refused = s3am_(*command, "--resume", f"--part-size={2 * P}")
    assert refused.code == 8, refused.err
    place.proxy.plan()
    done = ok(*command, "--resume", f"--part-size={P}", "--verbose")
    assert s3.content(place.bucket, f"test-{BIG}.bin") == data_of(BIG)
    assert place.parts_sent < 3, "the parts that were there are not sent again"
    assert "were there" in done.err


def test_07_resume_without_a_part_size_takes_that_of_the_upload(
    place: Place, ftp: FtpServer
) -> None:
    fail_midway(place, ftp)
    place.proxy.plan()
    ok("upload", f"{ftp.url}/test-{BIG}.bin", f"s3://{place.bucket}/", "--resume")
    assert s3.content(place.bucket, f"test-{BIG}.bin") == data_of(BIG)
    assert place.parts_sent < 3


def test_08_an_object_and_an_unfinished_upload(place: Place, ftp: FtpServer) -> None:
    command = ("upload", f"{ftp.url}/test-{BIG}.bin", f"s3://{place.bucket}/")
    for more in (["--resume"], ["--force"]):
        s3.client().put_object(Bucket=place.bucket, Key=f"test-{BIG}.bin", Body=b"old")
        fail_midway(place, ftp, BIG, "--exists=overwrite")
        assert s3am_(*command).code == 3
        assert s3am_(*command, "--exists=overwrite").code == 4
        assert s3.content(place.bucket, f"test-{BIG}.bin") == b"old"
        ok(*command, "--exists=overwrite", *more)
        assert s3.content(place.bucket, f"test-{BIG}.bin") == data_of(BIG)


def test_09_two_unfinished_uploads(place: Place, ftp: FtpServer) -> None:
    command = ("upload", f"{ftp.url}/test-{BIG}.bin", f"s3://{place.bucket}/")
    for _ in range(2):
        s3.begin(place.bucket, f"test-{BIG}.bin", [data_of(P)])
    assert s3am_(*command).code == 13
    assert s3am_(*command, "--resume").code == 13
    assert len(s3.uploads(place.bucket)) == 2
    ok(*command, "--force")
    assert s3.uploads(place.bucket) == []
    assert s3.content(place.bucket, f"test-{BIG}.bin") == data_of(BIG)


def test_10_force_begins_anew_with_another_part_size(place: Place, ftp: FtpServer) -> None:
    fail_midway(place, ftp)
    command = ("upload", f"{ftp.url}/test-{BIG}.bin", f"s3://{place.bucket}/")
    ok(*command, "--force", f"--part-size={2 * P}")
    assert s3.content(place.bucket, f"test-{BIG}.bin") == data_of(BIG)
    head = s3.client().head_object(Bucket=place.bucket, Key=f"test-{BIG}.bin")
    assert head["ETag"].endswith('-2"')


def test_11_cancel_and_then_a_plain_upload(place: Place, ftp: FtpServer) -> None:
    fail_midway(place, ftp)
    url = f"s3://{place.bucket}/test-{BIG}.bin"
    assert s3am_("cancel", f"s3://{place.bucket}/").code == 6
    ok("cancel", url)
    ok("cancel", url)
    assert s3.uploads(place.bucket) == []
    ok("upload", f"{ftp.url}/test-{BIG}.bin", url)
    assert s3.content(place.bucket, f"test-{BIG}.bin") == data_of(BIG)


def test_11_cancel_a_prefix(place: Place) -> None:
    for key in ("d/a", "d/b", "e"):
        s3.begin(place.bucket, key, [b"x"])
    ok("cancel", "--prefix", f"s3://{place.bucket}/d/")
    assert [key for key, _ in s3.uploads(place.bucket)] == ["e"]
    ok("cancel", "--prefix", f"s3://{place.bucket}/")
    assert s3.uploads(place.bucket) == []


@pytest.mark.parametrize("size", SIZES)
def test_12_copy_across_regions_to_another_key(place: Place, ftp: FtpServer, size: int) -> None:
    name = f"test-{size}.bin"
    source, target = f"s3://{place.other}/{name}", f"s3://{place.bucket}/copy of {name}"
    ok(
        "upload", f"{ftp.url}/{name}", source, f"--part-size={P}",
        f"--sse-key={MASTER}", "--sse-key-is-master",
    )  # fmt: skip
    ok(
        "upload", source, target, f"--part-size={P}", f"--src-sse-key={MASTER}",
        "--src-sse-key-is-master", f"--sse-key={OTHER_KEY}",
    )  # fmt: skip
    found = s3.content(place.bucket, f"copy of {name}", **s3.sse_c(OTHER_KEY.encode()))
    assert found == data_of(size)


@pytest.mark.parametrize("part_size", ["1M", "5M"])
def test_13_verify(place: Place, part_size: str) -> None:
    for size in SIZES:
        s3.client().put_object(Bucket=place.bucket, Key="k", Body=data_of(size))
        done = ok("verify", f"s3://{place.bucket}/k", f"--part-size={part_size}")
        assert done.out.decode().strip() == hashlib.md5(data_of(size)).hexdigest()


def test_14_generate_a_key(tmp_path: Path) -> None:
    keys = set()
    for number in range(10):
        ok("generate-sse-key", tmp_path / str(number))
        keys.add((tmp_path / str(number)).read_bytes())
    assert {len(key) for key in keys} == {32} and len(keys) == 10


@pytest.mark.parametrize("size", SIZES)
def test_15_download_all_sizes(place: Place, tmp_path: Path, size: int) -> None:
    s3.client().put_object(Bucket=place.bucket, Key="d/k", Body=data_of(size))
    ok("download", f"s3://{place.bucket}/d/k", tmp_path / "out", f"--part-size={P}")
    assert (tmp_path / "out").read_bytes() == data_of(size)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert s3am_("download", f"s3://{place.bucket}/d/k", tmp_path / "out").code == 11
    ok("download", f"s3://{place.bucket}/d/k", tmp_path / "out", "--file-exists=skip")
    ok("download", f"s3://{place.bucket}/d/k", tmp_path / "out", "--file-exists=overwrite")


def break_off(place: Place, after: int) -> None:
    """Let so many ranges pass, and no more."""
    place.proxy.plan(*[None] * after, *[fail(500)] * 99, match=f"GET /{place.bucket}/k")


def test_16_download_resume(place: Place, tmp_path: Path) -> None:
    s3.multipart(place.bucket, "k", [data_of(BIG)[:P], data_of(BIG)[P:]])
    command = (
        "download", f"s3://{place.bucket}/k", tmp_path / "out", "--part-size=1M",
        "--download-slots=1", "--checksum-slots=1",
    )  # fmt: skip
    break_off(place, after=3)
    assert s3am_(*command).code == 1
    assert not (tmp_path / "out").exists()
    assert (tmp_path / ".out.partial").exists() and (tmp_path / ".out.progress").exists()
    # The same bytes under another ETag: begin anew.
    place.proxy.plan()
    s3.multipart(place.bucket, "k", [data_of(BIG)[: 2 * P], data_of(BIG)[2 * P :]])
    assert s3am_(*command).code == 12
    rounds = 0
    while rounds < 20:
        rounds += 1
        break_off(place, after=3)
        done = s3am_(*command, "--download-exists=resume")
        if done.code == 0:
            break
        assert done.code == 1, done.err
    assert 3 < rounds < 8, "each round keeps what the others have brought"
    assert (tmp_path / "out").read_bytes() == data_of(BIG)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["out"]


def test_17_a_bucket_whose_location_may_not_be_asked(place: Place, ftp: FtpServer) -> None:
    place.proxy.plan(*[fail(403, "AccessDenied")] * 99, match="?location")
    key = (f"--sse-key={MASTER}", "--sse-key-is-master")
    ok("upload", f"{ftp.url}/test-1.bin", f"s3://{place.bucket}/", *key)
    secret = object_key(place, "test-1.bin")
    assert s3.content(place.bucket, "test-1.bin", **s3.sse_c(secret)) == data_of(1)


def test_17_a_bucket_whose_region_nobody_tells(place: Place, ftp: FtpServer) -> None:
    place.proxy.plan(*[fail(403, "AccessDenied")] * 99, match="")
    key = (f"--sse-key={MASTER}", "--sse-key-is-master")
    done = s3am_("upload", f"{ftp.url}/test-1.bin", f"s3://{place.bucket}/", *key)
    assert done.code == 14, done.err


def test_objects_of_ireland_are_read_whichever_way_their_keys_were_derived(
    place: Place, localstack_server: LocalStack, tmp_path: Path
) -> None:
    name = f"{place.other}-eu"
    localstack_server.make_bucket(name, "EU")
    given = read_key(MASTER, is_master=True)
    assert given is not None
    for number, secret in enumerate(given.candidates("EU", name, "k")):
        s3.client().put_object(Bucket=name, Key="k", Body=b"x", **s3.sse_c(secret.key))
        out = tmp_path / str(number)
        ok("download", f"s3://{name}/k", out, f"--sse-key={MASTER}", "--sse-key-is-master")
        assert out.read_bytes() == b"x"
    (tmp_path / "in").write_bytes(b"new")
    command = ("upload", tmp_path / "in", f"s3://{name}/n", f"--sse-key={MASTER}")
    ok(*command, "--sse-key-is-master")
    secret = given.of("eu-west-1", name, "n")
    assert s3.content(name, "n", **s3.sse_c(secret.key)) == b"new"
