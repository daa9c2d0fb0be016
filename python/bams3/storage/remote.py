"""What the object stores reached through obstore have in common: reading, retries and errors.

obstore itself repeats requests that fail before an answer begins (5xx, throttling, lost
connections), with exponential backoff and jitter. The loops here repeat what it does not: bodies
that break off.
"""

from __future__ import annotations

import builtins
import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from bams3.config import StorageOptions
from bams3.errors import (
    Bams3Error,
    ChangedError,
    CorruptError,
    ExistsError,
    NotFoundError,
    PermissionDenied,
    StorageError,
)
from bams3.storage.authorities import bundle
from bams3.storage.credentials import HINT
from bams3.storage.store import Head, Span, check_key, check_span

if TYPE_CHECKING:
    from obstore.store import HTTPStore as HttpClient
    from obstore.store import S3Store as S3Client

T = TypeVar("T")


class Handle(NamedTuple):
    """One object: client, path in it, and address for messages."""

    client: S3Client | HttpClient
    path: str
    url: str


class Body(NamedTuple):
    """What one GET brought."""

    data: bytes
    size: int
    etag: str


class RemoteStore:
    """Reading of a folder in an object store. See `Store` for the methods."""

    def __init__(self, url: str, prefix: str, client: Any, options: StorageOptions) -> None:
        self._url = url.rstrip("/")
        self._prefix = prefix
        self._client = client
        self._options = options
        self._pool: ThreadPoolExecutor | None = None
        self._guard = threading.Lock()

    @property
    def url(self) -> str:
        """The address of the folder, without a trailing slash."""
        return self._url

    def url_of(self, key: str) -> str:
        """Return the address of an object."""
        return f"{self._url}/{check_key(key)}"

    def get(self, key: str, start: int | None = None, end: int | None = None) -> bytes:
        """Read an object or the range [start, end) of it, in one request."""
        span = check_span(start, end)
        handle = self._handle(key)
        if span and span[0] == span[1]:
            return b""
        return fetch(handle, self._options, span).data

    def get_version(self, key: str, etag: str, start: int, end: int) -> bytes:
        """Read a range of the version that has `etag`, in one request, conditional on it.

        Raises:
            ChangedError: The object has another etag by now.
            NotFoundError, CorruptError, StorageError: As for `get`.
        """
        return fetch(self._handle(key), self._options, (start, end), etag).data

    def get_many(self, spans: Sequence[Span]) -> builtins.list[bytes]:
        """Read several ranges at the same time."""
        if len(spans) < 2:
            return [self.get(*span) for span in spans]
        futures = [self._threads().submit(self.get, *span) for span in spans]
        try:
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()

    def head(self, key: str) -> Head:
        """Return size and etag."""
        import obstore

        handle = self._handle(key)
        try:
            meta = obstore.head(handle.client, handle.path)
        except Exception as error:
            raise translate(error, handle.url) from error
        return Head(meta["size"], meta["e_tag"] or "", meta["last_modified"])

    def close(self) -> None:
        """Let go of the threads."""
        with self._guard:
            pool, self._pool = self._pool, None
        if pool:
            pool.shutdown(cancel_futures=True)

    def _handle(self, key: str) -> Handle:
        return Handle(self._client, self._prefix + check_key(key), self.url_of(key))

    def _threads(self) -> ThreadPoolExecutor:
        with self._guard:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._options.connections, "bams3-get")
            return self._pool


def fetch(
    handle: Handle, options: StorageOptions, span: tuple[int, int] | None, etag: str = ""
) -> Body:
    """Read an object or a range of it; exactly what was asked for, or an error.

    Args:
        handle: The object.
        options: For retries.
        span: Range [start, end) in bytes, end at most the object's size; None for all of it.
        etag: Refuse any other version of the object.

    Raises:
        CorruptError: The object ends before the range does.
        NotFoundError, PermissionDenied, StorageError: See `translate`.
    """
    problem = ""
    for _ in attempts(options):
        answer = request(handle, span, etag)
        size = answer.meta["size"]
        start, end = span or (0, size)
        if end > size:
            raise _too_short(handle.url, size, start, end)
        try:
            data = answer.bytes().to_bytes()
        except Exception as error:
            problem = reason(error)
            continue
        if len(data) == end - start:
            return Body(data, size, answer.meta["e_tag"] or "")
        problem = f"{len(data)} bytes came instead of {end - start}"
    raise StorageError(
        f"{handle.url}: the data broke off: {problem}",
        f"given up after {options.retries + 1} attempts; check the network, then try again",
    )


