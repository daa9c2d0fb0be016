"""The Lambda handler with a table: C3 (0 items), C8 (a rerun doubles them)."""

from __future__ import annotations

from pathlib import Path

import pytest

from bams3.errors import InputError
from bams3.regions import Region
from bams3.storage import open_store as open_bucket
from bams3.variants.handler import lambda_handler
from bams3.variants.store import Selection, open_store
from bams3.variants.vcf import read_calls
from tests.servers.dynamodb import DynamoServer
from tests.variants.sample import Sample


class Context:
    """A context with much time left."""

    def get_remaining_time_in_millis(self) -> int:
        return 300_000


@pytest.fixture
def event(
    normal: Sample, dynalite: DynamoServer, real_s3: str, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """An event of the older project; reads and reference are on a real S3 server."""
    bucket = open_bucket(real_s3)
    for name in ("ref.fa", "ref.fa.fai", "x.bam", "x.bam.bai"):
        bucket.put(name, (normal.folder / name).read_bytes())
    monkeypatch.setenv("BUCKET_RESULTS", real_s3.removeprefix("s3://"))
    monkeypatch.setenv("REFERENCE", f"{real_s3}/ref.fa")
    monkeypatch.setenv("TABLE_NAME", "variant-metadata")
    return {
        "bucket": real_s3.removeprefix("s3://"), "key": "x.bam", "region": "chr1:1-10000",
        "sample_id": "S1",
    }  # fmt: skip


def test_calls_of_regions_go_into_the_table(
    event: dict[str, str], real_s3: str, tmp_path: Path
) -> None:
    expected = []
    for region in ("chr1:1-10000", "chr1:10001-20000", "chr1:1-10000"):
        reply = lambda_handler({**event, "region": region}, Context())
        assert reply["statusCode"] == 200 and reply["body"]["variants"] > 5
        name = reply["body"]["vcf_file"].rpartition("/")[2]
        (tmp_path / name).write_bytes(open_bucket(f"{real_s3}/results").get(name))
        expected.append([call.site for call in read_calls(tmp_path / name)])
    store = open_store("dynamodb://variant-metadata")
    calls = [*store.query(Selection())]
    assert [call.site for call in calls] == expected[0] + expected[1] and expected[0] == expected[2]
    assert {call.sample for call in calls} == {"S1"}
    assert all(call.qual and call.depth and call.allele_fraction for call in calls)
    near = [*store.query(Selection(Region("chr1", 9_000, 11_000), samples=["S1"]))]
    assert near == [call for call in calls if call.pos < 11_000 and call.end > 9_000] != []
    store.close()


def test_a_table_that_cannot_be_written_is_an_error(
    event: dict[str, str], dynalite: DynamoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The older project answered with 200, and had written nothing."""
    monkeypatch.setenv("TABLE_NAME", "older")
    store = open_store("dynamodb://older")
    keys = [{"AttributeName": "chrom_pos", "KeyType": "HASH"}]
    store._table._client.create_table(  # type: ignore[attr-defined]
        TableName="older", BillingMode="PAY_PER_REQUEST", KeySchema=keys,
        AttributeDefinitions=[{"AttributeName": "chrom_pos", "AttributeType": "S"}],
    )  # fmt: skip
    with pytest.raises(InputError, match="a table of something else"):
        lambda_handler(event, Context())
    reply = lambda_handler({**event, "errors": "reply"}, Context())
    assert reply["statusCode"] == 500 and "something else" in reply["body"]["error"]
