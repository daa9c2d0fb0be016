"""A deployment: its name, the names that follow from it, and how it is set up."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bams3.errors import UsageError

TAG = "bams3:deployment"
"""The tag of all resources; its value is the name of the deployment."""
CODE_PREFIX = "deploy/"
"""Below it lies what `deploy` uploads, which is not the user's."""

_NAME = re.compile("[a-z][a-z0-9-]{0,18}[a-z0-9]")
_ARCHITECTURES = ("x86_64", "arm64")


@dataclass(frozen=True, slots=True)
class Deployment:
    """A name, and where it is: all names of resources follow.

    Raises:
        UsageError: A bucket, a role and a function cannot all have that name.
    """

    name: str
    account: str
    region: str
    partition: str = "aws"

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or "--" in self.name:
            raise UsageError(
                f"{self.name!r} is not a name for a deployment",
                "2 to 20 small letters, digits and single hyphens, a letter first",
            )

    @property
    def stem(self) -> str:
        """The name of all that is named within an account and a region."""
        return f"bams3-{self.name}"

    @property
    def bucket(self) -> str:
        """The bucket; names of buckets are shared by all accounts."""
        return f"{self.stem}-{self.account}-{self.region}"

    @property
    def role(self) -> str:
        """The role; names of roles are shared by all regions."""
        return f"{self.stem}-{self.region}"

    @property
    def queue(self) -> str:
        """The queue of events that could not be answered."""
        return f"{self.stem}-failed"

    @property
    def log_group(self) -> str:
        """Where Lambda writes what the function says."""
        return f"/aws/lambda/{self.stem}"

    @property
    def tags(self) -> dict[str, str]:
        """What all resources are marked with."""
        return {TAG: self.name}

    def arn(self, service: str, resource: str) -> str:
        """Return the ARN of something in this account and region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"

    @property
    def role_arn(self) -> str:
        """The ARN of the role."""
        return f"arn:{self.partition}:iam::{self.account}:role/{self.role}"


@dataclass(frozen=True, slots=True)
class Settings:
    """How a deployment is set up.

    Attributes:
        image: URI of a container image in ECR.
        layer: Path of a layer, as `make layer` writes it; either this or `image`.
        reference: Address of the FASTA for events that name none.
        reads: Addresses on S3, besides the bucket, that the function may read.
        memory_mb: Memory of the function; 1769 MB is one whole CPU.
        timeout: Seconds after which Lambda kills it.
        scratch_mb: Its disk, for the contigs of the reference that it needs.
        retention_days: How long logs are kept.
        architecture: x86_64 or arm64.
        runtime: Which Python runs the layer.
        arrivals: Call what arrives below `samples/` in the bucket.

    Raises:
        UsageError: Values that AWS would refuse.
    """

    image: str = ""
    layer: str = ""
    reference: str = ""
    reads: tuple[str, ...] = ()
    memory_mb: int = 1769
    timeout: int = 900
    scratch_mb: int = 4096
    retention_days: int = 30
    architecture: str = "x86_64"
    runtime: str = "python3.12"
    arrivals: bool = False

    def __post_init__(self) -> None:
        if self.architecture not in _ARCHITECTURES:
            raise UsageError(f"{self.architecture}: not an architecture", "x86_64 or arm64")
        if self.image and self.layer:
            raise UsageError("an image and a layer were given", "give one of them")
        for url in (*self.reads, *([self.reference] if self.reference else [])):
            if not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]+(/[^*?]*)?", url):
                raise UsageError(f"{url}: is not an address on S3", "s3://BUCKET/KEY")
