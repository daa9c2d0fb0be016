"""Unfinished uploads are dropped: of one key, of a prefix, by age, over many pages."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest

from bams3.errors import NotFoundError
from bams3.storage.bucket import Bucket
from bams3.transfer.cancel import cancel
from tests.servers.localstack import LocalStack
from tests.servers.proxy import FaultProxy, Handler
from tests.transfer import s3

KEYS = ["d/a", "d/a", "d/ab", "d/b b#?%", "e"]


@pytest.fixture(params=["real_s3", "localstack_s3"])
def bucket(request: pytest.FixtureRequest) -> str:
    name = str(request.getfixturevalue(request.param)).removeprefix("s3://")
    for key in KEYS:
        s3.begin(name, key, [b"x"])
    return name


@pytest.mark.parametrize(
    ("key", "prefix", "left"),
    [
        ("d/a", False, ["d/ab", "d/b b#?%", "e"]),
        ("d/a", True, ["d/b b#?%", "e"]),
        ("d/b b#?%", False, ["d/a", "d/a", "d/ab", "e"]),
        ("", True, []),
        ("d/none", False, KEYS),
    ],
)
def test_scenario_11_one_key_or_a_prefix(
    bucket: str, key: str, prefix: bool, left: list[str]
) -> None:
    dropped = [upload.key for upload in cancel(Bucket(bucket), key, prefix=prefix)]
    assert sorted(key for key, _ in s3.uploads(bucket)) == sorted(left)
    assert sorted([*dropped, *left]) == sorted(KEYS)


def test_a_dry_run_drops_none(bucket: str) -> None:
    found = [*cancel(Bucket(bucket), "", prefix=True, dry_run=True)]
    assert sorted(upload.key for upload in found) == sorted(KEYS)
    assert len(s3.uploads(bucket)) == len(KEYS)


def test_young_ones_are_left_alone(bucket: str) -> None:
    assert [*cancel(Bucket(bucket), "", prefix=True, older_than=timedelta(hours=1))] == []
    time.sleep(1.1)
    dropped = [*cancel(Bucket(bucket), "", prefix=True, older_than=timedelta(seconds=1))]
    assert len(dropped) == len(KEYS)


def test_no_such_bucket(real_s3: str) -> None:
    with pytest.raises(NotFoundError):
        [*cancel(Bucket("no-such-bucket-here"), "k")]


def test_t5_many_pages(
    localstack_s3: str, localstack_server: LocalStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = localstack_s3.removeprefix("s3://")
    wanted = [f"many/{number % 7}" for number in range(23)]
    for key in wanted:
        s3.begin(name, key, [])
    s3.begin(name, "other", [])

    def small_pages(handler: Handler) -> bool:
        handler.path += "&max-uploads=3"
        return False

    with FaultProxy(localstack_server.url) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.url)
        proxy.plan(*[small_pages] * 99, match="uploads=")
        dropped = [*cancel(Bucket(name), "many/", prefix=True)]
        assert proxy.faults == 8
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", localstack_server.url)
    assert sorted(upload.key for upload in dropped) == sorted(wanted)
    assert [key for key, _ in s3.uploads(name)] == ["other"]


@pytest.mark.soak
def test_t5_more_than_a_thousand(localstack_s3: str) -> None:
    # versitygw refuses the markers of its own pages.
    name = localstack_s3.removeprefix("s3://")
    client = s3.client()
    for number in range(1003):
        client.create_multipart_upload(Bucket=name, Key=f"many/{number:04}")
    client.create_multipart_upload(Bucket=name, Key="other")
    dropped = [upload.key for upload in cancel(Bucket(name), "many/", prefix=True)]
    assert sorted(dropped) == [f"many/{number:04}" for number in range(1003)]
    assert [key for key, _ in s3.uploads(name)] == ["other"]
