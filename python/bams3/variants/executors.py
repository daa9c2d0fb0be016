"""Where shards are called: anything with the interface of `concurrent.futures.Executor`."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from bams3.errors import (
    Bams3Error,
    CallError,
    InputError,
    NotFoundError,
    StorageError,
    TooLargeError,
    UsageError,
)
from bams3.variants.task import Receipt, Task

LAMBDA_TIMEOUT = 900
_MEANS_TOO_LARGE = ("Sandbox.Timedout", "Runtime.ExitError", "Runtime.OutOfMemory")
_FINAL: dict[str, type[Bams3Error]] = {
    error.__name__: error for error in (CallError, InputError, NotFoundError, TooLargeError)
}


def processes(workers: int) -> Executor:
    """Return the executor of this machine: each of its threads runs callers in processes.

    Reads are decoded on the threads, in the compiled core, which holds no lock; the caller's
    processes are new for each shard, so one that crashes takes nothing along.
    """
    return ThreadPoolExecutor(workers, "bams3-call")


@contextmanager
def dask(address: str | None, workers: int) -> Iterator[Executor]:
    """Open an executor on a Dask cluster.

    Args:
        address: Of the scheduler; None starts a cluster of processes on this machine.
        workers: How many processes, then.

    A shard whose worker is lost is called again on another one.

    Raises:
        UsageError: Dask is not installed.
    """
    try:
        distributed = importlib.import_module("distributed")
    except ImportError:
        raise UsageError("dask is not installed", "pip install 'bams3[dask]'") from None
    if address:
        client = distributed.Client(address)
    else:
        client = distributed.Client(n_workers=workers, threads_per_worker=1, dashboard_address=None)
    with client, client.get_executor(pure=False, retries=2) as executor:
        yield executor


class LambdaExecutor(Executor):
    """Calls shards by an AWS Lambda function that runs `bams3.variants.handler`.

    The function reaches stores with its own role: addresses must mean the same there, so reads,
    reference and the job's folder lie on S3. A shard that exceeds the time or the memory of the
    function raises TooLargeError, and is cut in two by who submitted it.
    """

    def __init__(self, function: str, concurrency: int = 64, client: Any = None) -> None:
        """Prepare to call a function.

        Args:
            function: Name or ARN.
            concurrency: Invocations at a time.
            client: A boto3 client of Lambda; by default one is made from the environment.

        Raises:
            UsageError: boto3 is not installed.
        """
        self._function = function
        self._client = client or _lambda_client(concurrency)
        self._pool = ThreadPoolExecutor(concurrency, "bams3-lambda")

    def submit(  # type: ignore[override]
        self, function: Callable[..., Receipt], /, task: Task, *_: Any
    ) -> Future[Receipt]:
        """Invoke the function for a task; what it runs there is `call_tile`."""
        return self._pool.submit(self._invoke, task)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Wait for what is under way."""
        self._pool.shutdown(wait, cancel_futures=cancel_futures)

    def _invoke(self, task: Task) -> Receipt:
        try:
            answer = self._client.invoke(
                FunctionName=self._function,
                InvocationType="RequestResponse",
                Payload=json.dumps({"tasks": [task.to_json()]}).encode(),
            )
            reply = json.loads(answer["Payload"].read() or "null")
        except Exception as error:  # botocore's own, made at run time; worth another try
            raise StorageError(f"Lambda function {self._function}: {error}") from error
        return _received(reply, task)


def _received(reply: Any, task: Task) -> Receipt:
    """Return the receipt of an answer, or raise what the function raised."""
    if isinstance(reply, dict) and reply.get("receipts"):
        return Receipt.from_json(reply["receipts"][0])
    if isinstance(reply, dict) and reply.get("unfinished"):
        raise TooLargeError(f"{task.name}: there was no time for it")
    raise _raised(reply if isinstance(reply, dict) else {}, task)


def _raised(reply: Mapping[str, Any], task: Task) -> Bams3Error:
    kind, message = str(reply.get("errorType", "")), str(reply.get("errorMessage", reply))
    if kind in _MEANS_TOO_LARGE or "Task timed out" in message:
        return TooLargeError(f"{task.name}: {message}")
    return _FINAL.get(kind, StorageError)(message if kind in _FINAL else f"{kind}: {message}")


def _lambda_client(concurrency: int) -> Any:
    try:
        boto3 = importlib.import_module("boto3")
        config = importlib.import_module("botocore.config").Config
    except ImportError:
        raise UsageError("boto3 is not installed", "pip install 'bams3[lambda]'") from None
    return boto3.client(
        "lambda",
        region_name=os.environ.get("AWS_REGION") or None,  # boto3 reads AWS_DEFAULT_REGION alone
        config=config(
            max_pool_connections=concurrency,
            read_timeout=LAMBDA_TIMEOUT + 20,
            retries={"max_attempts": 8, "mode": "standard"},
            tcp_keepalive=True,
        ),
    )
