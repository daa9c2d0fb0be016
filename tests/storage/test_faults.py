"""Every fault between client and server is survived, or ends in a clear error. No data is wrong."""

from __future__ import annotations

import os
import time
from dataclasses import replace

import pytest

from bams3.errors import Bams3Error, ExistsError, NotFoundError, StorageError
from bams3.storage import StorageOptions, Store, open_input, open_store
from tests.servers.fake_s3 import FakeS3
from tests.servers.proxy import Fault, FaultProxy, cut, delay, fail, reset, shorten, trickle
from tests.servers.versitygw import Versitygw

DATA = os.urandom(300_000)
FAULTS = {
    "500": fail(500, "InternalError"),
    "503": fail(503, "SlowDown"),
    "429": fail(429, "TooManyRequests"),
    "reset": reset(),
    "cut at once": cut(0),
    "cut late": cut(1000),
    "cut and reset": cut(1000, rst=True),
    "delay": delay(0.2),
    "stuck": delay(1.5),
    "trickle": trickle(100_000, 0.01),
}


@pytest.fixture
def url(fault_proxy: FaultProxy, s3_server: Versitygw) -> str:
    return s3_server.make_bucket(f"faults-{time.time_ns()}") + "/folder"


@pytest.fixture
def options(fault_proxy: FaultProxy) -> StorageOptions:
    return StorageOptions.resolve(
        {"timeout": 0.7, "retries": 6, "backoff": 0.01, "retry_seconds": 20}
    )


@pytest.fixture
def store(url: str, options: StorageOptions) -> Store:
    return open_store(url, options)


@pytest.fixture
def patient(url: str) -> Store:
    """The same folder, for big objects: a busy machine is no fault."""
    return open_store(url, StorageOptions.resolve({"timeout": 20, "backoff": 0.01}))


@pytest.mark.parametrize("fault", FAULTS)
def test_reads_survive(store: Store, fault_proxy: FaultProxy, fault: str) -> None:
    store.put("k", DATA)
    fault_proxy.plan(FAULTS[fault], FAULTS[fault], match="GET")
    assert store.get("k") == DATA
    fault_proxy.plan(FAULTS[fault], FAULTS[fault], match="GET")
    assert store.get("k", 1000, 200_000) == DATA[1000:200_000]
    assert fault_proxy.faults
    fault_proxy.plan(*[FAULTS[fault], None] * 5, match="GET")
    spans = [("k", i * 20_000, i * 20_000 + 20_000) for i in range(10)]
    assert store.get_many(spans) == [DATA[start:end] for _, start, end in spans]


@pytest.mark.parametrize("fault", FAULTS)
def test_writes_survive(store: Store, fault_proxy: FaultProxy, fault: str) -> None:
    fault_proxy.plan(FAULTS[fault], FAULTS[fault], match="PUT")
    store.put("k", DATA)
    assert fault_proxy.faults
    assert store.get("k") == DATA


@pytest.mark.parametrize("fault", ["500", "503", "reset", "delay"])
def test_other_verbs_survive(store: Store, fault_proxy: FaultProxy, fault: str) -> None:
    store.put("a/k", DATA)
    fault_proxy.plan(FAULTS[fault], FAULTS[fault])
    assert store.head("a/k").size == len(DATA)
    fault_proxy.plan(FAULTS[fault], FAULTS[fault])
    assert [entry.key for entry in store.list("a")] == ["a/k"]
    fault_proxy.plan(FAULTS[fault], FAULTS[fault])
    store.copy("a/k", "b")
    fault_proxy.plan(FAULTS[fault], FAULTS[fault])
    store.delete_many(["a/k"])
    assert [entry.key for entry in store.list()] == ["b"]


@pytest.mark.parametrize("fault", ["503", "reset", "stuck"])
def test_big_writes_survive(url: str, patient: Store, fault_proxy: FaultProxy, fault: str) -> None:
    data = DATA * 120  # 36 MB: three parts
    step = delay(6) if fault == "stuck" else FAULTS[fault]
    fault_proxy.plan(None, step, step, match="uploadId")
    open_store(url, StorageOptions.resolve({"timeout": 3, "backoff": 0.01})).put("big", data)
    assert fault_proxy.faults
    assert patient.get("big") == data


