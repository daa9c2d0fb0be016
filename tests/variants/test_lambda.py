"""The handler under AWS's runtime, driven by boto3, with reads and results on a real S3 server."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bams3.errors import CallError, InputError
from bams3.storage import open_store
from bams3.variants.call import call
from bams3.variants.executors import LambdaExecutor
from bams3.variants.handler import _arrived, lambda_handler
from tests.servers.lambda_runtime import Lambda
from tests.servers.program import Program, free_port
from tests.variants.sample import Sample, plain, read_lines

boto3 = pytest.importorskip("boto3")
pytest.importorskip("awslambdaric")
ROOT = Path(__file__).parents[2]
HANDLER = "bams3.variants.handler.lambda_handler"


@pytest.fixture
def bucket(normal: Sample, real_s3: str) -> str:
    """A bucket with ref.fa, x.bam, x.cram, x.bams3 on the real server."""
    store = open_store(real_s3)
    for name in (
        "ref.fa",
        "ref.fa.fai",
        "x.bam",
        "x.bam.bai",
        Path(normal.cram).name,
        "x.cram.crai",
    ):
        store.put(name, (normal.folder / name).read_bytes())
    for path in Path(normal.bams3).rglob("*"):
        if path.is_file():
            store.put(str(path.relative_to(normal.folder)), path.read_bytes())
    return real_s3


def environ(bucket: str) -> dict[str, str]:
    """What the function is given: keys of its own, and where results and reference are."""
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT / "python"),
        "BUCKET_RESULTS": bucket.removeprefix("s3://"),
        "REFERENCE": f"{bucket}/ref.fa",
    }


def client(url: str) -> Any:
    config = __import__("botocore.config").config.Config(retries={"max_attempts": 0})
    return boto3.client("lambda", region_name="us-east-1", endpoint_url=url, config=config)


@pytest.fixture
def cloud(bucket: str) -> Iterator[Lambda]:
    with Lambda(HANDLER, environ(bucket)) as server:
        yield server


@pytest.mark.parametrize("name", ["x.bams3", "x.bam", "x.cram"])
def test_shards_on_lambda_give_what_one_run_gives(
    name: str, cloud: Lambda, bucket: str, normal: Sample, tmp_path: Path
) -> None:
    output = f"{bucket}/out/{name}.vcf.gz"
    regions = [] if name == "x.bams3" else ["chr2"]
    with LambdaExecutor("f", 2, client(cloud.url)) as executor:
        done = call(
            [f"{bucket}/{name}"], f"{bucket}/ref.fa", output, executor=executor, workers=2,
            tile_bases=15_000, regions=regions,
        )  # fmt: skip
    assert len(cloud.payloads) == done.shards == (1 if regions else 5)
    local = tmp_path / "out.vcf.gz"
    local.write_bytes(open_store(f"{bucket}/out").get(f"{name}.vcf.gz"))
    expected = plain(normal.reference, normal.bam)
    chosen = [line for line in expected if not regions or line.startswith("chr2\t")]
    assert read_lines(local) == chosen
    assert [entry.key for entry in open_store(f"{output}.parts").list()] == []


def test_a_shard_that_times_out_is_cut(bucket: str, normal: Sample, tmp_path: Path) -> None:
    """The function gives up by itself before it would be killed."""
    with Lambda(HANDLER, environ(bucket), timeout=5.0) as server:  # no more than the margin
        with LambdaExecutor("f", 2, client(server.url)) as executor:
            with pytest.raises(CallError, match="the time is up"):
                call(
                    [f"{bucket}/x.bams3"], f"{bucket}/ref.fa", tmp_path / "o.vcf.gz",
                    executor=executor, folder=f"{bucket}/job", regions=["chr2:1-4"],
                )  # fmt: skip
        shards = [json.loads(text)["tasks"][0]["shard"] for text in server.payloads]
    assert [["chr2", 0, 4]] in shards and [["chr2", 0, 2]] in shards


def test_the_older_event_and_its_reply(cloud: Lambda, bucket: str, tmp_path: Path) -> None:
    event = {
        "bucket": bucket.removeprefix("s3://"), "key": "x.bam", "region": "chr1:1000-20000",
        "sample_id": "S1",
    }  # fmt: skip
    for _ in range(2):  # at-least-once delivery: the same result under the same name
        reply = client(cloud.url).invoke(FunctionName="f", Payload=json.dumps(event).encode())
        answer = json.loads(reply["Payload"].read())
        assert answer["statusCode"] == 200 and "FunctionError" not in reply
        body = answer["body"]
        name = f"{bucket}/results/S1_chr1_1000-20000.vcf.gz"
        assert body["vcf_file"] == name and body["region"] == event["region"]
        assert body["sample_id"] == "S1" and body["reads"] > 1_000
        assert body["message"] == f"Successfully called {body['variants']} variants"
    made = tmp_path / "x.vcf.gz"
    made.write_bytes(open_store(f"{bucket}/results").get("S1_chr1_1000-20000.vcf.gz"))
    assert len(read_lines(made)) == body["variants"] > 10
    keys = {entry.key for entry in open_store(f"{bucket}/results").list()}
    assert len(keys) == 3  # calls, index, receipt


def test_failures_are_raised_unless_a_reply_is_asked_for(cloud: Lambda, bucket: str) -> None:
    event = {"bucket": bucket.removeprefix("s3://"), "key": "none.bam", "region": "chr1:1-100"}
    reply = client(cloud.url).invoke(FunctionName="f", Payload=json.dumps(event).encode())
    answer = json.loads(reply["Payload"].read())
    assert reply["FunctionError"] == "Unhandled" and answer["errorType"] == "NotFoundError"
    event["errors"] = "reply"
    reply = client(cloud.url).invoke(FunctionName="f", Payload=json.dumps(event).encode())
    answer = json.loads(reply["Payload"].read())
    assert answer["statusCode"] == 500 and "FunctionError" not in reply
    assert (
        answer["body"]["message"] == "Variant calling failed"
        and "none.bam" in answer["body"]["error"]
    )


def test_a_function_that_is_killed_is_asked_again(
    cloud: Lambda, bucket: str, tmp_path: Path
) -> None:
    """A runtime that ends while it works counts as too large: its shard is cut, and done."""
    with LambdaExecutor("f", 1, client(cloud.url)) as executor:

        def kill() -> None:
            while not cloud.payloads:
                time.sleep(0.005)
            os.kill(cloud.runtimes[0].process.pid, signal.SIGKILL)

        thread = threading.Thread(target=kill)
        thread.start()
        done = call(
            [f"{bucket}/x.bams3"], f"{bucket}/ref.fa", tmp_path / "o.vcf.gz", executor=executor,
            folder=f"{bucket}/job", regions=["chr2"], workers=1, tile_bases=10_000,
        )  # fmt: skip
        thread.join()
    assert done.shards == 2 and done.records > 5


class Watch:
    """A context with little time left."""

    def get_remaining_time_in_millis(self) -> int:
        return 5_001


def test_a_batch_without_time_gives_back_what_is_left() -> None:
    assert lambda_handler({"tasks": []}, Watch()) == {"receipts": [], "unfinished": []}
    with pytest.raises(InputError, match="no bucket and no key"):
        lambda_handler({"region": "chr1"}, Watch())
    with pytest.raises(InputError, match="not a task"):
        lambda_handler({"tasks": [{}]}, Watch())


# ---- AWS's own emulator --------------------------------------------------------------------------
def emulator() -> str | None:
    beside = ROOT / ".cache" / "bin" / "aws-lambda-rie"
    return str(beside) if beside.exists() else shutil.which("aws-lambda-rie")


class Emulator(Program):
    """AWS's emulator with a function; it answers one invocation at a time."""

    leads = True

    def __init__(self, folder: Path, environ: dict[str, str], timeout: int) -> None:
        port, back = free_port(), free_port()
        command = [
            str(emulator()),
            *("--runtime-interface-emulator-address", f"127.0.0.1:{port}"),
            *("--runtime-api-address", f"127.0.0.1:{back}"),
            *(sys.executable, "-m", "awslambdaric", HANDLER),
        ]
        settings = {"AWS_LAMBDA_FUNCTION_NAME": "f", "AWS_LAMBDA_FUNCTION_TIMEOUT": str(timeout)}
        settings |= {"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024", "LAMBDA_TASK_ROOT": str(ROOT)}
        super().__init__(folder, command, port, {**environ, **settings})
        self._client = client(self.url)

    def invoke(self, **arguments: Any) -> Any:
        """Invoke by the name that the emulator knows, and take "f" for it."""
        return self._client.invoke(**{**arguments, "FunctionName": "function"})

    def ask(self, event: dict[str, Any]) -> Any:
        answer = self.invoke(FunctionName="f", Payload=json.dumps(event).encode())
        return json.loads(answer["Payload"].read())


