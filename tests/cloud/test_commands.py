"""The commands: what they print, what they ask, how they end."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bams3.cloud import aws as aws_module
from bams3.cloud.aws import Aws
from bams3.cloud.deploy import deploy
from bams3.cloud.deployment import Deployment, Settings
from bams3.cloud.plan import plan
from bams3.cloud.trigger import arrivals, event_of, invoke
from bams3.errors import CallError, NotFoundError, UsageError
from bams3.storage import open_store
from tests.cli.run import Done, bams3_
from tests.cloud.account import REGION, Watched, client, everything
from tests.servers.lambda_runtime import Lambda
from tests.servers.moto import ACCOUNT, Moto
from tests.variants.sample import Sample

PLACE = Deployment("calling", ACCOUNT, REGION)


def cloud(*arguments: str, stdin: bytes = b"") -> Done:
    return bams3_("cloud", *arguments, stdin=stdin)


def test_from_plan_to_cleanup(account: Moto, layer: str) -> None:
    made = ("calling", "--layer", layer, "--on-arrival")
    planned = cloud("plan", *made)
    assert planned.code == 0 and planned.out.count(b" create\n") == 8, planned.err
    assert everything() == set()
    done = cloud("deploy", *made)
    assert done.code == 0 and done.out.count(b" created\n") == 8, done.err
    assert cloud("deploy", *made).out.count(b" kept\n") == 8
    assert cloud("plan", *made).out.count(b" keep\n") == 8
    status = cloud("status", "calling")
    assert status.code == 0 and b"table       bams3-calling" in status.out, status.err
    removed = cloud("cleanup", "calling", "--yes")
    assert removed.code == 0 and b"removed 8 of 8 resources\nnothing is left\n" in removed.out
    assert everything() == set()
    assert cloud("cleanup", "calling").out == b"removed 0 of 0 resources\nnothing is left\n"


def test_plan_changes_nothing(account: Moto, settings: Settings) -> None:
    for deployed in (False, True):
        if deployed:
            deploy(Aws(), "calling", settings)
        watched = Watched()
        plan(watched, "calling", settings)
        assert watched.asked and watched.changes == []


def test_plan_as_json_has_policy_and_bill(account: Moto, layer: str) -> None:
    done = cloud("plan", "calling", "--layer", layer, "--samples", "3", "--gib", "12", "--json")
    found = json.loads(done.out)
    assert [r["todo"] for r in found["resources"]] == ["create"] * 7
    assert {one["Sid"] for one in found["policy"]["Statement"]} > {"ReadObjects", "LoadCalls"}
    for bill in (found["once"], found["monthly"]):
        assert bill["total"] == pytest.approx(sum(line["dollars"] for line in bill["lines"]))


def test_status_of_nothing_and_of_a_part(account: Moto, layer: str) -> None:
    done = cloud("status", "calling")
    assert done.code == 1 and done.out.count(b"missing\n") == 6 and "not whole" in done.err
    cloud("deploy", "calling", "--layer", layer)
    client("s3").delete_public_access_block(Bucket=PLACE.bucket)
    client("sqs").delete_queue(
        QueueUrl=client("sqs").get_queue_url(QueueName=PLACE.queue)["QueueUrl"]
    )
    done = cloud("status", "calling")
    assert done.code == 1 and b"wrong: no public access" in done.out
    assert b"bams3-calling-failed" in done.out and done.out.count(b"missing\n") == 1
    assert "Traceback" not in done.err


def test_status_tells_of_errors_and_dead_letters(account: Moto, layer: str) -> None:
    cloud("deploy", "calling", "--layer", layer)
    logs, where = client("logs"), {"logGroupName": PLACE.log_group, "logStreamName": "s"}
    logs.create_log_stream(**where)
    now = int(time.time() * 1000)
    said = ["START", "[ERROR] NotFoundError: s3://b/x.bam: no such object"]
    events = [{"timestamp": now + number, "message": text} for number, text in enumerate(said)]
    logs.put_log_events(**where, logEvents=events)
    letter = {
        "requestPayload": {"bucket": "b", "key": "x.bam"},
        "responsePayload": {"errorType": "NotFoundError", "errorMessage": "no such object"},
    }
    url = client("sqs").get_queue_url(QueueName=PLACE.queue)["QueueUrl"]
    client("sqs").send_message(QueueUrl=url, MessageBody=json.dumps(letter))
    for _ in range(2):  # looking takes nothing away
        text = cloud("status", "calling").out.decode()
        assert 'no such object: {"bucket": "b", "key": "x.bam"}' in text
        assert "1 dead letters" in text and "[ERROR] NotFoundError" in text


def test_cleanup_asks(account: Moto, layer: str) -> None:
    cloud("deploy", "calling", "--layer", layer)
    before = everything()
    for answer, code in ((b"n\n", 1), (b"", 130)):
        done = cloud("cleanup", "calling", stdin=answer)
        assert done.code == code and everything() == before
        assert ("error: nothing was removed" in done.err) == (code == 1)
    client("s3").put_object(Bucket=PLACE.bucket, Key="samples/x", Body=b"xyz")
    done = cloud("cleanup", "calling", stdin=b"y\n")
    assert done.code == 0 and b"removed 6 of 7 resources\nkept, with data: bucket" in done.out
    assert b"1 objects; 1 versions; 3 B" in done.out, done.out
    done = cloud("cleanup", "calling", "--data", "--yes", "--json")
    assert json.loads(done.out)["after"] == [] and everything() == set()


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["deploy", "calling"], 2, "needs code"),
        (["deploy", "calling", "--layer", "none.zip"], 1, "make layer"),
        (["deploy", "No", "--image", "x"], 2, "not a name"),
        (["plan", "calling", "--reads", "/data"], 2, "not an address on S3"),
        (["trigger", "calling"], 2, "give READS"),
        (["trigger", "calling", "x.bam"], 2, "is not on S3"),
        (["trigger", "calling", "--arrivals", "on"], 1, "is not deployed"),
    ],
)
def test_what_is_refused(account: Moto, arguments: list[str], code: int, text: str) -> None:
    done = cloud(*arguments)
    assert done.code == code and text in done.err and "Traceback" not in done.err, done.err
    assert everything() == set()


def test_nobody_answers(account: Moto, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(aws_module, "RETRIES", 0)
    done = cloud("status", "calling")
    assert done.code == 1 and "AWS sts get_caller_identity" in done.err


# ---- triggering ----------------------------------------------------------------------------------
@pytest.fixture
def function(
    normal: Sample, account: Moto, real_s3: str, layer: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Aws, str]]:
    """A deployment whose function really runs, and a bucket with reads."""
    monkeypatch.setenv("AWS_REGION", "us-east-1")  # that of versitygw
    store = open_store(real_s3)
    for name in ("ref.fa", "ref.fa.fai", "x.bam", "x.bam.bai"):
        store.put(name, (normal.folder / name).read_bytes())
    bucket = real_s3.removeprefix("s3://")
    environ = {"BUCKET_RESULTS": bucket, "REFERENCE": f"{real_s3}/ref.fa"}
    environ |= {n: v for n, v in os.environ.items() if n.startswith(("AWS_", "PATH"))}
    environ["PYTHONPATH"] = str(Path(__file__).parents[2] / "python")
    with Lambda("bams3.variants.handler.lambda_handler", environ, 1) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", server.url)
        yield Aws(), real_s3


def test_an_event_is_answered(function: tuple[Aws, str]) -> None:
    aws, bucket = function
    event = event_of(f"{bucket}/x.bam", "chr2:1-9000", "S1")
    answer = invoke(aws, "calling", event)
    assert answer is not None and answer["statusCode"] == 200
    assert answer["body"]["vcf_file"] == f"{bucket}/results/S1_chr2_1-9000.vcf.gz"
    done = cloud("trigger", "calling", f"{bucket}/x.bam", "-r", "chr2:1-9000")
    assert json.loads(done.out)["body"]["sample_id"] == "x", done.err


def test_what_the_function_raises_is_told(function: tuple[Aws, str]) -> None:
    aws, bucket = function
    with pytest.raises(CallError, match=r"NotFoundError: .*none\.bam"):
        invoke(aws, "calling", event_of(f"{bucket}/none.bam", "chr2", None))
    done = cloud("trigger", "calling", f"{bucket}/none.bam")
    assert done.code == 1 and "none.bam" in done.err and "cloud status calling" in done.err


def test_the_trigger_on_and_off(aws: Aws, layer: str) -> None:
    with pytest.raises(NotFoundError, match="is not deployed"):
        arrivals(aws, "calling", True)
    deploy(aws, "calling", Settings(layer=layer))
    assert arrivals(aws, "calling", False) == "kept"
    assert arrivals(aws, "calling", True) == "created"
    assert arrivals(aws, "calling", True) == "kept"
    deploy(aws, "calling", Settings(layer=layer))  # does not switch it off
    s3 = client("s3")
    found = s3.get_bucket_notification_configuration(Bucket=PLACE.bucket)
    assert len(found["LambdaFunctionConfigurations"]) == 4
    assert arrivals(aws, "calling", False) == "removed"
    found = s3.get_bucket_notification_configuration(Bucket=PLACE.bucket)
    assert "LambdaFunctionConfigurations" not in found


def test_events_of_addresses() -> None:
    assert event_of("s3://b/a/x.sorted.bam", None, None) == {
        "bucket": "b", "key": "a/x.sorted.bam", "region": ".", "sample_id": "x",
    }  # fmt: skip
    for wrong in ("x.bam", "s3://b", "s3://b/", "https://b/x.bam"):
        with pytest.raises(UsageError):
            event_of(wrong, None, None)
