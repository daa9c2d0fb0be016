"""The policy of the function is what the function really asks for: all of it, and nothing more."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import boto3
import pytest

from bams3.cloud.deployment import Deployment, Settings
from bams3.cloud.policy import policy
from bams3.errors import Bams3Error
from bams3.regions import Region
from bams3.storage import open_store
from bams3.variants.call import call
from bams3.variants.executors import LambdaExecutor
from bams3.variants.handler import lambda_handler
from bams3.variants.store import Selection
from bams3.variants.store import open_store as open_calls
from bams3.variants.store.dynamodb import table_definition
from tests.cloud.recorder import Need, Recorder
from tests.servers.lambda_runtime import Lambda
from tests.servers.moto import ACCOUNT, Moto
from tests.servers.versitygw import Versitygw
from tests.variants.sample import Sample

ROOT = Path(__file__).parents[2]
REGION = "us-east-1"  # that of versitygw
HANDLER = "bams3.variants.handler.lambda_handler"
PLACE = Deployment("calling", ACCOUNT, REGION)
READS = "lab-reads"
SETTINGS = Settings(
    layer="x", reference=f"s3://{READS}/refs/ref.fa", reads=(f"s3://{READS}/samples/",)
)
BY_LAMBDA = {"WriteLogs", "WriteDeadLetters"}
"""What Lambda does itself in the name of the role: no request of ours."""


@pytest.fixture
def buckets(
    normal: Sample, s3_server: Versitygw, account: Moto, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, str]]:
    """The bucket of a deployment, and another one with reads; the environment of the function."""
    found = {**account.environ, **s3_server.environ, "AWS_REGION": REGION}
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    for name in (PLACE.bucket, READS):
        s3_server.make_bucket(name)
    store = open_store(f"s3://{READS}")
    for name in ("ref.fa", "ref.fa.fai"):
        store.put(f"refs/{name}", (normal.folder / name).read_bytes())
    for name in ("x.bam", "x.bam.bai", Path(normal.cram).name, "x.cram.crai"):
        store.put(f"samples/{name}", (normal.folder / name).read_bytes())
    for path in Path(normal.bams3).rglob("*"):
        if path.is_file():
            store.put(f"samples/{path.relative_to(normal.folder)}", path.read_bytes())
    boto3.client("dynamodb", region_name=REGION).create_table(**table_definition(PLACE.stem))
    yield {
        **os.environ, **found, "PYTHONPATH": str(ROOT / "python"), "TABLE_NAME": PLACE.stem,
        "BUCKET_RESULTS": PLACE.bucket, "REFERENCE": SETTINGS.reference,
    }  # fmt: skip
    for name in (PLACE.bucket, READS):
        owner().delete_bucket_policy(Bucket=name)
        left = open_store(f"s3://{name}")
        left.delete_many([entry.key for entry in left.list()])


def owner() -> Any:
    """Return a client with the keys of now; the default session keeps those of other tests."""
    return boto3.Session().client("s3", region_name=REGION)


def older(name: str, **more: Any) -> dict[str, Any]:
    return {"bucket": READS, "key": f"samples/{name}", "region": "chr2:1-9000", **more}


def arrived(key: str) -> dict[str, Any]:
    return {"Records": [{"s3": {"bucket": {"name": READS}, "object": {"key": key}}}]}


@pytest.fixture
def needs(buckets: dict[str, str], s3_server: Versitygw, account: Moto) -> set[Need]:
    """What the function needs for all that it can be asked."""
    with Recorder(s3_server.url) as objects, Recorder(account.url) as tables:
        places = {"AWS_ENDPOINT_URL_S3": objects.url, "AWS_ENDPOINT_URL_DYNAMODB": tables.url}
        with Lambda(HANDLER, {**buckets, **places}) as server:
            function = boto3.client("lambda", region_name=REGION, endpoint_url=server.url)

            def ask(event: Mapping[str, Any]) -> Any:
                answer = function.invoke(FunctionName="f", Payload=json.dumps(event).encode())
                return json.loads(answer["Payload"].read())

            for name in ("x.bam", "x.cram", "x.bams3"):
                assert ask(older(name, sample_id="S1"))["statusCode"] == 200
            for key in ("samples/x.bam.bai", "samples/x.bams3/_metadata.json"):
                assert ask(arrived(key))["replies"][0]["statusCode"] == 200
            assert ask(older("none.bam"))["errorType"] == "NotFoundError"
            with LambdaExecutor("f", 2, function) as executor:
                call(
                    [f"s3://{READS}/samples/x.bams3"], SETTINGS.reference,
                    f"s3://{PLACE.bucket}/out.vcf.gz", executor=executor, tile_bases=15_000,
                )  # fmt: skip
        assert tables.needs
        return objects.needs | tables.needs


def allowed(statement: Mapping[str, Any], need: Need) -> bool:
    return need.action in statement["Action"] and any(
        fnmatchcase(need.resource, _short(pattern)) for pattern in statement["Resource"]
    )


def _short(arn: str) -> str:
    """Return what of an ARN tells resources of one service in one account apart."""
    return arn.split(":", 5)[5]


def test_each_request_is_allowed_and_each_permission_is_needed(needs: set[Need]) -> None:
    _calls_of_events_are_in_the_table()
    statements = policy(PLACE, SETTINGS)["Statement"]
    refused = {need for need in needs if not any(allowed(one, need) for one in statements)}
    assert refused == set()
    idle = [
        (one["Sid"], action, resource)
        for one in statements
        if one["Sid"] not in BY_LAMBDA
        for action in one["Action"]
        for resource in one["Resource"]
        if not any(allowed({"Action": [action], "Resource": [resource]}, need) for need in needs)
    ]
    assert idle == []


def _calls_of_events_are_in_the_table() -> None:
    store = open_calls(f"dynamodb://{PLACE.stem}")
    found = [*store.query(Selection(region=Region("chr2", 0, 9000)))]
    store.close()
    assert {one.sample for one in found} == {"S1", "child"} and len(found) > 20


# ---- enforced by a server ------------------------------------------------------------------------
@pytest.fixture
def as_role(
    buckets: dict[str, str], s3_server: Versitygw, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., None]]:
    """A function that becomes one who may do what the policy says of S3, but for some actions."""
    client, user = owner(), s3_server.make_user()

    def become(*without: str) -> None:
        for bucket in (PLACE.bucket, READS):
            document = {"Version": "2012-10-17", "Statement": [*_of_bucket(bucket, without)]}
            for one in document["Statement"]:
                one["Principal"] = {"AWS": [user["AWS_ACCESS_KEY_ID"]]}
            client.put_bucket_policy(Bucket=bucket, Policy=json.dumps(document))
        for name, value in (buckets | user).items():
            monkeypatch.setenv(name, value)

    yield become
    for name in user:
        monkeypatch.setenv(name, buckets[name])


def _of_bucket(bucket: str, without: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Yield the statements of the policy about a bucket."""
    for one in policy(PLACE, SETTINGS)["Statement"]:
        resources = [arn for arn in one["Resource"] if arn.startswith(f"arn:aws:s3:::{bucket}")]
        actions = [action for action in one["Action"] if action not in without]
        if resources and actions:
            yield {"Effect": "Allow", "Action": actions, "Resource": resources}