needs_emulator = pytest.mark.skipif(
    emulator() is None, reason="aws-lambda-rie is not installed: make test"
)


@needs_emulator
def test_under_the_emulator_of_aws(bucket: str, tmp_path: Path) -> None:
    event = {"bucket": bucket.removeprefix("s3://"), "key": "x.bams3", "region": "chr2:1-9000"}
    with Emulator(tmp_path, environ(bucket), 60) as server:
        for _ in range(2):  # cold and warm
            answer = server.ask(event)
            assert answer["statusCode"] == 200 and answer["body"]["variants"] > 5
        answer = server.ask({**event, "key": "none.bam"})
        assert answer["errorType"] == "NotFoundError" and "none.bam" in answer["errorMessage"]
        assert server.ask({"tasks": [{}]})["errorType"] == "InputError"
        assert server.ask({**event, "key": "none.bam", "errors": "reply"})["statusCode"] == 500
        arrived = {"s3": {"bucket": {"name": event["bucket"]}, "object": {"key": "x.bam.bai"}}}
        (reply,) = server.ask({"Records": [arrived]})["replies"]
        assert reply["body"]["vcf_file"] == f"{bucket}/results/x_all.vcf.gz"


@needs_emulator
def test_batches_under_the_emulator(
    bucket: str, normal: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A driver's shards; then the same as one batch, of which all is done already."""
    with Emulator(tmp_path, environ(bucket), 60) as server:
        sent: list[dict[str, Any]] = []

        class Noting:
            def invoke(self, **arguments: Any) -> Any:
                sent.append(json.loads(arguments["Payload"]))
                return server.invoke(**arguments)

        output = f"{bucket}/out.vcf.gz"
        with LambdaExecutor("f", 1, Noting()) as executor:
            done = call(
                [f"{bucket}/x.bam"], f"{bucket}/ref.fa", output, executor=executor, workers=1,
                tile_bases=15_000, folder=f"{bucket}/job",
            )  # fmt: skip
        assert len(sent) == done.shards == 5
        batch = {"tasks": [task for payload in sent for task in payload["tasks"]]}
        answers = [server.ask(batch) for _ in range(2)]
    assert answers[0] == answers[1] and answers[0]["unfinished"] == []
    monkeypatch.setenv("BUCKET_RESULTS", bucket.removeprefix("s3://"))
    hurried = lambda_handler(batch, Watch())  # what is done is not done again, but takes a moment
    assert hurried["receipts"] == answers[0]["receipts"][:1]
    assert hurried["unfinished"] == batch["tasks"][1:]
    assert sum(receipt["records"] for receipt in answers[0]["receipts"]) == done.records
    (tmp_path / "out.vcf.gz").write_bytes(open_store(bucket).get("out.vcf.gz"))
    assert read_lines(tmp_path / "out.vcf.gz") == plain(normal.reference, normal.bam)


@needs_emulator
def test_time_that_runs_out_under_the_emulator(bucket: str, tmp_path: Path) -> None:
    """The function gives up before it would be killed, and answers the next event, too."""
    event = {"bucket": bucket.removeprefix("s3://"), "key": "x.bam", "region": "chr2:1-9000"}
    with Emulator(
        tmp_path, environ(bucket), 4
    ) as server:  # less than what the handler keeps for itself
        for _ in range(2):
            answer = server.ask(event)
            assert answer["errorType"] == "TooLargeError"
            assert "no time left" in answer["errorMessage"]


@pytest.mark.parametrize(
    ("key", "reads", "name"),
    [
        ("samples/x.bam.bai", "samples/x.bam", "x"),
        ("samples/x.sorted.bam.csi", "samples/x.sorted.bam", "x.sorted"),
        ("samples/run+1/x.cram.crai", "samples/run 1/x.cram", "run 1/x"),
        ("samples/x.bams3/_metadata.json", "samples/x.bams3", "x"),
        ("x.bam", "x.bam", "x"),
    ],
)
def test_what_has_arrived(key: str, reads: str, name: str) -> None:
    record = {"s3": {"bucket": {"name": "b"}, "object": {"key": key}}}
    assert _arrived(record) == ({"bucket": "b", "key": reads, "region": "."}, name)