def request(handle: Handle, span: tuple[int, int] | None, etag: str) -> Any:
    """Send one GET and return the answer, its body unread."""
    import obstore

    wanted: dict[str, Any] = {"range": span} if span else {}
    if strong(etag):
        wanted["if_match"] = etag
    try:
        answer = obstore.get(handle.client, handle.path, options=wanted)  # type: ignore[arg-type]
    except Exception as error:
        status = status_of(error)
        if status == 416 and span:
            raise _too_short(handle.url, _actual_size(error), *span) from error
        if status == 412:
            raise _changed(handle.url) from error
        raise translate(error, handle.url) from error
    if etag and (answer.meta["e_tag"] or "") != etag:
        raise _changed(handle.url)
    return answer


def attempts(options: StorageOptions) -> Iterator[int]:
    """Count attempts, with a pause before each but the first, until there were enough."""
    start, pause = time.monotonic(), options.backoff
    for attempt in range(options.retries + 1):
        if attempt:
            time.sleep(random.uniform(pause / 2, pause))
            pause = min(2 * pause, 15.0)
            if time.monotonic() - start > options.retry_seconds:
                return
        yield attempt


def repeated(action: Callable[[], T], options: StorageOptions, url: str) -> T:
    """Do something that may be done twice; again when its answer is lost and obstore gave up.

    obstore does not repeat POST requests (DeleteObjects), and a CompleteMultipartUpload that it
    does repeat fails where the first one arrived.

    Raises:
        Bams3Error: See `translate`.
    """
    for _ in attempts(options):
        try:
            return action()
        except Exception as error:
            failure = translate(error, url)
            if not is_lost(error) and _code(error) != "NoSuchUpload":
                raise failure from error
    raise failure


def strong(etag: str) -> bool:
    """Whether an etag can be a condition (weak ones never match)."""
    return bool(etag) and not etag.startswith("W/")


# ---- errors --------------------------------------------------------------------------------------
def translate(error: Exception, url: str) -> Bams3Error:
    """Return what an obstore exception means to a user, with a hint what to do."""
    if isinstance(error, Bams3Error):
        return error
    status, code, why = status_of(error), _code(error), reason(error)
    if re.search(r"/latest/(api/token|meta-data)|//169\.254\.170\.", str(error)):
        return PermissionDenied(f"{url}: no credentials found", HINT)
    if is_redirect(error) or code == "AuthorizationHeaderMalformed":
        return StorageError(
            f"{url}: the bucket is in another region" + (f": {why}" if code else ""),
            "set --aws-region or AWS_REGION",
        )
    if is_untrusted(error):
        return StorageError(
            f"{url}: the certificate of the server is not trusted: {_distrust(error)}",
            "AWS_CA_BUNDLE names a PEM file of further authorities; is it that of this server?",
        )
    if code == "NoSuchBucket":
        return NotFoundError(
            f"{url}: the bucket does not exist", "check its name and --endpoint-url"
        )
    if status in (404, 410) or isinstance(error, FileNotFoundError):
        return NotFoundError(f"{url}: does not exist")
    if status in (401, 403):
        return PermissionDenied(
            f"{url}: access denied: {why}",
            "check AWS_PROFILE or --aws-profile; --no-sign-request for a public bucket",
        )
    if status == 412 or type(error).__name__ in ("AlreadyExistsError", "PreconditionError"):
        return ExistsError(f"{url}: exists already or was changed by another writer: {why}")
    if "Range request not supported" in why:
        return StorageError(
            f"{url}: the server serves no byte ranges", "copy it to a disk or an S3 bucket"
        )
    return StorageError(f"{url}: {why}", _hint(status, why))


