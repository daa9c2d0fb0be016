"""What only S3 has: requests counted, options sent, credentials found."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bams3.config import StorageOptions
from bams3.errors import NotFoundError, PermissionDenied, UsageError
from bams3.storage import credentials, open_input, open_store
from bams3.storage.s3 import _address, _config
from bams3.storage.store import copy_between
from tests.servers.fake_s3 import FakeS3
from tests.servers.proxy import FaultProxy, fail, reset
from tests.servers.versitygw import Versitygw


def test_one_request_for_each_read(fake_s3: FakeS3) -> None:
    store = open_store("s3://b/x")
    store.put("k", bytes(1000))
    fake_s3.reset()
    store.get("k")
    store.get("k", 10, 20)
    store.get_many([("k", 0, 10), ("k", 10, 20), ("k", 12, 14)])
    store.get("k", 5, 5)
    assert [r.range for r in fake_s3.requests][:2] == [None, "bytes=10-19"]
    ranges = sorted(str(r.range) for r in fake_s3.requests[2:])
    assert ranges == ["bytes=0-9", "bytes=10-19", "bytes=12-13"]
    assert fake_s3.bytes_out == 1000 + 10 + 22


def test_get_many_is_one_round(fake_s3: FakeS3) -> None:
    store = open_store("s3://b/x")
    store.put("k", bytes(1000))
    store.get_many([("k", i, i + 1) for i in range(16)])
    fake_s3.reset()
    fake_s3.latency = 0.5
    started = time.monotonic()
    store.get_many([("k", i, i + 1) for i in range(16)])
    assert time.monotonic() - started < 4  # one after the other: 8
    assert fake_s3.rounds == 1
    fake_s3.reset()
    store.get("k")
    store.get_many([("k", i, i + 1) for i in range(4)])
    assert fake_s3.rounds == 2


def test_one_request_for_each_write(fake_s3: FakeS3) -> None:
    store = open_store("s3://b/x")
    etag = store.put_if_absent("k", b"1")
    store.put_if_match("k", b"2", etag)
    store.put("l", bytes(32 << 20))
    assert [r.method for r in fake_s3.requests] == ["PUT"] * 3
    fake_s3.reset()
    store.put("l", bytes((32 << 20) + 1))
    assert sorted(r.method for r in fake_s3.requests) == ["POST", "POST", "PUT", "PUT", "PUT"]


def test_lists_and_deletes_in_pages() -> None:
    with FakeS3(page=7) as server:
        options = StorageOptions(endpoint_url=server.url, no_sign_request=True)
        store = open_store("s3://b/x", options)
        for i in range(30):
            store.put(f"a/{i}", b"")
        assert len(list(store.list("a"))) == 30
        server.reset()
        store.delete_many(f"a/{i}" for i in range(30))
        assert len(server.requests) == 1
        assert list(store.list()) == []


def test_copies_on_the_server(fake_s3: FakeS3) -> None:
    one, two = open_store("s3://b/one"), open_store("s3://b/two")
    one.put("k", bytes(100_000))
    fake_s3.reset()
    copy_between(one, "k", two, "l")
    assert [r.method for r in fake_s3.requests] == ["PUT"]
    other = open_store("s3://other/x")
    copy_between(one, "k", other, "k")
    assert [r.method for r in fake_s3.requests] == ["PUT"] * 2
    assert fake_s3.bytes_out < 1000
    assert other.get("k") == bytes(100_000)


def test_other_options_mean_another_server(fake_s3: FakeS3) -> None:
    one = open_store("s3://b/one")
    one.put("k", b"x")
    with FakeS3() as elsewhere:
        options = StorageOptions.resolve({"endpoint_url": elsewhere.url})
        copy_between(one, "k", open_store("s3://b/one", options), "l")
        assert elsewhere.buckets["b"]["one/l"].data == b"x"
    assert list(fake_s3.buckets["b"]) == ["one/k"]


ODD = ("a b%+/é.chunk", "HLA-A*01:01/%2F?#&'\"")


@pytest.mark.parametrize("key", ODD)
def test_copies_from_bucket_to_bucket_on_the_server(
    key: str, fault_proxy: FaultProxy, s3_server: Versitygw
) -> None:
    buckets = [s3_server.make_bucket(f"{name}-{time.time_ns()}") for name in ("from", "to")]
    one, two = (open_store(f"{bucket}/pre fix%+") for bucket in buckets)
    one.put(key, bytes(1_000_000))
    fault_proxy.plan()
    copy_between(one, key, two, key)
    copy_between(one, key, two, "again")
    assert [line.split()[0] for line in fault_proxy.requests] == ["PUT"] * 2
    assert fault_proxy.bytes_in + fault_proxy.bytes_out < 2000
    for name in (key, "again"):
        assert two.get(name) == bytes(1_000_000)
    assert sorted(entry.key for entry in two.list()) == sorted([key, "again"])
    assert [entry.key for entry in one.list()] == [key]
    with pytest.raises(NotFoundError, match="none"):
        copy_between(one, "none", two, "k")
    fault_proxy.plan(fail(503), reset(), reset(arrive=True), match="PUT")
    copy_between(one, key, two, "third")
    assert fault_proxy.faults == 3
    assert two.get("third") == bytes(1_000_000)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "https://to.s3.us-east-1.amazonaws.com"),
        ({"region": "eu-west-1"}, "https://to.s3.eu-west-1.amazonaws.com"),
        ({"path_style": True}, "https://s3.us-east-1.amazonaws.com/to"),
        ({"endpoint_url": "http://h:1/"}, "http://h:1/to"),
        ({"endpoint_url": "http://h:1", "path_style": False}, "http://to.h:1"),
    ],
)
def test_address_of_a_bucket(options: dict[str, Any], expected: str) -> None:
    assert _address("to", _config("to", StorageOptions(**options), {})) == expected


def test_nothing_is_sent_by_opening(fake_s3: FakeS3) -> None:
    open_store("s3://b/x").close()
    assert fake_s3.requests == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"virtual_hosted_style_request": True}),
        ({"path_style": True}, {"virtual_hosted_style_request": False}),
        ({"endpoint_url": "http://h:1"}, {"aws_endpoint_url_s3": "http://h:1"}),
        (
            {"endpoint_url": "http://h:1/p", "path_style": False},
            {"aws_endpoint_url_s3": "http://bucket.h:1/p", "virtual_hosted_style_request": True},
        ),
        ({"requester_pays": True}, {"request_payer": True}),
        ({"sse": "AES256"}, {"server_side_encryption": "AES256"}),
        (
            {"sse": "aws:kms:arn:aws:kms:r:1:key/k"},
            {"server_side_encryption": "aws:kms", "sse_kms_key_id": "arn:aws:kms:r:1:key/k"},
        ),
        ({"region": "eu-west-1"}, {"region": "eu-west-1"}),
    ],
)
def test_configuration(options: dict[str, Any], expected: dict[str, Any]) -> None:
    assert expected.items() <= _config("bucket", StorageOptions(**options), {}).items()


def test_options_are_sent(fake_s3: FakeS3) -> None:
    flags = {"sse": "aws:kms:key", "requester_pays": True}
    store = open_store("s3://b/x", StorageOptions.resolve(flags))
    store.put_if_absent("k", b"x")
    store.get("k")
    put, get = (request.headers for request in fake_s3.requests)
    assert put["x-amz-server-side-encryption"] == "aws:kms"
    assert put["x-amz-server-side-encryption-aws-kms-key-id"] == "key"
    assert put["x-amz-request-payer"] == get["x-amz-request-payer"] == "requester"
    assert "authorization" in get
    open_store("s3://b/x", StorageOptions.resolve({"no_sign_request": True})).get("k")
    assert "authorization" not in fake_s3.requests[-1].headers


PROFILES = """
[default]
region = eu-north-1
[profile keys]
region = eu-west-3
endpoint_url = http://profile.example
[profile sso]
sso_session = x
[profile role]
role_arn = arn:aws:iam::1:role/x
source_profile = keys
"""
KEYS = """
[default]
aws_access_key_id = DEFAULT
aws_secret_access_key = s
[keys]
aws_access_key_id = KEYS
aws_secret_access_key = s
aws_session_token = t
"""


@pytest.fixture
def chain(tmp_path: Path) -> dict[str, str]:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text(PROFILES)
    (tmp_path / ".aws" / "credentials").write_text(KEYS)
    return {"HOME": str(tmp_path)}


def found(environ: dict[str, str], **flags: Any) -> dict[str, Any]:
    options = StorageOptions.resolve(flags, environ)
    config: dict[str, Any] = credentials.settings(options, environ)["config"]
    return config


def test_credentials_chain(chain: dict[str, str]) -> None:
    assert found(chain)["access_key_id"] == "DEFAULT"
    assert found(chain)["region"] == "eu-north-1"
    assert found(chain | {"AWS_REGION": "r"}).get("region") is None
    keys = {"access_key_id": "KEYS", "secret_access_key": "s", "session_token": "t"}
    places = {"region": "eu-west-3", "aws_endpoint_url_s3": "http://profile.example"}
    assert found(chain, profile="keys") == keys | places
    assert found(chain | {"AWS_PROFILE": "keys"}) == keys | places
    with_keys = chain | {"AWS_ACCESS_KEY_ID": "ENV", "AWS_PROFILE": "keys"}
    assert "access_key_id" not in found(with_keys)  # obstore reads the environment's
    assert found(with_keys, profile="default")["access_key_id"] == "DEFAULT"
    assert found(chain, no_sign_request=True) == {"skip_signature": True}
    with pytest.raises(UsageError, match="profile nobody: not found"):
        found(chain, profile="nobody")


def test_keys_of_a_profile_go_without_the_environments_token(chain: dict[str, str]) -> None:
    environ = chain | {"AWS_ACCESS_KEY_ID": "ENV", "AWS_SESSION_TOKEN": "theirs"}
    options = StorageOptions.resolve({"profile": "default"}, environ)
    assert credentials.settings(options, environ)["credential_provider"]()["token"] is None


def test_no_credentials(
    fake_s3: FakeS3, chain: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(PermissionDenied, match="no AWS credentials") as caught:
        open_store("s3://b/x")
    assert "AWS_PROFILE" in str(caught.value.hint)
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", fake_s3.url)  # answers, but not with credentials
    with pytest.raises(PermissionDenied, match="s3://b/x/k: no credentials"):
        open_store("s3://b/x", StorageOptions.resolve({"retries": 0})).get("k")
    open_store("s3://b/x", StorageOptions.resolve({"no_sign_request": True})).put("k", b"")


def test_profiles_through_botocore(
    chain: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = '{"Version": 1, "AccessKeyId": "MADE", "SecretAccessKey": "s", "SessionToken": "t"}'
    (tmp_path / "answer").write_text(answer)
    config = tmp_path / ".aws" / "config"
    process = f"\n[profile made]\ncredential_process = cat {tmp_path}/answer\n"
    config.write_text(PROFILES + process)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    for environ in (chain | {"AWS_PROFILE": "made"}, chain | {"AWS_ACCESS_KEY_ID": "ENV"}):
        profile = None if "AWS_PROFILE" in environ else "made"
        options = StorageOptions.resolve({"profile": profile}, environ)
        keys = credentials.chain(options, environ).keys
        assert keys and keys() == ("MADE", "s", "t")
        provider = credentials.settings(options, environ)["credential_provider"]
        assert provider()["access_key_id"] == "MADE"
    with pytest.raises(PermissionDenied, match="profile nobody") as caught:
        credentials._botocore("nobody")
    assert caught.value.hint == "aws sso login?"


def test_a_profile_reaches_the_real_server(
    s3_server: Versitygw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "credentials").write_text(
        f"[lab]\naws_access_key_id={s3_server.access_key}\n"
        f"aws_secret_access_key={s3_server.secret_key}\nendpoint_url={s3_server.url}\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "wrong")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "wrong")
    url = s3_server.make_bucket("profile") + "/x"
    options = StorageOptions.resolve({"profile": "lab"})
    open_store(url, options).put("k", b"x")
    assert open_input(f"{url}/k", options).read() == b"x"


def test_obstore_is_loaded_late() -> None:
    code = "import sys, bams3.storage, bams3.storage.s3, bams3.storage.http; " + (
        "print([m for m in ('obstore', 'boto3', 'tomllib') if m in sys.modules])"
    )
    paths = os.pathsep.join(filter(None, sys.path))
    environ = {"PYTHONPATH": paths, "PATH": os.environ["PATH"]}
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environ)
    assert answer.stdout == b"[]\n", answer.stderr
