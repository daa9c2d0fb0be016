"""Requests to DynamoDB: every page, every unprocessed item, throttling waited out."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from itertools import islice
from typing import Any

from bams3.config import StorageOptions
from bams3.errors import Bams3Error, InputError, NotFoundError, PermissionDenied, StorageError

Item = dict[str, dict[str, Any]]
"""Attributes as DynamoDB writes them: {"pk": {"S": "..."}, ...}."""
Key = tuple[str, str]

BATCH = 25
"""Items of a BatchWriteItem, at most."""
_SLOWEST = 5.0
_THROTTLED = (
    "ProvisionedThroughputExceededException",
    "ThrottlingException",
    "RequestLimitExceeded",
)
_DENIED = ("AccessDeniedException", "UnrecognizedClientException", "InvalidSignatureException")


class Table:
    """A table with two text keys, `pk` and `sk`. All reads are consistent.

    All methods raise StorageError where DynamoDB fails, after retries; NotFoundError where there is
    no such table; InputError where it has other keys.
    """

    def __init__(self, name: str, options: StorageOptions) -> None:
        self.name = name
        self._options = options
        self._pool = ThreadPoolExecutor(options.connections, "bams3-dynamodb")

    @property
    def url(self) -> str:
        """The address of the store."""
        return f"dynamodb://{self.name}"

    @cached_property
    def _client(self) -> Any:
        """Connect; the endpoint is that of AWS_ENDPOINT_URL_DYNAMODB or AWS_ENDPOINT_URL."""
        from botocore.config import Config
        from botocore.session import Session

        o = self._options
        retries = {"mode": "standard", "total_max_attempts": o.retries + 1}
        config = Config(
            retries=retries, max_pool_connections=o.connections, connect_timeout=o.timeout,
            read_timeout=o.timeout,
        )  # fmt: skip
        session = Session(profile=o.profile)
        region = o.region or session.get_config_variable("region") or "us-east-1"
        return session.create_client("dynamodb", region_name=region, config=config)

    def close(self) -> None:
        """Let go of threads and connections."""
        self._pool.shutdown()
        if "_client" in self.__dict__:
            self._client.close()

    def map(self, act: Callable[[Any], Any], values: Iterable[Any]) -> Iterator[Any]:
        """Do something with several values at a time; results in order."""
        return self._pool.map(act, values)

    # ---- reading ---------------------------------------------------------------------------------
    def get(self, key: Key) -> Item | None:
        """Read an item."""
        found = self._call("GetItem", Key=_key(key), ConsistentRead=True)
        return found.get("Item")

    def query(self, pk: str, low: str, high: str, *, keys: bool = False) -> Iterator[Item]:
        """Yield the items of a partition with low <= sk <= high; of `keys`, these alone."""
        request: dict[str, Any] = {
            "KeyConditionExpression": "pk = :pk AND sk BETWEEN :low AND :high",
            "ExpressionAttributeValues": {
                ":pk": {"S": pk}, ":low": {"S": low}, ":high": {"S": high},
            },
            "ConsistentRead": True,
        }  # fmt: skip
        if keys:
            request["ProjectionExpression"] = "pk, sk"
        while True:
            answer = self._call("Query", **request)
            yield from answer["Items"]
            if not answer.get("LastEvaluatedKey"):
                return
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    # ---- writing ---------------------------------------------------------------------------------
    def write(self, items: Sequence[Item]) -> None:
        """Write items with different keys, in any order.

        Each batch takes items from all over, so that no partition gets many at a time.
        """
        count = -(-len(items) // BATCH)
        batches = ([{"PutRequest": {"Item": one}} for one in items[n::count]] for n in range(count))
        for _ in self._pool.map(self._drain, batches):
            pass

    def delete(self, keys: Iterable[Key]) -> None:
        """Delete items; those that do not exist are passed over."""
        requests = ({"DeleteRequest": {"Key": _key(key)}} for key in keys)
        while batches := [*islice(iter(lambda: [*islice(requests, BATCH)], []), 64)]:
            for _ in self._pool.map(self._drain, batches):
                pass

    def put_version(self, item: Item, version: int) -> bool:
        """Write an item with its next version. False: it has not the version that was expected."""
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(pk)"}
        if version:
            condition = {
                "ConditionExpression": "version = :version",
                "ExpressionAttributeValues": {":version": {"N": str(version)}},
            }
        item = {**item, "version": {"N": str(version + 1)}}
        try:
            self._call("PutItem", Item=item, **condition)
        except _ConditionFailed:
            return False
        return True

    def _drain(self, requests: list[dict[str, Any]]) -> None:
        """Write a batch until nothing of it is left unprocessed."""
        until, pause = time.monotonic() + self._options.retry_seconds, self._options.backoff
        while requests:
            try:
                answer = self._call(
                    "BatchWriteItem", RequestItems={self.name: requests}, table=False
                )
                left = answer.get("UnprocessedItems", {}).get(self.name, [])
            except _Throttled:
                left = requests
            if len(left) < len(requests):
                until = time.monotonic() + self._options.retry_seconds
            elif time.monotonic() > until:
                raise StorageError(
                    f"{self.url}: takes no more items", "raise the table's write capacity"
                )
            requests = left
            if left:
                time.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(2 * pause, _SLOWEST)

    def create(self, definition: Mapping[str, Any]) -> None:
        """Create the table, where nobody else does, and wait until it is there."""
        try:
            self._call("CreateTable", table=False, **definition)
        except _InUse:
            pass
        with self._errors():
            waiter = self._client.get_waiter("table_exists")
            waiter.wait(TableName=self.name, WaiterConfig={"Delay": 1, "MaxAttempts": 300})

    # ---- errors ----------------------------------------------------------------------------------
    def _call(self, operation: str, *, table: bool = True, **parameters: Any) -> dict[str, Any]:
        if table:
            parameters["TableName"] = self.name
        with self._errors():
            method = "".join(f"_{c.lower()}" if c.isupper() else c for c in operation).lstrip("_")
            return getattr(self._client, method)(**parameters)  # type: ignore[no-any-return]

    @contextmanager
    def _errors(self) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

        try:
            yield
        except ClientError as error:
            told = error.response.get("Error", {})
            raise self._translated(told.get("Code", ""), told.get("Message", "")) from error
        except NoCredentialsError as error:
            raise PermissionDenied(f"{self.url}: there are no AWS credentials") from error
        except BotoCoreError as error:
            raise StorageError(f"{self.url}: {error}") from error

    def _translated(self, code: str, message: str) -> Bams3Error:
        if code in _SPECIAL:
            return _SPECIAL[code](f"{self.url}: {message or code}")
        if code in _THROTTLED:
            return _Throttled(f"{self.url}: is throttled: {message}", "raise its capacity")
        if code in _DENIED:
            return PermissionDenied(f"{self.url}: {message or code}")
        if code == "ResourceNotFoundException":
            return NotFoundError(f"{self.url}: there is no such table", "load calls into it first")
        if code == "ValidationException" and _is_about_keys(message):
            return InputError(
                f"{self.url}: is a table of something else: its keys are not pk and sk",
                "name another table",
            )
        return StorageError(f"{self.url}: {code}: {message}")


class _ConditionFailed(StorageError):
    """Another one was faster."""


class _InUse(StorageError):
    """The table is there, or being made."""


class _Throttled(StorageError):
    """Too many requests."""


_SPECIAL: dict[str, type[StorageError]] = {
    "ConditionalCheckFailedException": _ConditionFailed,
    "ResourceInUseException": _InUse,
}


def _is_about_keys(message: str) -> bool:
    told = message.lower()
    return "schema" in told or "missing the key" in told or "key condition" in told


def _key(key: Key) -> Item:
    return {"pk": {"S": key[0]}, "sk": {"S": key[1]}}