def _hint(status: int | None, why: str) -> str:
    if status is None and ("sending request" in why or "onnect" in why):
        return "check the address (--endpoint-url, AWS_ENDPOINT_URL) and the network"
    if status is None or status >= 500 or status == 429:
        return "the store did not answer well, after retries: try again later"
    return "the store refused the request: check the address and the options"


def is_redirect(error: Exception) -> bool:
    """Whether the store points to another region."""
    return "redirect without LOCATION" in str(error) or status_of(error) in (301, 307)


def is_untrusted(error: Exception) -> bool:
    """Whether the server has shown a certificate that does not prove who it is."""
    return bool(_distrust(error))


def _distrust(error: Exception) -> str:
    match = re.search(r"InvalidCertificate\(\s*(\w+)", str(error))
    return match[1] if match else ""


def is_lost(error: Exception) -> bool:
    """Whether an answer was lost on its way, and obstore did not ask again."""
    known = status_of(error) is not None or is_redirect(error)
    again = re.search(r"after \d+ retries", str(error))
    return type(error).__name__ == "GenericError" and not (known or again)


def status_of(error: Exception) -> int | None:
    """Return the HTTP status that an obstore exception is about, if any."""
    match = re.search(r"status code: (\d{3})", str(error))
    return int(match[1]) if match else None


def reason(error: Exception) -> str:
    """Return the telling part of an obstore exception in one line."""
    text = str(error).partition("\n\nDebug source")[0]
    code, message = _code(error), re.search(r"<Message>([^<]*)</Message>", text)
    if code:
        return f"{code}: {message[1]}" if message else code
    status = re.search(r"status code: (\d{3} [^:\n]*)", text)
    if status:
        return status[1].strip()
    text = re.sub(r"(https?://[^\s?]+)\?\S+", r"\1", text)  # may hold a signature
    request = re.search(r"Error performing (\w+ \S+) in .*? - (.*)", text, re.DOTALL)
    if request:
        cause = re.search(r'message: "([^"]+)"|kind: (Timeout)', str(error))
        detail = f": {cause[1] or 'timed out'}" if cause else ""
        text = f"{request[2]}{detail} ({request[1]})"
    return " ".join(text.split())[:300]


def _code(error: Exception) -> str:
    match = re.search(r"<Code>([^<]*)</Code>", str(error))
    return match[1] if match else ""


def _actual_size(error: Exception) -> int | None:
    match = re.search(r"<ActualObjectSize>(\d+)<", str(error))
    return int(match[1]) if match else None


def _too_short(url: str, size: int | None, start: int, end: int) -> CorruptError:
    has = "is shorter" if size is None else f"has {size} bytes"
    return CorruptError(
        f"{url}: {has}, [{start}, {end}) was asked for",
        "the object was cut short or replaced: restore it",
    )


def _changed(url: str) -> ChangedError:
    return ChangedError(f"{url}: was replaced while it was read", "start again")


def client_options(options: StorageOptions, url: str | None) -> dict[str, Any]:
    """Return obstore's settings of the HTTP client.

    Raises:
        UsageError: AWS_CA_BUNDLE names no file of certificates.
    """
    certificates = bundle()
    return ({"root_certificate": certificates} if certificates else {}) | {
        "allow_http": bool(url) and str(url).startswith("http://"),
        "connect_timeout": timedelta(seconds=min(options.timeout, 10.0)),
        "read_timeout": timedelta(seconds=options.timeout),
        "timeout": timedelta(seconds=10 * options.timeout),
        "user_agent": "bams3",
    }


def retry_config(options: StorageOptions, retries: int | None = None) -> dict[str, Any]:
    """Return obstore's settings of retries."""
    return {
        "max_retries": options.retries if retries is None else retries,
        "retry_timeout": timedelta(seconds=options.retry_seconds),
        "backoff": {
            "init_backoff": timedelta(seconds=options.backoff),
            "max_backoff": timedelta(seconds=15),
            "base": 2,
        },
    }