class Watch:
    def get_remaining_time_in_millis(self) -> int:
        return 120_000


def test_the_function_works_with_its_policy(as_role: Callable[..., None]) -> None:
    as_role()
    for name in ("x.bam", "x.cram", "x.bams3"):
        assert lambda_handler(older(name), Watch())["statusCode"] == 200


@pytest.mark.parametrize("action", ["GetObject", "PutObject", "DeleteObject", "ListBucket"])
def test_and_not_without_any_part_of_it(action: str, as_role: Callable[..., None]) -> None:
    as_role(f"s3:{action}")
    with pytest.raises(Bams3Error, match=r"denied|Access Denied|AccessDenied|403"):
        lambda_handler(older("x.bam"), Watch())


def test_it_may_not_write_where_it_reads(as_role: Callable[..., None]) -> None:
    as_role()
    with pytest.raises(Bams3Error, match=r"denied"):
        open_store(f"s3://{READS}").put("samples/x.bam", b"")
    with pytest.raises(Bams3Error, match=r"denied"):
        open_store(f"s3://{READS}").get("private")


# ---- as text -------------------------------------------------------------------------------------
def test_a_reference_in_the_bucket_needs_nothing_more() -> None:
    own = Settings(layer="x", reference=f"s3://{PLACE.bucket}/reference/ref.fa")
    assert policy(PLACE, own) == policy(PLACE, Settings(layer="x"))


def test_no_star_stands_for_everything() -> None:
    for one in policy(PLACE, SETTINGS)["Statement"]:
        assert all("*" not in action for action in one["Action"])
        assert all(PLACE.stem in arn or READS in arn for arn in one["Resource"])
