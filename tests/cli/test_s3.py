"""All commands against S3: as they are, through faults, and killed at any moment."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

import bams3
from bams3.reads.verify import verify
from bams3.storage import Store, open_store
from tests.cli.run import Done, bams3_
from tests.reads import made
from tests.servers.proxy import Fault, FaultProxy, cut, fail, flip, reset, trickle
from tests.servers.versitygw import Versitygw

SAM = made.header() + made.shuffled(4000)
SORTED = made.header("coordinate") + "".join(
    made.line(f"s{n}", "chr1", 1 + 700 * n, length=100) for n in range(4000)
)
REGION = "chr1:100-2,000"


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("inputs")
    texts = {"one": SAM, "two": made.header() + made.shuffled(4000, 2), "sorted": SORTED}
    return {name: Path(made.write_sam(folder, t, f"{name}.sam")) for name, t in texts.items()}


@pytest.fixture(params=["fake-s3", "real-s3"])
def bucket(request: pytest.FixtureRequest) -> str:
    if request.param == "fake-s3":
        request.getfixturevalue("fake_s3")
        return "s3://bucket"
    return str(request.getfixturevalue("real_s3"))


def ok(*arguments: str | Path) -> bytes:
    done = bams3_(*arguments)
    assert done.code == 0, done.err
    return done.out


def records(sam: bytes) -> list[str]:
    return made.alignments(sam)


def test_every_command(bucket: str, inputs: dict[str, Path], tmp_path: Path) -> None:
    one, two, both = (f"{bucket}/{name}.bams3" for name in ("one", "two", "both"))
    ok("convert", inputs["one"], one, "--workers", "1", "--chunk-size", "64k", "--quiet")
    ok("convert", inputs["two"], two, "--workers", "1", "--quiet")
    expected = made.samtools_sorted(str(inputs["one"]), tmp_path)
    assert records(ok("query", one)) == expected
    assert ok("verify", one, "--against", inputs["one"]).startswith(b"ok: 4,000 records, the same")
    ok("to-bam", one, tmp_path / "back.sam", "--quiet")
    assert records((tmp_path / "back.sam").read_bytes()) == expected
    ok("merge", both, one, two, "--quiet")
    assert ok("verify", both).startswith(b"ok: 8,000 records")
    assert int(ok("query", "-c", both, REGION)) > int(ok("query", "-c", one, REGION)) > 0
    assert b"records" in ok("stats", "--json", both)
    assert ok("depth", one, REGION)
    again = bams3_("convert", inputs["two"], one)
    assert again.code == 1 and "--overwrite" in again.err
    ok("convert", inputs["two"], one, "--overwrite", "--quiet")
    ok("verify", one, "--against", inputs["two"])


def test_clean_removes_what_is_left_and_only_that(bucket: str, inputs: dict[str, Path]) -> None:
    url = f"{bucket}/left.bams3"
    ok("convert", inputs["one"], url, "--quiet")
    store = open_store(url)
    kept = {entry.key for entry in store.list()} | {"notes.txt", "data/mine.txt", "other/x.chunk"}
    for key in (*kept - {entry.key for entry in store.list()}, *LEFT):
        store.put(key, b"12345")
    assert ok("clean", url) == f"{len(LEFT)} objects removed, {5 * len(LEFT)} B\n".encode()
    assert {entry.key for entry in store.list()} == kept
    ok("verify", url, "--against", inputs["one"])


LEFT = (
    "data/chr1/000000000-001000000.0123456789abcdef.chunk",
    "_header.0123456789abcdef.zst",
    "_spill/0123456789abcdef/000000.spill",
    "_spill/0123456789abcdef/running",
    "_spill/0123456789abcdef/deleting",
)


# ---- faults --------------------------------------------------------------------------------------
FAULTS: dict[str, Callable[[], Fault]] = {
    "500": lambda: fail(500, "InternalError"),
    "503": lambda: fail(503),
    "reset": reset,
    "cut": lambda: cut(100),
    "trickle": lambda: trickle(3000, 0.005),
    "flip": lambda: flip(1234),
}
READING: dict[str, list[str]] = {
    "query": ["query", "URL", REGION],
    "count": ["query", "-c", "URL", REGION],
    "depth": ["depth", "URL", REGION],
    "stats": ["stats", "--json", "URL"],
    "to-bam": ["to-bam", "URL", "-", "--format", "sam", "--no-PG"],
    "verify": ["verify", "URL"],
    "merge": ["merge", "OUT", "URL", "URL", "--overwrite", "--quiet"],
}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAMS3_RETRIES", "4")
    monkeypatch.setenv("BAMS3_TIMEOUT", "2")


@pytest.fixture
def through(
    fault_proxy: FaultProxy, s3_server: Versitygw, inputs: dict[str, Path], quick: None
) -> str:
    """A dataset that is reached through the proxy."""
    url = s3_server.make_bucket(f"faults-{uuid.uuid4().hex}") + "/x.bams3"
    ok("convert", inputs["one"], url, "--quiet", "--chunk-size", "64k")
    return url


def judge(done: Done, url: str, expected: bytes) -> bool:
    """A right answer, or a clear error with the name of an object; tell which."""
    if done.code == 0:
        assert done.out == expected
        return True
    assert done.code == 1
    assert re.search(rf"error: .*{re.escape(url)}.*", done.err), done.err
    assert "Traceback" not in done.err
    return False


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("command", READING)
def test_reading_through_faults(
    command: str, fault: str, through: str, fault_proxy: FaultProxy, tmp_path: Path
) -> None:
    names = {"URL": through, "OUT": str(tmp_path / "merged")}
    arguments = [names.get(word, word) for word in READING[command]]
    fault_proxy.plan()
    expected = ok(*arguments)
    count = len(fault_proxy.requests)
    for pattern in [[1], [0, 1]] if fault == "flip" else [[1, 0] * count]:
        steps = [FAULTS[fault]() if step else None for step in pattern]
        fault_proxy.plan(*steps, match="GET")
        done = bams3_(*arguments)
        right = judge(done, through, expected)
        assert right or fault == "flip", done.err
        assert fault_proxy.faults or pattern == [0, 1]


LOST: dict[str, Callable[[], Fault]] = {
    "500 after": lambda: fail(500, "InternalError", arrive=True),
    "503 after": lambda: fail(503, arrive=True),
    "reset after": lambda: reset(arrive=True),
}
WRITING = {name: make for name, make in FAULTS.items() if name != "flip"} | LOST


@pytest.fixture
def pair(through: str, fault_proxy: FaultProxy, inputs: dict[str, Path]) -> tuple[str, str]:
    """Two datasets behind the proxy; of their chunks some meet, and some do not."""
    other = through.replace("x.bams3", "y.bams3")
    ok("convert", inputs["sorted"], other, "--quiet", "--chunk-size", "64k")
    return through, other


@pytest.mark.parametrize(
    ("place", "fault"),
    [
        *(("one bucket", fault) for fault in WRITING),
        ("two buckets", "503"),
        ("two buckets", "reset"),
    ],
)
def test_merging_through_faults(
    place: str, fault: str, pair: tuple[str, str], fault_proxy: FaultProxy, s3_server: Versitygw,
    tmp_path: Path,
) -> None:  # fmt: skip
    """On S3 throughout; every other request of any kind fails."""
    bucket = pair[0].rpartition("/")[0]
    if place == "two buckets":
        bucket = s3_server.make_bucket(f"merged-{uuid.uuid4().hex}")
    url = f"{bucket}/both.bams3"
    ok("merge", tmp_path / "plain", *pair, "--quiet")
    for steps in (1, 200):
        fault_proxy.plan(*[None, WRITING[fault]()] * steps)
        assert judge(bams3_("merge", url, *pair, "--overwrite", "--quiet"), url, b"")
        assert fault_proxy.faults == steps or fault_proxy.steps
        fault_proxy.plan()
        assert made.objects(url) == made.objects(str(tmp_path / "plain"))


@pytest.mark.parametrize("fault", WRITING)
def test_cleaning_through_faults(
    fault: str, through: str, fault_proxy: FaultProxy, inputs: dict[str, Path]
) -> None:
    store = open_store(through)
    kept = {entry.key for entry in store.list()} | {"notes.txt"}
    for pattern in ([1, 0], [0, 1], [0, 0, 1], [1, 1, 0]):
        fault_proxy.plan()
        for key in ("notes.txt", *LEFT):
            store.put(key, b"12345")
        steps = [WRITING[fault]() if step else None for step in pattern * 20]
        fault_proxy.plan(*steps)
        said = f"{len(LEFT)} objects removed, {5 * len(LEFT)} B\n".encode()
        assert judge(bams3_("clean", through), through, said)
        assert fault_proxy.faults
        fault_proxy.plan()
        assert {entry.key for entry in store.list()} == kept
    ok("verify", through, "--against", inputs["one"])


@pytest.mark.parametrize("command", ["merge", "clean"])
def test_a_store_that_stays_away_ends_merge_and_clean(
    command: str, pair: tuple[str, str], fault_proxy: FaultProxy, inputs: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The error names the place; the datasets are as they were; nothing half-made is seen."""
    monkeypatch.setenv("BAMS3_RETRIES", "1")
    bucket = pair[0].rpartition("/")[0]
    arguments = {
        "merge": ["merge", f"{bucket}/both.bams3", *pair, "--quiet"],
        "clean": ["clean", pair[0]],
    }[command]
    open_store(pair[0]).put(LEFT[0], b"12345")
    for before in range(0, 40, 3):
        fault_proxy.plan(*[None] * before, *[fail(503)] * 2000)
        done = bams3_(*arguments)
        finished = not fault_proxy.faults
        assert judge(done, bucket, done.out) is finished
        fault_proxy.plan()
        if finished:
            break
        assert digest(f"{bucket}/both.bams3") is None
        for url, name in zip(pair, ("one", "sorted"), strict=True):
            ok("verify", url, "--against", inputs[name])
    else:
        pytest.fail("it never came to its end")