def test_a_listing_goes_on_where_it_broke_off(store: Store, fault_proxy: FaultProxy) -> None:
    names = [f"a/{number:03}" for number in range(60)]
    for name in names:
        store.put(name, b"")
    for fault in (cut(100), cut(100, rst=True), cut(5000), fail(503), reset()):
        fault_proxy.plan(fault, fault, None, fault, match="GET")
        assert [entry.key for entry in store.list("a")] == names
    with FakeS3(page=7) as server, FaultProxy(server.url) as proxy:
        options = StorageOptions(endpoint_url=proxy.url, no_sign_request=True, backoff=0.01)
        paged = open_store("s3://bucket/x", options)
        for name in names:
            paged.put(name, b"")
        proxy.plan(None, None, cut(50), None, reset(), None, cut(1000), cut(1000), match="GET")
        assert [entry.key for entry in paged.list("a")] == names
        assert proxy.faults == 4
        proxy.plan(*[None] * 8, cut(50), match="GET")  # after what obstore gives at once
        assert [entry.key for entry in paged.list("a")] == names
        assert proxy.faults == 1


LOST_ANSWERS = {
    "reset": reset(arrive=True),
    "500": fail(500, "InternalError", arrive=True),
    "503": fail(503, arrive=True),
}


@pytest.mark.parametrize("fault", LOST_ANSWERS)
def test_a_lost_answer_is_no_lost_race(store: Store, fault_proxy: FaultProxy, fault: str) -> None:
    """The write arrived, its answer did not: the second attempt is refused, yet it is ours."""
    fault_proxy.plan(LOST_ANSWERS[fault], match="PUT")
    first = store.put_if_absent("commit", b"mine")
    assert first == store.head("commit").etag
    fault_proxy.plan(LOST_ANSWERS[fault], match="PUT")
    second = store.put_if_match("commit", b"mine too", first)
    assert second == store.head("commit").etag
    assert store.get("commit") == b"mine too"


@pytest.mark.parametrize("fault", LOST_ANSWERS)
def test_a_lost_answer_to_the_last_word_of_a_big_write(fault: str) -> None:
    """CompleteMultipartUpload arrived; asked again, the server knows of no such upload."""
    data = DATA * 120
    with FakeS3() as server, FaultProxy(server.url) as proxy:
        options = StorageOptions(endpoint_url=proxy.url, no_sign_request=True, backoff=0.01)
        store = open_store("s3://bucket/x", options)
        proxy.plan(None, LOST_ANSWERS[fault], match="POST")
        store.put("big", data)
        assert proxy.faults == 1
        assert server.buckets["bucket"]["x/big"].data == data


@pytest.mark.parametrize("fault", ["500", "503", "reset", "stuck"])
def test_a_lost_race_is_lost_under_faults(
    store: Store, url: str, fault_proxy: FaultProxy, fault: str
) -> None:
    store.put_if_absent("commit", b"theirs")
    fault_proxy.plan(FAULTS[fault], match="PUT")
    with pytest.raises(ExistsError):
        store.put_if_absent("commit", b"mine")
    fault_proxy.plan(FAULTS[fault], match="PUT")
    with pytest.raises(ExistsError):
        store.put_if_match("commit", b"mine", '"not the etag"')
    assert store.get("commit") == b"theirs"


def test_conflict_is_tried_again(store: Store, fault_proxy: FaultProxy) -> None:
    fault_proxy.plan(fail(409, "ConditionalRequestConflict"), match="PUT")
    store.put_if_absent("commit", b"mine")
    assert store.get("commit") == b"mine"


@pytest.mark.parametrize("verb", ["get", "get range", "get many", "open_input", "put", "commit"])
@pytest.mark.parametrize("fault", ["500", "503", "reset", "cut at once", "cut late", "stuck"])
def test_endless_faults_end_in_an_error(
    url: str, fault_proxy: FaultProxy, fault: str, verb: str
) -> None:
    options = StorageOptions.resolve(
        {"timeout": 0.3, "retries": 2, "backoff": 0.01, "retry_seconds": 5}
    )
    open_store(url).put("k", DATA)
    store = open_store(url, options)
    act = {
        "get": lambda: store.get("k"),
        "get range": lambda: store.get("k", 0, 100_000),
        "get many": lambda: store.get_many([("k", 0, 100_000), ("k", 1, 100_000)]),
        "open_input": lambda: open_input(f"{url}/k", options).read(),
        "put": lambda: store.put("l", DATA),
        "commit": lambda: store.put_if_absent("m", DATA),
    }[verb]
    if "cut" in fault and verb in ("put", "commit"):
        pytest.skip("the answer to a write has no body to cut")
    fault_proxy.plan(*[FAULTS[fault]] * 100)
    started = time.monotonic()
    with pytest.raises(StorageError) as caught:
        act()
    assert caught.value.hint
    assert time.monotonic() - started < 15


