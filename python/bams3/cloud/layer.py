"""The layer: bams3 and what it needs, for functions that are not made from an image."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bams3.cloud.deployment import CODE_PREFIX
from bams3.cloud.resource import Aspect, Resource
from bams3.errors import InputError, NotFoundError

LARGEST = 250 << 20
"""Bytes of all layers of a function, unpacked: a limit of AWS."""
_PACKAGE = "python/bams3/variants/handler.py"


class Layer(Resource):
    """All versions of the layer; the last one with the content of the file is used.

    AWS keeps no tags of layers. Their names are the deployment's.
    """

    kind = "layer"

    def exists(self) -> bool:
        """Whether there is a version."""
        return bool(self._versions())

    def _versions(self) -> list[dict[str, Any]]:
        """Return the versions, the newest first."""
        found = self.aws.pages(
            "lambda", "list_layer_versions", "LayerVersions", LayerName=self.name
        )
        return sorted(found, key=lambda version: -int(version["Version"]))

    @property
    def arn(self) -> str | None:
        """The ARN of the version that has the content of the file."""
        for version in self._versions():
            if version.get("Description") == self._described():
                return str(version["LayerVersionArn"])
        return None

    def _described(self) -> str:
        assert self.settings is not None
        return f"bams3, sha256 {digest(self.settings.layer)}"

    def create(self) -> None:
        """Do nothing: the first version is published as one with other content would be."""

    def aspects(self) -> Sequence[Aspect]:
        """Return how it should be."""
        if self.settings is None:
            return ()
        return (Aspect("content", True, lambda: self.arn is not None, self._publish),)

    def _publish(self) -> None:
        assert self.settings is not None
        key = f"{CODE_PREFIX}{digest(self.settings.layer)}.zip"
        self._upload(key, Path(self.settings.layer))
        self.aws.settle(
            "lambda", "publish_layer_version", LayerName=self.name, Description=self._described(),
            Content={"S3Bucket": self.place.bucket, "S3Key": key},
            CompatibleRuntimes=[self.settings.runtime],
            CompatibleArchitectures=[self.settings.architecture],
        )  # fmt: skip

    def _upload(self, key: str, path: Path) -> None:
        with open(path, "rb") as file:
            self.aws.ask("s3", "put_object", Bucket=self.place.bucket, Key=key, Body=file)

    def counts(self) -> dict[str, int]:
        """Count versions."""
        return {"versions": len(self._versions())}

    def remove(self) -> None:
        """Delete all versions."""
        for version in self._versions():
            self.aws.ask(
                "lambda", "delete_layer_version",
                LayerName=self.name, VersionNumber=version["Version"],
            )  # fmt: skip


def digest(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_layer(path: str) -> int:
    """Return the bytes that a layer has when it is unpacked.

    Raises:
        NotFoundError: There is no such file.
        InputError: It is no layer with bams3, or larger than AWS takes.
    """
    try:
        with zipfile.ZipFile(path) as file:
            names, size = file.namelist(), sum(entry.file_size for entry in file.infolist())
    except FileNotFoundError:
        raise NotFoundError(f"{path}: is not there", "make layer") from None
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: is not a zip file: {error}", "make layer") from error
    if _PACKAGE not in names:
        raise InputError(f"{path}: has no {_PACKAGE}", "make layer")
    if size >= LARGEST:
        raise InputError(f"{path}: {size:,} bytes unpacked; AWS takes {LARGEST:,}", "--image")
    return size
