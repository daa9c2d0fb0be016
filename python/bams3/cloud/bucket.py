"""The bucket: private, encrypted, versioned, and emptied completely where that is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from bams3.cloud.deployment import CODE_PREFIX
from bams3.cloud.resource import Aspect, Resource, mapping, pairs
from bams3.errors import ExistsError, PermissionDenied, StorageError

_BATCH = 1000
_PRIVATE = dict.fromkeys(
    ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
)
_ENCRYPTED = {"SSEAlgorithm": "AES256"}
LIFECYCLE = [
    {
        "ID": "bams3-unfinished-uploads",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
    },
    {
        "ID": "bams3-old-versions",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "Expiration": {"ExpiredObjectDeleteMarker": True},
        "NoncurrentVersionExpiration": {"NoncurrentDays": 30},
    },
]
"""What was replaced or deleted is kept for 30 days; parts of uploads that broke off, for 7."""


class Bucket(Resource):
    """The bucket of reads, reference and results."""

    kind = "bucket"

    @property
    def name(self) -> str:
        """Its name."""
        return self.place.bucket

    def exists(self) -> bool:
        """Whether it is there."""
        try:
            return self.aws.find("s3", "head_bucket", Bucket=self.name) is not None
        except PermissionDenied as error:
            raise ExistsError(
                f"bucket {self.name}: belongs to another account", "choose another name"
            ) from error

    def create(self) -> None:
        """Create it."""
        region = self.place.region  # us-east-1 is where buckets are made when no region is named
        where = {} if region == "us-east-1" else {"LocationConstraint": region}
        more = {"CreateBucketConfiguration": where} if where else {}
        self.aws.settle("s3", "create_bucket", Bucket=self.name, **more)

    def aspects(self) -> Sequence[Aspect]:
        """Return how it should be."""
        rules = {"Rules": [{"ApplyServerSideEncryptionByDefault": _ENCRYPTED}]}
        tags = {"TagSet": pairs(self.place.tags)}
        versioned = {"Status": "Enabled"}
        return (
            Aspect("tags", self.place.tags, self._tags, self._put("tagging", Tagging=tags)),
            Aspect(
                "no public access", _PRIVATE, self._access,
                self._put("public_access_block", PublicAccessBlockConfiguration=_PRIVATE),
            ),
            Aspect(
                "encryption", "AES256", self._encryption,
                self._put("encryption", ServerSideEncryptionConfiguration=rules),
            ),
            Aspect(
                "versions", "Enabled", lambda: self._get("versioning").get("Status"),
                self._put("versioning", VersioningConfiguration=versioned),
            ),
            Aspect(
                "lifecycle", _plain(LIFECYCLE),
                lambda: _plain(self._get("lifecycle_configuration").get("Rules", ())),
                self._put("lifecycle_configuration", LifecycleConfiguration={"Rules": LIFECYCLE}),
            ),
        )  # fmt: skip

    def _get(self, what: str) -> dict[str, Any]:
        return self.aws.find("s3", f"get_bucket_{what}", Bucket=self.name) or {}

    def _put(self, what: str, **arguments: Any) -> Any:
        # the API has no "bucket" in the name of this one
        name = "put_public_access_block" if what == "public_access_block" else f"put_bucket_{what}"
        return lambda: self.aws.settle("s3", name, Bucket=self.name, **arguments)

    def _tags(self) -> dict[str, str]:
        return mapping(self._get("tagging").get("TagSet", ()))

    def _access(self) -> dict[str, bool]:
        found = self.aws.find("s3", "get_public_access_block", Bucket=self.name) or {}
        return dict(found.get("PublicAccessBlockConfiguration", {}))

    def _encryption(self) -> str | None:
        rules = self._get("encryption").get("ServerSideEncryptionConfiguration", {}).get("Rules")
        kind = rules[0].get("ApplyServerSideEncryptionByDefault", {}) if rules else {}
        return str(kind.get("SSEAlgorithm"))

    # ---- what it holds ---------------------------------------------------------------------------
    def counts(self) -> dict[str, int]:
        """Count objects, versions and delete markers, and unfinished uploads."""
        versions, size, current = 0, 0, 0
        for version in self._versions("Versions"):
            versions += 1
            size += version["Size"]
            current += version["IsLatest"]
        markers = sum(1 for _ in self._versions("DeleteMarkers"))
        return {
            "objects": current, "versions": versions, "markers": markers, "bytes": size,
            "unfinished uploads": sum(1 for _ in self._uploads()),
        }  # fmt: skip

    def holds_data(self) -> bool:
        """Whether it holds anything that `deploy` did not put there."""
        held = (*self._versions("Versions"), *self._versions("DeleteMarkers"), *self._uploads())
        return any(not entry["Key"].startswith(CODE_PREFIX) for entry in held)

    def empty(self, prefix: str = "") -> None:
        """Delete all versions, delete markers and unfinished uploads below a prefix."""
        for upload in self._uploads(prefix):
            self.aws.ask(
                "s3", "abort_multipart_upload",
                Bucket=self.name, Key=upload["Key"], UploadId=upload["UploadId"],
            )  # fmt: skip
        for kind in ("Versions", "DeleteMarkers"):
            found = [*self._versions(kind, prefix)]
            self._delete({"Key": v["Key"], "VersionId": v["VersionId"]} for v in found)

    def _delete(self, versions: Iterable[dict[str, str]]) -> None:
        left = iter(versions)
        while batch := [*islice(left, _BATCH)]:
            answer = self.aws.ask(
                "s3", "delete_objects", Bucket=self.name, Delete={"Objects": batch, "Quiet": True}
            )
            for error in answer.get("Errors", ()):
                raise StorageError(f"s3://{self.name}/{error.get('Key')}: {error.get('Message')}")

    def _versions(self, kind: str, prefix: str = "") -> Iterator[dict[str, Any]]:
        return self.aws.pages("s3", "list_object_versions", kind, Bucket=self.name, Prefix=prefix)

    def _uploads(self, prefix: str = "") -> Iterator[dict[str, Any]]:
        return self.aws.pages(
            "s3", "list_multipart_uploads", "Uploads", Bucket=self.name, Prefix=prefix
        )

    def remove(self) -> None:
        """Delete all that it holds, then itself."""
        self.empty()
        self.aws.settle("s3", "delete_bucket", Bucket=self.name)


def _plain(rules: Iterable[Any]) -> list[dict[str, Any]]:
    """Return rules in one order: S3 keeps none, and may leave out an empty prefix."""
    return sorted(({**rule, "Filter": rule.get("Filter") or {"Prefix": ""}} for rule in rules),
                  key=lambda rule: str(rule["ID"]))  # fmt: skip