def test_permission_denied(
    url: str, fault_proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    store = open_store(url)
    for act in (
        lambda: store.get("k"),
        lambda: store.head("k"),
        lambda: store.put("k", b""),
        lambda: store.put_if_absent("k", b""),
        lambda: list(store.list()),
        lambda: open_input(f"{url}/k"),
    ):
        fault_proxy.plan()
        with pytest.raises(PermissionError, match="access denied") as caught:
            act()
        assert "AWS_PROFILE" in str(getattr(caught.value, "hint", ""))
        assert len(fault_proxy.requests) == 1  # not repeated


@pytest.mark.parametrize(
    "fault", [fail(301, "PermanentRedirect"), fail(400, "AuthorizationHeaderMalformed")]
)
def test_another_region(store: Store, fault_proxy: FaultProxy, fault: Fault) -> None:
    for act in (
        lambda: store.get("k"),
        lambda: store.put("k", b""),
        lambda: store.put_if_absent("k", b""),
        lambda: list(store.list()),
    ):
        fault_proxy.plan(*[fault] * 100)
        with pytest.raises(StorageError, match="another region") as caught:
            act()
        assert "--aws-region" in str(caught.value.hint)


def test_no_such_bucket(fault_proxy: FaultProxy) -> None:
    store = open_store("s3://no-such-bucket/folder")
    with pytest.raises(NotFoundError, match="bucket does not exist"):
        store.put("k", b"")
    with pytest.raises(NotFoundError, match="bucket does not exist"):
        list(store.list())
    with pytest.raises(NotFoundError, match="bucket does not exist"):
        store.delete_many(["k"])


def test_nobody_there(monkeypatch: pytest.MonkeyPatch, fake_s3: FakeS3) -> None:
    options = StorageOptions.resolve(
        {"endpoint_url": "http://127.0.0.1:9", "retries": 1, "backoff": 0.01}
    )
    with pytest.raises(StorageError) as caught:
        open_store("s3://bucket/x", options).get("k")
    assert "endpoint" in str(caught.value.hint)
    assert "s3://bucket/x/k" in str(caught.value)


@pytest.mark.parametrize("fault", FAULTS)
def test_streaming_survives(
    url: str, patient: Store, options: StorageOptions, fault_proxy: FaultProxy, fault: str
) -> None:
    data = DATA * 70  # 21 MB: three ranges
    patient.put("big", data)
    fault_proxy.plan(*[FAULTS[fault], None, FAULTS[fault], FAULTS[fault]], match="GET")
    options = options if fault == "stuck" else replace(options, timeout=20)
    with open_input(f"{url}/big", options) as stream:
        assert stream.read() == data
    assert fault_proxy.faults


def test_a_short_range_that_looks_whole_is_read_again(
    url: str, store: Store, options: StorageOptions, fault_proxy: FaultProxy
) -> None:
    store.put("k", DATA)
    for count in (1, 3):
        fault_proxy.plan(*[shorten(1000)] * count, match="GET")
        assert store.get("k", 5000, 200_000) == DATA[5000:200_000]
        fault_proxy.plan(*[shorten(1000)] * count, match="GET")
        with open_input(f"{url}/k", options) as stream:
            assert stream.read() == DATA
    fault_proxy.plan(*[shorten(1000)] * 100, match="GET")
    with pytest.raises(StorageError, match="1000 bytes came instead of 195000"):
        store.get("k", 5000, 200_000)


def test_streaming_notices_a_replacement(url: str, patient: Store, fault_proxy: FaultProxy) -> None:
    patient.put("big", DATA * 250)  # 75 MB: more than is read ahead
    with open_input(f"{url}/big") as stream:
        stream.read(1000)
        patient.put("big", DATA * 249)
        with pytest.raises(Bams3Error, match="replaced while it was read"):
            while stream.read(1 << 20):
                pass
