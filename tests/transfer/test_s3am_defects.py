"""S3AM's defects T1 to T23, each as a test that it would fail.

T4 (10,000 parts) is in test_plan, T5 (pages) in test_cancel, T8 (no ranges) in test_remote, T17 in
test_verify, T18 and T21 also in test_keys, T23 is that scenarios 15 and 16 look at whole folders.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cli.run import bams3_, s3am_
from tests.servers.files import FileServer
from tests.servers.proxy import Handler, fail
from tests.transfer import s3
from tests.transfer.places import P, Place, data_of

SECRET = "0123456789abcdefghijklmnopqrstuv"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file.bin"
    path.write_bytes(data_of(5 * P // 2))
    return path


def test_t1_holes_and_short_parts_in_the_middle_are_not_completed(place: Place, file: Path) -> None:
    data = file.read_bytes()
    upload = s3.begin(place.bucket, "k", [data[:P], data[P : P + 100], data[2 * P :]])
    done = s3am_("upload", file, f"s3://{place.bucket}/k", "--resume")
    if done.code == 0:
        assert s3.content(place.bucket, "k") == data
    else:
        assert (done.code, s3.uploads(place.bucket)) == (1, [("k", upload)])
    s3am_("cancel", f"s3://{place.bucket}/k")
    client = s3.client()
    upload = client.create_multipart_upload(Bucket=place.bucket, Key="h")["UploadId"]
    third = {"PartNumber": 3, "UploadId": upload, "Body": data[2 * P :]}
    client.upload_part(Bucket=place.bucket, Key="h", **third)
    done = s3am_("upload", file, f"s3://{place.bucket}/h", "--resume")
    assert done.code == 0, done.err
    assert s3.content(place.bucket, "h") == data


def test_t2_a_source_that_changed_since_is_refused(place: Place, file: Path) -> None:
    data = file.read_bytes()
    s3.begin(place.bucket, "k", [data[:P]])
    file.write_bytes(b"!" + data[1:])
    done = s3am_("upload", file, f"s3://{place.bucket}/k", "--resume")
    assert done.code == 1 and "changed" in done.err and "--force" in done.err
    assert len(s3.uploads(place.bucket)) == 1
    assert "Contents" not in s3.client().list_objects_v2(Bucket=place.bucket)


def test_t3_a_lone_short_tail_tells_no_part_size(place: Place, tmp_path: Path) -> None:
    data = data_of(2 * P) + b"abc"
    (tmp_path / "x").write_bytes(data)
    client = s3.client()
    upload = client.create_multipart_upload(Bucket=place.bucket, Key="k")["UploadId"]
    tail = {"PartNumber": 3, "UploadId": upload, "Body": b"abc"}
    client.upload_part(Bucket=place.bucket, Key="k", **tail)
    done = s3am_("upload", tmp_path / "x", f"s3://{place.bucket}/k", "--resume", f"--part-size={P}")
    assert done.code == 0, done.err
    assert s3.content(place.bucket, "k") == data


def test_t3_both_part_sizes_are_told_the_right_way_round(place: Place, file: Path) -> None:
    s3.begin(place.bucket, "k", [data_of(P), data_of(2 * P)[P:]])
    done = s3am_("upload", file, f"s3://{place.bucket}/k", "--resume", "--part-size=6M")
    assert done.code == 8
    assert str(P) in done.err.replace(",", "") or "5 MiB" in done.err, done.err


def test_t6_an_object_with_a_customer_key_is_an_object(place: Place, file: Path) -> None:
    s3.client().put_object(Bucket=place.bucket, Key="k", Body=b"old", **s3.sse_c(SECRET.encode()))
    plain = s3am_("upload", file, f"s3://{place.bucket}/k")
    assert plain.code in (3, 10) and "Traceback" not in plain.err
    over = s3am_("upload", file, f"s3://{place.bucket}/k", "--exists=overwrite")
    assert over.code == 0, over.err
    assert s3.content(place.bucket, "k") == file.read_bytes()


def test_t7_no_permission_is_not_a_wrong_key(place: Place, tmp_path: Path) -> None:
    place.proxy.plan(*[fail(403, "AccessDenied")] * 99, match=f"/{place.bucket}/k")
    done = s3am_("download", f"s3://{place.bucket}/k", tmp_path / "x", f"--sse-key={SECRET}")
    assert done.code == 14, done.err
    assert "denied" in done.err and "wrong" not in done.err


def test_t9_keys_with_odd_characters(place: Place, tmp_path: Path) -> None:
    for name in ("a#b", "a?b", "a%20b", "a%b", "a b+c&d=e", "ä/日", "a//b", "~"):
        (tmp_path / "in").write_bytes(name.encode())
        done = s3am_("upload", tmp_path / "in", f"s3://{place.bucket}/{name}")
        assert done.code == 0, done.err
        assert s3.content(place.bucket, name) == name.encode()
        assert s3am_("download", f"s3://{place.bucket}/{name}", tmp_path / "out").code == 0
        assert (tmp_path / "out").read_bytes() == name.encode()
        (tmp_path / "out").unlink()
    assert s3am_("upload", "", f"s3://{place.bucket}/").code == 5
    assert s3am_("upload", tmp_path / "in", "").code == 6
    assert s3am_("download", f"s3://{place.bucket}/~", "").code == 6


def test_t10_a_missing_source_leaves_no_upload(place: Place, tmp_path: Path) -> None:
    with FileServer() as web:
        for source in (tmp_path / "none", f"{web.url}/none", tmp_path):
            done = s3am_("upload", source, f"s3://{place.bucket}/k")
            assert done.code == 1 and "Traceback" not in done.err, done.err
    if os.geteuid():
        (tmp_path / "locked").touch(mode=0)
        assert s3am_("upload", tmp_path / "locked", f"s3://{place.bucket}/k").code != 0
    assert s3.uploads(place.bucket) == []


def test_t11_a_missing_object_leaves_no_file(place: Place, tmp_path: Path) -> None:
    done = s3am_("download", f"s3://{place.bucket}/none", tmp_path / "x")
    assert done.code == 1 and "Traceback" not in done.err
    assert [*tmp_path.iterdir()] == []


def test_t12_a_left_over_partial_file_leaves_no_tail(place: Place, tmp_path: Path) -> None:
    (tmp_path / ".x.partial").write_bytes(b"old" * 1000)
    s3.client().put_object(Bucket=place.bucket, Key="k", Body=b"new")
    done = s3am_("download", f"s3://{place.bucket}/k", tmp_path / "x", "--download-exists=discard")
    assert done.code == 0, done.err
    assert (tmp_path / "x").read_bytes() == b"new"


def test_t13_an_object_that_is_replaced_midway_is_not_mixed(
    place: Place, file: Path, tmp_path: Path
) -> None:
    client = s3.client()
    client.put_object(Bucket=place.bucket, Key="k", Body=file.read_bytes())

    def replace(_: Handler) -> bool:
        client.put_object(Bucket=place.bucket, Key="k", Body=file.read_bytes()[::-1])
        return False

    place.proxy.plan(None, replace, match=f"GET /{place.bucket}/k")
    target = tmp_path / "x"
    done = s3am_(
        "download", f"s3://{place.bucket}/k", target, "--part-size=1M", "--download-slots=1",
        "--checksum-slots=0",
    )  # fmt: skip
    assert done.code == 1 and not target.exists()


def test_t14_large_part_sizes(place: Place, tmp_path: Path) -> None:
    s3.client().put_object(Bucket=place.bucket, Key="k", Body=b"x")
    done = s3am_("download", f"s3://{place.bucket}/k", tmp_path / "x", "--part-size=6G")
    assert done.code == 0, done.err


def test_t15_the_whole_object_is_proven(place: Place, file: Path, tmp_path: Path) -> None:
    done = s3am_("upload", file, f"s3://{place.bucket}/k", f"--part-size={P}", "--verbose")
    assert "crc64nvme compared" in done.err
    done = s3am_("download", f"s3://{place.bucket}/k", tmp_path / "x", "--verbose")
    assert "crc64nvme compared" in done.err


def test_t16_into_a_folder(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    s3.client().put_object(Bucket=place.bucket, Key="d/k", Body=b"x")
    assert s3am_("download", f"s3://{place.bucket}/d/k", "./").code == 0
    assert (tmp_path / "k").read_bytes() == b"x"


def test_t19_a_copy_keeps_what_the_source_has(place: Place, file: Path) -> None:
    client = s3.client()
    given = {"ContentType": "text/x-a", "Metadata": {"a": "b"}, "Tagging": "t=u"}
    client.put_object(Bucket=place.other, Key="k", Body=file.read_bytes(), **given)
    for part_size in ("5M", "1G"):
        done = s3am_(
            "upload", f"s3://{place.other}/k", f"s3://{place.bucket}/k", "--exists=overwrite",
            "--part-size", part_size,
        )  # fmt: skip
        assert done.code == 0, done.err
        head = client.head_object(Bucket=place.bucket, Key="k")
        assert (head["ContentType"], head["Metadata"]) == ("text/x-a", {"a": "b"})
        tags = client.get_object_tagging(Bucket=place.bucket, Key="k")["TagSet"]
        assert tags == [{"Key": "t", "Value": "u"}]
        assert s3.content(place.bucket, "k") == file.read_bytes()


def test_t20_a_store_without_acls(place: Place, file: Path) -> None:
    place.proxy.plan(fail(400, "AccessControlListNotSupported"), match="POST")
    done = s3am_("upload", file, f"s3://{place.bucket}/k", f"--part-size={P}")
    assert done.code == 0, done.err
    assert s3.content(place.bucket, "k") == file.read_bytes()


def test_t21_no_key_is_ever_shown(place: Place, file: Path, tmp_path: Path) -> None:
    shown = ""
    for flags in (["--debug"], ["--debug", "--verbose"]):
        for command in (
            ["upload", file, f"s3://{place.bucket}/k", "--exists=overwrite"],
            ["download", f"s3://{place.bucket}/k", tmp_path / "x", "--file-exists=overwrite"],
            ["download", f"s3://{place.bucket}/none", tmp_path / "y"],
            ["verify", f"s3://{place.bucket}/k"],
        ):
            done = s3am_(*command, *flags, f"--sse-key={SECRET}")
            shown += done.err + done.out.decode()
    assert SECRET not in shown
    assert s3.sse_c(SECRET.encode())["SSECustomerKey"] not in shown


def test_t22_requests_are_few(place: Place, file: Path) -> None:
    place.proxy.plan()
    assert s3am_("upload", file, f"s3://{place.bucket}/k", f"--part-size={P}").code == 0
    others = [line for line in place.proxy.requests if "partNumber" not in line]
    assert place.parts_sent == 3
    assert len(others) <= 6, others


def test_wrong_keys_and_needless_ones(place: Place, tmp_path: Path) -> None:
    client = s3.client()
    client.put_object(Bucket=place.bucket, Key="sse", Body=b"x", **s3.sse_c(SECRET.encode()))
    wrong = f"--sse-key={SECRET[::-1]}"
    for key, flags, word in (
        ("sse", [], "none was given"),
        ("sse", [wrong], "not the object's"),
        ("sse", [f"--sse-key={SECRET}", "--sse-key-is-master"], "was it moved"),
    ):
        for verb in ("download", "verify"):
            target = [tmp_path / "x"] if verb == "download" else []
            done = bams3_("transfer", verb, f"s3://{place.bucket}/{key}", *target, *flags)
            assert (done.code, word in done.err) == (10, True), done.err
    assert [*tmp_path.iterdir()] == []


def test_a_key_for_an_object_without_one(place: Place, tmp_path: Path) -> None:
    s3.client().put_object(Bucket=place.bucket, Key="plain", Body=b"x")
    # LocalStack ignores the key; S3 answers 400.
    place.proxy.plan(*[fail(400, "InvalidRequest")] * 2, match="/plain")
    done = s3am_("download", f"s3://{place.bucket}/plain", tmp_path / "x", f"--sse-key={SECRET}")
    assert done.code == 10 and "is not encrypted with a customer key" in done.err


def test_a_bucket_that_refuses_customer_keys(place: Place, file: Path) -> None:
    place.proxy.plan(*[fail(403, "AccessDenied")] * 99, match="POST")
    done = s3am_(
        "upload", file, f"s3://{place.bucket}/k", f"--part-size={P}", f"--sse-key={SECRET}"
    )
    assert done.code == 14
    assert "BlockedEncryptionTypes" in done.err and "wrong" not in done.err
