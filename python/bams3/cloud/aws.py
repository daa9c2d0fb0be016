"""Clients of AWS, and what their errors mean. The one place of the package that asks AWS for more
than objects: `bams3.storage` reads and writes these.
"""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Iterator
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, ProfileNotFound

from bams3.cloud.deployment import Deployment
from bams3.errors import Bams3Error, NotFoundError, PermissionDenied, StorageError, UsageError

CREDENTIALS = "set AWS_PROFILE or --aws-profile"
LONGEST_ANSWER = 920.0
"""Seconds: a function may work for 900."""
RETRIES = 5
SETTLE_SECONDS = 90.0
"""How long AWS may need until something new can be used, or something old is gone."""

_MISSING = {
    "404", "NoSuchBucket", "NoSuchEntity", "ResourceNotFoundException", "NoSuchTagSet",
    "NoSuchLifecycleConfiguration", "NoSuchPublicAccessBlockConfiguration", "NoSuchUpload",
    "ServerSideEncryptionConfigurationNotFoundError", "QueueDoesNotExist",
    "AWS.SimpleQueueService.NonExistentQueue", "NotFoundException",
}  # fmt: skip
_DENIED = {"403", "AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}
_SETTLING = {
    "OperationAborted", "ResourceConflictException", "ResourceInUseException",
    "AWS.SimpleQueueService.QueueDeletedRecently", "QueueDeletedRecently",
}  # fmt: skip
_SOON = (
    ("InvalidParameterValueException", "assume"),
    ("InvalidParameterValueException", "permissions to call SendMessage"),
    ("InvalidArgument", "validate the following destination"),
)


class Aws:
    """An account and a region.

    All methods raise `PermissionDenied` (not allowed, or no credentials), `NotFoundError` (no such
    resource) and `StorageError` (AWS refuses or fails, after retries), each with the code that AWS
    gave.
    """

    def __init__(self, region: str | None = None, profile: str | None = None) -> None:
        """Choose account and region; nothing is sent yet.

        Args:
            region: Region; by default that of the environment, else of the profile.
            profile: Named profile of the AWS configuration.

        Raises:
            UsageError: boto3 is not installed, or there is no such profile, or no region.
        """
        try:
            boto3 = importlib.import_module("boto3")
        except ImportError:
            raise UsageError("boto3 is not installed", "pip install 'bams3[cloud]'") from None
        try:
            self.session = boto3.Session(
                profile_name=profile, region_name=region or os.environ.get("AWS_REGION")
            )
        except ProfileNotFound as error:
            raise UsageError(str(error), "see ~/.aws/config and ~/.aws/credentials") from error
        if not self.session.region_name:
            raise UsageError("no AWS region is set", "--aws-region NAME, or AWS_REGION")
        self._clients: dict[str, Any] = {}

    def deployment(self, name: str) -> Deployment:
        """Return the deployment of a name in this account and region."""
        region = self.session.region_name
        partition = self.session.get_partition_for_region(region)
        Deployment(name, "", region)  # a bad name is said before anybody is asked
        account = self.ask("sts", "get_caller_identity")["Account"]
        return Deployment(name, account, region, partition)

    def client(self, service: str) -> Any:
        """Return the client of a service."""
        if service not in self._clients:
            config = Config(
                read_timeout=LONGEST_ANSWER, retries={"max_attempts": RETRIES, "mode": "standard"}
            )
            self._clients[service] = self.session.client(service, config=config)
        return self._clients[service]

    def ask(self, service: str, operation: str, **arguments: Any) -> dict[str, Any]:
        """Ask something of a service, by the names of boto3."""
        try:
            answer: dict[str, Any] = getattr(self.client(service), operation)(**arguments)
        except (ClientError, BotoCoreError) as error:
            raise translated(error, f"{service} {operation}") from error
        return answer

    def find(self, service: str, operation: str, **arguments: Any) -> dict[str, Any] | None:
        """Ask for something that may not be there: then None."""
        try:
            return self.ask(service, operation, **arguments)
        except NotFoundError:
            return None

    def settle(self, service: str, operation: str, **arguments: Any) -> dict[str, Any]:
        """Ask for a change, again while AWS says that one before it is still under way."""
        until, pause = time.monotonic() + SETTLE_SECONDS, 1.0
        while True:
            try:
                return self.ask(service, operation, **arguments)
            except Bams3Error as error:
                if not _is_settling(error) or time.monotonic() + pause > until:
                    raise
            time.sleep(pause)
            pause = min(pause * 1.5, 10.0)

    def pages(
        self, service: str, operation: str, field: str, **arguments: Any
    ) -> Iterator[dict[str, Any]]:
        """Yield the entries of a list, from all its pages; none where it is not there."""
        try:
            paginator = self.client(service).get_paginator(operation)
            for page in paginator.paginate(**arguments):
                yield from page.get(field, ())
        except (ClientError, BotoCoreError) as error:
            found = translated(error, f"{service} {operation}")
            if not isinstance(found, NotFoundError):
                raise found from error

    def wait(self, service: str, what: str, **arguments: Any) -> None:
        """Wait until something is so, by the name of a waiter of boto3."""
        try:
            self.client(service).get_waiter(what).wait(**arguments)
        except (ClientError, BotoCoreError) as error:
            raise translated(error, f"{service} {what}") from error


def translated(error: ClientError | BotoCoreError, what: str) -> Bams3Error:
    """Return the error that says the same."""
    if isinstance(error, NoCredentialsError):
        return PermissionDenied("no AWS credentials found", CREDENTIALS)
    if not isinstance(error, ClientError):
        return StorageError(f"AWS {what}: {error}")
    told = error.response.get("Error", {})
    code, message = str(told.get("Code", "")), told.get("Message") or str(error)
    text = f"AWS {what}: {message}" if code in message else f"AWS {what}: {code}: {message}"
    found: Bams3Error
    if code in _MISSING:
        found = NotFoundError(text)
    elif code in _DENIED:
        found = PermissionDenied(text, "bams3 cloud plan lists what is asked of AWS")
    else:
        found = StorageError(text)
    found.code = code
    return found


def _is_settling(error: Bams3Error) -> bool:
    """Whether AWS will agree in a while: rights that are new are not known everywhere at once."""
    return error.code in _SETTLING or any(
        error.code == code and text in error.message for code, text in _SOON
    )
