"""A user whom a bucket policy does not allow everything, on a server that keeps to it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.run import Done, bams3_
from tests.servers.fake_s3 import FakeS3
from tests.servers.versitygw import Versitygw
from tests.transfer import s3

ALL = (
    "GetObject", "PutObject", "ListBucket", "AbortMultipartUpload", "ListMultipartUploadParts",
    "ListBucketMultipartUploads", "DeleteObject", "GetObjectAttributes", "GetObjectTagging",
)  # fmt: skip
DATA = bytes(range(256)) * (24 << 10)


@pytest.fixture
def allow(
    real_s3: str, s3_server: Versitygw, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """A function that becomes a user who may do all but the actions it is given."""
    bucket = real_s3.removeprefix("s3://")
    client = s3.client()
    client.put_object(Bucket=bucket, Key="there", Body=DATA)
    s3.begin(bucket, "begun", [b"x"])
    user = s3_server.make_user()

    def become(*without: str) -> str:
        places = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
        on_bucket = ("ListBucket", "ListBucketMultipartUploads")
        statements = [
            {
                "Effect": "Allow",
                "Principal": {"AWS": [user["AWS_ACCESS_KEY_ID"]]},
                "Action": [f"s3:{a}" for a in ALL if a not in without and (a in on_bucket) == top],
                "Resource": places[0] if top else places[1],
            }
            for top in (True, False)
        ]
        policy = {"Version": "2012-10-17", "Statement": [s for s in statements if s["Action"]]}
        client.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
        for name, value in user.items():
            monkeypatch.setenv(name, value)
        return real_s3

    return become


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(DATA)
    return tmp_path / "file"


def denied(done: Done) -> None:
    assert done.code == 14, f"{done.code} {done.err}"
    assert "denied" in done.err and "hint:" in done.err and "Traceback" not in done.err


def transfer(*arguments: str | Path) -> Done:
    return bams3_("transfer", *arguments)


def test_who_may_all_may_all(allow: Callable[..., str], file: Path) -> None:
    bucket = allow()
    assert transfer("upload", file, f"{bucket}/new", "--part-size", "5M").code == 0
    assert transfer("download", f"{bucket}/new", file.with_name("back")).code == 0
    assert file.with_name("back").read_bytes() == DATA


def test_no_reading(allow: Callable[..., str], file: Path) -> None:
    bucket = allow("GetObject")
    denied(transfer("download", f"{bucket}/there", file.with_name("x")))
    denied(transfer("verify", file, f"{bucket}/there"))
    denied(transfer("copy", f"{bucket}/there", f"{bucket}/other"))
    assert {path.name for path in file.parent.iterdir()} == {"file"}


def test_no_writing(allow: Callable[..., str], file: Path) -> None:
    bucket = allow("PutObject")
    for size in ("5M", "1G"):
        denied(transfer("upload", file, f"{bucket}/new", "--part-size", size))
    denied(transfer("copy", f"{bucket}/there", f"{bucket}/other"))


def test_no_listing_does_not_hinder_an_upload(allow: Callable[..., str], file: Path) -> None:
    bucket = allow("ListBucket", "ListBucketMultipartUploads")
    assert transfer("upload", file, f"{bucket}/new", "--part-size", "5M").code == 0
    again = transfer("upload", file, f"{bucket}/there")
    assert again.code == 3, again.err
    assert transfer("download", f"{bucket}/there", file.with_name("x")).code == 0
    denied(transfer("download", f"{bucket}/d/", file.with_name("d"), "--recursive"))


def test_no_dropping(allow: Callable[..., str]) -> None:
    bucket = allow("AbortMultipartUpload")
    denied(transfer("cancel", f"{bucket}/begun"))
    denied(transfer("cancel", f"{allow('ListBucketMultipartUploads')}/begun"))


def test_requester_pays(fake_s3: FakeS3, file: Path) -> None:
    for flags in ([], ["--requester-pays"]):
        fake_s3.reset()
        done = transfer("upload", file, "s3://bucket/k", "--exists", "overwrite", *flags)
        assert done.code == 0, done.err
        found = {request.headers.get("x-amz-request-payer") for request in fake_s3.requests}
        assert found == ({"requester"} if flags else {None})