@pytest.mark.parametrize("fault", WRITING)
def test_converting_through_faults(
    fault: str, through: str, fault_proxy: FaultProxy, inputs: dict[str, Path]
) -> None:
    chance = random.Random(fault)
    arguments = ["convert", inputs["two"], through, "--overwrite", "--quiet", "--sort-buffer", "1M"]
    fault_proxy.plan(*[WRITING[fault]() if chance.random() < 0.3 else None for _ in range(60)])
    assert judge(bams3_(*arguments), through, b"")
    assert fault_proxy.faults
    fault_proxy.plan()
    ok("verify", through, "--against", inputs["two"])
    ok("clean", through)


def test_a_store_that_stays_away_leaves_the_old_dataset(
    through: str,
    fault_proxy: FaultProxy,
    inputs: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BAMS3_RETRIES", "1")
    for before in (0, 3, 6, 9):
        fault_proxy.plan(*[None] * before, *[fail(503)] * 500)
        done = bams3_("convert", inputs["two"], through, "--overwrite", "--quiet")
        assert judge(done, through, b"") is False
        fault_proxy.plan()
        ok("clean", through)
        ok("verify", through, "--against", inputs["one"])


# ---- killed --------------------------------------------------------------------------------------
MINE = {"data/mine.txt"}
KILLED = {"fresh": "sorted", "overwrite": "sorted", "spill": "one"}


def start(source: Path, url: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", "from bams3.cli import main; main()", "convert", "--quiet"]
    options = ["--overwrite", "--sort-buffer", "1M", "--chunk-size", "16k", "--workers", "1"]
    return subprocess.Popen([*command, str(source), url, *options], env=os.environ)


@pytest.mark.parametrize("turns", [3, pytest.param(100, marks=pytest.mark.soak)])
@pytest.mark.parametrize("phase", KILLED)
@pytest.mark.parametrize("place", ["local", "real-s3"])
def test_killed_at_any_moment(
    phase: str, turns: int, place: str, request: pytest.FixtureRequest, inputs: dict[str, Path],
    tmp_path: Path,
) -> None:  # fmt: skip
    """There is no dataset or a whole one, and `clean` leaves that and what is not ours."""
    chance = random.Random(phase)
    folder = str(tmp_path) if place == "local" else request.getfixturevalue("real_s3")
    url, source = f"{folder}/killed.bams3", inputs[KILLED[phase]]
    sources = [source, source if phase == "fresh" else inputs["two"]]
    longest, whole = 0.0, []
    for name in sources[::-1]:
        timed = f"{folder}/timed.bams3" if name == source else url
        began = time.monotonic()
        assert start(name, timed).wait() == 0
        longest = max(longest, time.monotonic() - began)
        whole.append(digest(timed))
    if phase == "fresh":
        whole.append(None)
    store = open_store(url)
    store.put("data/mine.txt", b"mine")
    outcomes: Counter[str] = Counter()
    for turn in range(turns):
        child = start(sources[turn % 2], url)
        time.sleep(chance.uniform(0.3, 1.3) * longest)
        child.kill()
        outcomes["finished" if child.wait() == 0 else "killed"] += 1
        settle(store)
        found = digest(url)
        assert found in whole
        outcomes["none" if found is None else "one" if found == whole[0] else "other"] += 1
        outcomes["leftovers"] += {entry.key for entry in store.list()} > keys(url) | MINE
        ok("clean", url)
        assert digest(url) == found
        assert {entry.key for entry in store.list()} == keys(url) | MINE
        if phase == "fresh":
            store.delete_many(keys(url))
    print(dict(outcomes))


def settle(store: Store) -> None:
    """Wait until what was on its way to the server has arrived: the dead cannot call it back."""
    before, now = None, sorted(store.list())
    while before != now:
        time.sleep(0.25)
        before, now = now, sorted(store.list())


def digest(url: str) -> int | None:
    """The digest of the dataset, all of which is read; None where there is none."""
    try:
        with bams3.open(url) as dataset:
            assert verify(dataset).problems == []
            return dataset.manifest.digest
    except FileNotFoundError:
        return None


def keys(url: str) -> set[str]:
    try:
        with bams3.open(url) as dataset:
            return dataset.manifest.keys() | {"_metadata.json"}
    except FileNotFoundError:
        return set()
