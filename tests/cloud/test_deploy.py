"""Deployments: made, mended, finished after breaking off anywhere, and removed without a rest."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bams3.cloud import bucket as module
from bams3.cloud.aws import Aws
from bams3.cloud.bucket import LIFECYCLE
from bams3.cloud.cleanup import cleanup, look
from bams3.cloud.deploy import deploy
from bams3.cloud.deployment import Deployment, Settings
from bams3.cloud.plan import plan
from bams3.cloud.policy import policy
from bams3.cloud.resource import pairs
from bams3.cloud.status import status
from bams3.errors import (
    ExistsError,
    InputError,
    NotFoundError,
    PermissionDenied,
    StorageError,
    UsageError,
)
from tests.cloud.account import REGION, Killed, Watched, client, everything
from tests.servers.moto import ACCOUNT, Moto
from tests.servers.proxy import Fault, FaultProxy, Handler

PLACE = Deployment("calling", ACCOUNT, REGION)
KINDS = ["bucket", "table", "queue", "log group", "role", "layer", "function", "trigger"]


def done(steps: object) -> dict[str, str]:
    return {step.kind: step.done for step in steps}  # type: ignore[attr-defined]


def test_a_deployment_is_made_once(aws: Aws, settings: Settings) -> None:
    assert done(deploy(aws, "calling", settings)) == dict.fromkeys(KINDS, "created")
    assert status(aws, "calling").is_whole
    again = Watched()
    assert done(deploy(again, "calling", settings)) == dict.fromkeys(KINDS, "kept")
    assert again.changes == []


def test_the_bucket_is_private_encrypted_and_has_a_lifecycle(aws: Aws, settings: Settings) -> None:
    deploy(aws, "calling", settings)
    s3, bucket = client("s3"), {"Bucket": PLACE.bucket}
    access = s3.get_public_access_block(**bucket)["PublicAccessBlockConfiguration"]
    assert set(access.values()) == {True} and len(access) == 4
    rule = s3.get_bucket_encryption(**bucket)["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    assert s3.get_bucket_versioning(**bucket)["Status"] == "Enabled"
    rules = s3.get_bucket_lifecycle_configuration(**bucket)["Rules"]
    assert {rule["ID"]: rule for rule in rules} == {str(rule["ID"]): rule for rule in LIFECYCLE}
    assert s3.get_bucket_tagging(**bucket)["TagSet"] == [
        {"Key": "bams3:deployment", "Value": "calling"}
    ]


def test_the_function_is_as_it_was_asked_for(aws: Aws, settings: Settings) -> None:
    wanted = replace(settings, memory_mb=3000, timeout=60, reference="s3://refs/hg38.fa")
    deploy(aws, "calling", wanted)
    found = client("lambda").get_function(FunctionName="bams3-calling")
    made = found["Configuration"]
    assert (made["MemorySize"], made["Timeout"]) == (3000, 60)
    assert made["Handler"] == "bams3.variants.handler.lambda_handler"
    assert made["Role"] == PLACE.role_arn
    assert made["Environment"]["Variables"] == {
        "BUCKET_RESULTS": PLACE.bucket, "TABLE_NAME": "bams3-calling",
        "REFERENCE": "s3://refs/hg38.fa",
    }  # fmt: skip
    failing = client("lambda").get_function_event_invoke_config(FunctionName="bams3-calling")
    queue = failing["DestinationConfig"]["OnFailure"]["Destination"]
    assert queue == f"arn:aws:sqs:{REGION}:{ACCOUNT}:bams3-calling-failed"
    groups = client("logs").describe_log_groups()["logGroups"]
    assert [(g["logGroupName"], g["retentionInDays"]) for g in groups] == [
        ("/aws/lambda/bams3-calling", 30)
    ]
    given = client("iam").get_role_policy(RoleName=PLACE.role, PolicyName="calls")
    assert given["PolicyDocument"] == policy(PLACE, wanted)


def test_the_trigger_tells_of_what_is_written_last(aws: Aws, settings: Settings) -> None:
    deploy(aws, "calling", settings)
    found = client("s3").get_bucket_notification_configuration(Bucket=PLACE.bucket)
    rules = [
        {r["Name"].lower(): r["Value"] for r in one["Filter"]["Key"]["FilterRules"]}
        for one in found["LambdaFunctionConfigurations"]
    ]
    assert {(rule["prefix"], rule["suffix"]) for rule in rules} == {
        ("samples/", ".bam.bai"), ("samples/", ".bam.csi"), ("samples/", ".cram.crai"),
        ("samples/", ".bams3/_metadata.json"),
    }  # fmt: skip
    said = json.loads(client("lambda").get_policy(FunctionName="bams3-calling")["Policy"])
    (statement,) = said["Statement"]
    assert statement["Condition"]["ArnLike"]["AWS:SourceArn"] == f"arn:aws:s3:::{PLACE.bucket}"
    assert statement["Condition"]["StringEquals"]["AWS:SourceAccount"] == ACCOUNT


def test_notifications_of_others_are_kept(aws: Aws, settings: Settings) -> None:
    deploy(aws, "calling", replace(settings, arrivals=False))
    mine = {
        "Id": "mine", "LambdaFunctionArn": PLACE.arn("lambda", "function:bams3-calling"),
        "Events": ["s3:ObjectRemoved:*"],
    }  # fmt: skip
    s3 = client("s3")
    s3.put_bucket_notification_configuration(
        Bucket=PLACE.bucket, NotificationConfiguration={"LambdaFunctionConfigurations": [mine]}
    )
    assert done(deploy(aws, "calling", settings))["trigger"] == "created"
    s3.put_object(Bucket=PLACE.bucket, Key="samples/x", Body=b"x")
    cleanup(aws, "calling")
    found = s3.get_bucket_notification_configuration(Bucket=PLACE.bucket)
    assert [one["Id"] for one in found["LambdaFunctionConfigurations"]] == ["mine"]


def test_what_was_changed_by_hand_is_seen_and_mended(aws: Aws, settings: Settings) -> None:
    deploy(aws, "calling", settings)
    s3 = client("s3")
    s3.delete_public_access_block(Bucket=PLACE.bucket)
    s3.delete_bucket_lifecycle(Bucket=PLACE.bucket)
    client("logs").delete_retention_policy(logGroupName=PLACE.log_group)
    client("lambda").update_function_configuration(FunctionName="bams3-calling", MemorySize=128)
    client("lambda").remove_permission(FunctionName="bams3-calling", StatementId="bams3-arrivals")
    wrong = {"bucket": "mend: no public access, lifecycle", "log group": "mend: retention"}
    wrong |= {"function": "mend: configuration", "trigger": "mend: permission"}
    planned = {r.kind: r.todo for r in plan(aws, "calling", settings).resources}
    assert planned == dict.fromkeys(KINDS, "keep") | wrong
    assert not status(aws, "calling").is_whole
    mended = {kind: text.replace("mend", "mended") for kind, text in wrong.items()}
    assert done(deploy(aws, "calling", settings)) == dict.fromkeys(KINDS, "kept") | mended
    assert set(done(deploy(aws, "calling", settings)).values()) == {"kept"}


def test_another_layer_is_published_and_used(aws: Aws, settings: Settings, tmp_path: Path) -> None:
    deploy(aws, "calling", settings)
    other = tmp_path / "other.zip"
    other.write_bytes(Path(settings.layer).read_bytes() + b"\0")
    steps = done(deploy(aws, "calling", replace(settings, layer=str(other))))
    assert steps["layer"] == "mended: content" and steps["function"] == "mended: configuration"
    found = client("lambda").get_function(FunctionName="bams3-calling")["Configuration"]
    assert [layer["Arn"][-2:] for layer in found["Layers"]] == [":2"]
    cleanup(aws, "calling")
    assert everything() == set()


def test_an_image(aws: Aws, layer: str) -> None:
    image = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/bams3"
    client("ecr").create_repository(repositoryName="bams3")
    for tag in ("1", "2"):
        client("ecr").put_image(
            repositoryName="bams3", imageTag=tag,
            imageManifest=json.dumps({"schemaVersion": 2, "config": {"digest": tag}}),
            imageManifestMediaType="application/vnd.docker.distribution.manifest.v2+json",
        )  # fmt: skip
    deploy(aws, "calling", Settings(image=f"{image}:1"))
    steps = done(deploy(aws, "calling", Settings(image=f"{image}:2")))
    assert steps == dict.fromkeys(["bucket", "table", "queue", "log group", "role"], "kept") | {
        "function": "mended: image"
    }
    assert status(aws, "calling").is_whole
    with pytest.raises(ExistsError, match="made from an image for x86_64"):
        deploy(aws, "calling", Settings(layer=layer))
    with pytest.raises(ExistsError, match="made from an image for x86_64"):
        deploy(aws, "calling", Settings(image=f"{image}:2", architecture="arm64"))


# ---- breaking off --------------------------------------------------------------------------------
def test_broken_off_anywhere_it_is_finished_and_removable(
    account: Moto, settings: Settings
) -> None:
    aws = Watched()
    deploy(aws, "calling", settings)
    whole, count = everything(), len(aws.changes)
    assert count > 15 and len(whole) == 7
    for number in range(1, count + 1):
        for finish in (True, False):
            account.reset()
            aws.break_off_after(number)
            with pytest.raises(Killed):
                deploy(aws, "calling", settings)
            if finish:
                deploy(aws, "calling", settings)
                assert everything() == whole and status(aws, "calling").is_whole, number
            assert cleanup(aws, "calling", data=True).after == ()
            assert everything() == set(), number


def test_a_cleanup_that_breaks_off_is_finished_by_the_next(
    account: Moto, settings: Settings
) -> None:
    aws = Watched()
    deploy(aws, "calling", settings)
    aws.asked.clear()
    cleanup(aws, "calling", data=True)
    for number in range(1, len(aws.changes)):
        deploy(aws, "calling", settings)
        aws.break_off_after(number)
        with pytest.raises(Killed):
            cleanup(aws, "calling", data=True)
        cleanup(aws, "calling", data=True)
        assert everything() == set(), number


# ---- cleaning up ---------------------------------------------------------------------------------
def fill(bucket: str) -> None:
    """Put three versions, a delete marker, and an unfinished upload into a bucket."""
    s3 = client("s3")
    for body in (b"one", b"other"):
        s3.put_object(Bucket=bucket, Key="samples/x.bam", Body=body)
    s3.put_object(Bucket=bucket, Key="results/x.vcf.gz", Body=b"calls")
    s3.delete_object(Bucket=bucket, Key="results/x.vcf.gz")
    s3.create_multipart_upload(Bucket=bucket, Key="samples/y.bam")


def test_everything_goes_versions_and_uploads_too(aws: Aws, settings: Settings) -> None:
    client("iam").create_role(RoleName="other", AssumeRolePolicyDocument="{}")
    client("s3").create_bucket(
        Bucket="other", CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    before = everything()
    deploy(aws, "calling", settings)
    fill(PLACE.bucket)
    held = {found.kind: found.counts for found in look(aws, "calling")}
    assert held["bucket"] == {
        "objects": 2, "versions": 4, "markers": 1, "bytes": 3 + 5 + 5 + layer_size(settings),
        "unfinished uploads": 1,
    }  # fmt: skip
    done = cleanup(aws, "calling", data=True)
    assert [found.kind for found in done.before] == KINDS and done.after == ()
    assert everything() == before
    assert cleanup(aws, "calling", data=True).before == ()


def layer_size(settings: Settings) -> int:
    return Path(settings.layer).stat().st_size


def test_data_are_kept_unless_that_is_asked_for(aws: Aws, settings: Settings) -> None:
    deploy(aws, "calling", settings)
    fill(PLACE.bucket)
    row = {name: {"S": "x"} for name in ("pk", "sk")}
    client("dynamodb").put_item(TableName="bams3-calling", Item=row)
    kept = cleanup(aws, "calling").after
    assert [found.kind for found in kept] == ["bucket", "table"]
    assert everything() == {f"bucket {PLACE.bucket}", "table bams3-calling"}
    assert kept[0].counts["versions"] == 3 and kept[0].counts["unfinished uploads"] == 1
    steps = done(deploy(aws, "calling", settings))  # and it may be taken up again
    assert steps["bucket"] == steps["table"] == "kept" and steps["function"] == "created"
    cleanup(aws, "calling", data=True)
    assert everything() == set()


@pytest.mark.parametrize("last", ["marker", "upload", "version"])
def test_the_last_trace_of_data_keeps_the_bucket(last: str, aws: Aws) -> None:
    """A marker says that something was deleted, and an upload may be finished."""
    s3, bucket = client("s3"), {"Bucket": PLACE.bucket}
    s3.create_bucket(**bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_bucket_tagging(**bucket, Tagging={"TagSet": pairs(PLACE.tags)})
    s3.put_bucket_versioning(**bucket, VersioningConfiguration={"Status": "Enabled"})
    if last == "upload":
        s3.create_multipart_upload(**bucket, Key="samples/y.bam")
    else:
        version = s3.put_object(**bucket, Key="samples/x.bam", Body=b"")["VersionId"]
        s3.delete_object(**bucket, Key="samples/x.bam")
        if last == "marker":
            s3.delete_object(**bucket, Key="samples/x.bam", VersionId=version)
    assert [found.kind for found in cleanup(aws, "calling").after] == ["bucket"]
    cleanup(aws, "calling", data=True)
    assert everything() == set()


def test_a_table_that_aws_has_not_counted_yet_is_kept(aws: Aws, settings: Settings) -> None:
    """AWS counts items every six hours; moto at once, so its answer is made as old."""
    deploy(aws, "calling", settings)
    row = {name: {"S": "x"} for name in ("pk", "sk")}
    client("dynamodb").put_item(TableName="bams3-calling", Item=row)

    def old(parsed: dict[str, dict[str, int]], **_: object) -> None:
        parsed["Table"]["ItemCount"] = 0

    later = Aws()
    later.session.events.register("after-call.dynamodb.DescribeTable", old)
    kept = cleanup(later, "calling").after
    assert [found.kind for found in kept] == ["table"]


def test_more_versions_than_a_request_takes(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BATCH", 10)
    bucket = {"Bucket": PLACE.bucket}
    s3 = client("s3")
    s3.create_bucket(**bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_bucket_versioning(**bucket, VersioningConfiguration={"Status": "Enabled"})
    for number in range(31):
        s3.put_object(**bucket, Key=f"samples/{number % 20}", Body=b"")
    cleanup(aws, "calling", data=True)
    assert everything() == set()


# ---- what is refused -----------------------------------------------------------------------------
def test_what_is_somebody_elses_is_not_touched(aws: Aws, settings: Settings) -> None:
    client("iam").create_role(RoleName=PLACE.role, AssumeRolePolicyDocument="{}")
    for act in (
        lambda: deploy(aws, "calling", settings),
        lambda: plan(aws, "calling", settings),
        lambda: status(aws, "calling"),
        lambda: cleanup(aws, "calling", data=True),
    ):
        with pytest.raises(ExistsError, match=f"role {PLACE.role}: is there, but without the tag"):
            act()
    assert f"role {PLACE.role}" in everything()


def test_a_table_with_another_schema_is_refused(aws: Aws, settings: Settings) -> None:
    client("dynamodb").create_table(
        TableName="bams3-calling", BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "chrom_pos", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "chrom_pos", "KeyType": "HASH"}],
        Tags=[{"Key": "bams3:deployment", "Value": "calling"}],
    )  # fmt: skip
    with pytest.raises(ExistsError, match="other keys or indexes"):
        deploy(aws, "calling", settings)


@pytest.mark.parametrize("name", ["", "x", "Calling", "a" * 21, "a_b", "1a", "a--b", "a-"])
def test_names_that_are_none(name: str, account: Moto) -> None:
    watched = Watched()
    with pytest.raises(UsageError, match="is not a name for a deployment"):
        cleanup(watched, name)
    assert watched.asked == []


def test_code_that_is_none(aws: Aws, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs code"):
        deploy(aws, "calling", Settings())
    with pytest.raises(NotFoundError, match="is not there"):
        deploy(aws, "calling", Settings(layer=str(tmp_path / "none.zip")))
    with pytest.raises(InputError, match="is not a zip file"):
        deploy(aws, "calling", Settings(layer=__file__))
    with pytest.raises(UsageError, match="an image and a layer"):
        Settings(image="x", layer="y")
    with pytest.raises(UsageError, match="not an address on S3"):
        Settings(reads=("/data",))
    assert everything() == set()


def test_no_region_and_no_credentials(account: Moto, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION")
    with pytest.raises(UsageError, match="no AWS region"):
        Aws()
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(PermissionDenied, match="no AWS credentials"):
        status(Aws(), "calling")


# ---- AWS on bad days -----------------------------------------------------------------------------
def refuse(status: int, code: str, message: str) -> Fault:
    """Answer with an error, as services that speak JSON do."""

    def fault(handler: Handler) -> bool:
        body = json.dumps({"__type": code, "message": message, "Message": message}).encode()
        handler.send_response_only(status)
        handler.send_header("x-amzn-errortype", code)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)
        return True

    return fault


@pytest.fixture
def bad_day(account: Moto, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """A proxy between Lambda and its clients."""
    with FaultProxy(account.url) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", proxy.url)
        yield proxy


def test_a_role_that_is_too_new_is_waited_for(bad_day: FaultProxy, settings: Settings) -> None:
    message = "The role defined for the function cannot be assumed by Lambda."
    early = refuse(400, "InvalidParameterValueException", message)
    busy = refuse(409, "ResourceConflictException", "An update is in progress")
    bad_day.plan(early, busy, None, match="POST /2015-03-31/functions")
    assert done(deploy(Aws(), "calling", settings))["function"] == "created"
    assert bad_day.faults == 2
    assert status(Aws(), "calling").is_whole


def test_rights_that_are_not_known_yet_are_waited_for(
    bad_day: FaultProxy, settings: Settings
) -> None:
    message = "The function execution role does not have permissions to call SendMessage on SQS"
    early = refuse(400, "InvalidParameterValueException", message)
    bad_day.plan(early, match="PUT /2019-09-25/functions")
    deploy(Aws(), "calling", settings)
    assert bad_day.faults == 1 and status(Aws(), "calling").is_whole


def test_other_refusals_are_told(bad_day: FaultProxy, settings: Settings) -> None:
    bad_day.plan(refuse(400, "InvalidParameterValueException", "Unzipped size"), match="functions")
    with pytest.raises(StorageError, match="lambda get_function: InvalidParameterValueException"):
        deploy(Aws(), "calling", settings)
    bad_day.plan(refuse(403, "AccessDeniedException", "not authorized"), match="POST /2015-03-31")
    with pytest.raises(PermissionDenied, match="lambda create_function: AccessDeniedException"):
        deploy(Aws(), "calling", settings)
    bad_day.plan()
    deploy(Aws(), "calling", settings)
    assert status(Aws(), "calling").is_whole
