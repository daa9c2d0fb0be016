"""A folder in an S3 bucket, on AWS or on anything that speaks S3, through obstore."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from bams3.config import StorageOptions
from bams3.errors import Bams3Error, ExistsError, NotFoundError, StorageError, UsageError
from bams3.storage.credentials import settings
from bams3.storage.remote import (
    Handle,
    RemoteStore,
    attempts,
    client_options,
    is_lost,
    is_redirect,
    is_untrusted,
    reason,
    repeated,
    retry_config,
    status_of,
    translate,
)
from bams3.storage.store import Data, Entry, check_key

if TYPE_CHECKING:
    from obstore.store import S3Store as S3Client

_SINGLE = 32 << 20
"""Objects of more bytes are uploaded in parts."""
_UPLOAD_PART = 16 << 20
_DELETE_BATCH = 1000
_REGION = "us-east-1"


class S3Store(RemoteStore):
    """A prefix of a bucket. See `Store` for the methods.

    Conditional writes use If-None-Match and If-Match, which the server has to know (AWS, Ceph, R2,
    versitygw, MinIO do).
    """

    def __init__(self, url: str, options: StorageOptions) -> None:
        self._bucket, folder = split_url(url)
        super().__init__(
            url, f"{folder}/" if folder else "", client(self._bucket, options), options
        )
        self._copiers: dict[str, S3Client] = {self._bucket: self._client}

    def put(self, key: str, data: Data) -> str:
        """Write an object, replacing what is there; beyond 32 MiB in parts of 16 MiB."""
        import obstore

        handle = self._handle(key)

        def act() -> str:
            result = obstore.put(
                self._client,
                handle.path,
                data,
                use_multipart=len(data) > _SINGLE,
                chunk_size=_UPLOAD_PART,
                max_concurrency=4,
            )
            return result["e_tag"] or ""

        return repeated(act, self._options, handle.url)

    def put_if_absent(self, key: str, data: Data) -> str:
        """Write an object where there is none."""
        return self._put_conditionally(key, data, "create")

    def put_if_match(self, key: str, data: Data, etag: str) -> str:
        """Replace an object that still has `etag`."""
        return self._put_conditionally(key, data, {"e_tag": etag})

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """Yield all objects below the folder `prefix`."""
        folder = self._prefix + (check_key(prefix) + "/" if prefix else "")
        last: str | None = None
        problem: Exception | None = None
        for _ in attempts(self._options):
            try:
                for meta in self._list_after(folder, last):
                    last = meta["path"]
                    key = meta["path"][len(self._prefix) :]
                    yield Entry(key, meta["size"], meta["last_modified"])
                return
            except Exception as error:
                problem = error
                if not is_lost(error):
                    break
        if problem:
            raise translate(problem, f"{self._url}/{prefix}") from problem

    def level(self, prefix: str = "") -> Iterator[tuple[str, int | None]]:
        """Yield the names right below the folder `prefix`: objects with sizes, folders with None.

        Raises:
            StorageError, PermissionDenied: The store failed, or refuses.
        """
        import obstore

        folder = self._prefix + (check_key(prefix) + "/" if prefix else "")
        found = repeated(
            lambda: obstore.list_with_delimiter(self._client, folder or None),
            self._options,
            f"{self._url}/{prefix}",
        )
        yield from ((path.rpartition("/")[2], None) for path in found["common_prefixes"])
        for meta in found["objects"]:
            yield meta["path"].rpartition("/")[2], meta["size"]

    def presign(self, key: str, seconds: int) -> str:
        """Return an address with which anybody may GET the object, for so many seconds.

        Raises:
            PermissionDenied, StorageError: There are no credentials to sign with.
        """
        import obstore

        handle = self._handle(key)
        try:
            return obstore.sign(self._client, "GET", handle.path, timedelta(seconds=seconds))
        except Exception as error:
            raise translate(error, handle.url) from error

    def _list_after(self, folder: str, last: str | None) -> Iterator[Any]:
        """Yield what obstore knows of the objects in `folder`, in the order of their keys."""
        import obstore

        for batch in obstore.list(self._client, folder or None, offset=last):
            yield from batch

    def delete_many(self, keys: Iterable[str]) -> None:
        """Delete objects, a thousand a request."""
        import obstore

        paths = (self._prefix + check_key(key) for key in keys)
        while batch := [*islice(paths, _DELETE_BATCH)]:
            repeated(partial(obstore.delete, self._client, batch), self._options, self._url)

    def copy(self, source: str, target: str) -> None:
        """Copy an object inside the store, on the server's side."""
        self.copy_from(self, source, target)

    def copy_from(self, other: S3Store, source: str, target: str) -> bool:
        """Copy an object of another store on the server's side; False where it cannot be done.

        Both stores have to be reached with the same options; their buckets may differ.

        Raises:
            NotFoundError: There is no such object.
        """
        import obstore

        if self._options != other._options:
            return False
        handle, path = other._handle(source), self._prefix + check_key(target)
        act = partial(obstore.copy, self._copier(other._bucket), handle.path, path)
        repeated(act, self._options, handle.url)
        return True

    def _copier(self, source: str) -> S3Client:
        """Return a client that copies from the bucket `source` into this store's."""
        with self._guard:
            if source not in self._copiers:
                self._copiers[source] = client(source, self._options, into=self._bucket)
            return self._copiers[source]

    def _put_conditionally(self, key: str, data: Data, mode: Any) -> str:
        """Write in one request under a condition, which holds over lost answers too."""
        import obstore

        # The attempts are counted here, not in obstore: only who knows whether an earlier one may
        # have arrived can tell a lost answer from a lost race.
        once = client(self._bucket, self._options, retries=0)
        handle, uncertain = self._handle(key), False
        failure: Bams3Error = StorageError(f"{handle.url}: not written")
        for _ in attempts(self._options):
            try:
                result = obstore.put(once, handle.path, data, mode=mode, use_multipart=False)
                return result["e_tag"] or ""
            except Exception as error:
                failure, status = _conditional(error, handle.url), status_of(error)
                if not _transient(status) or is_redirect(error) or is_untrusted(error):
                    if uncertain and status == 412 and self._holds(key, data):
                        return self.head(key).etag
                    raise failure from error
                uncertain = uncertain or status != 409
        raise failure

    def _holds(self, key: str, data: Data) -> bool:
        """Whether the object is what an attempt without an answer was to write."""
        try:
            return self.get(key) == bytes(data)
        except NotFoundError:
            return False


def _transient(status: int | None) -> bool:
    return status is None or status >= 500 or status in (408, 409, 429)


def _conditional(error: Exception, url: str) -> Bams3Error:
    failure = translate(error, url)
    if isinstance(failure, ExistsError):
        if type(error).__name__ == "AlreadyExistsError":
            hint = "choose another destination, or --overwrite"
            return ExistsError(f"{url}: exists already", hint)
        hint = "look at it, then start again"
        return ExistsError(f"{url}: was changed by another writer", hint)
    return failure


def object_handle(url: str, options: StorageOptions) -> Handle:
    """Return the handle of one object. Raises UsageError."""
    bucket, key = split_url(url)
    return Handle(client(bucket, options), check_key(key), url)


def split_url(url: str) -> tuple[str, str]:
    """Return bucket and key (or prefix) of an `s3://` address, taken literally.

    Raises:
        UsageError: There is no bucket, or the key is none.
    """
    bucket, _, key = url[len("s3://") :].partition("/")
    key = key.strip("/")
    if not bucket:
        raise UsageError(f"{url}: no bucket", "write s3://bucket/prefix")
    return bucket, check_key(key) if key else ""


def client(
    bucket: str, options: StorageOptions, retries: int | None = None, into: str | None = None
) -> S3Client:
    """Return an obstore client of a bucket; nothing is sent yet.

    One with `into` is good for copies alone: it sends its requests to that bucket, and names
    `bucket` as that of the source, which is how S3 copies from one bucket to another.
    """
    from obstore.store import S3Store as Client

    chain = settings(options)
    config = _config(into or bucket, options, chain.pop("config"))
    if into:  # obstore takes a virtual host, given in full, as it is
        config |= {"aws_endpoint_url_s3": _address(into, config)}
        config |= {"virtual_hosted_style_request": True}
    endpoint = config.get("aws_endpoint_url_s3")
    try:
        return Client(
            bucket,
            config=config,
            client_options=client_options(options, endpoint),  # type: ignore[arg-type]
            retry_config=retry_config(options, retries),  # type: ignore[arg-type]
            **chain,
        )
    except Bams3Error:
        raise
    except Exception as error:
        raise UsageError(f"s3://{bucket}: {reason(error)}") from error


def _config(bucket: str, options: StorageOptions, found: dict[str, Any]) -> Any:
    """Return obstore's configuration, `found` filled up and overruled by the options."""
    config = dict(found)
    if options.region:
        config["region"] = options.region
    endpoint = options.endpoint_url or config.get("aws_endpoint_url_s3")
    path_style = options.path_style
    if path_style is None:
        path_style = bool(endpoint) or "." in bucket
    config["virtual_hosted_style_request"] = not path_style
    if endpoint:
        config["aws_endpoint_url_s3"] = endpoint if path_style else _hosted(endpoint, bucket)
    if options.requester_pays:
        config["request_payer"] = True
    if options.sse:
        config |= _encryption(options.sse)
    return config


def _address(bucket: str, config: dict[str, Any]) -> str:
    """Return the whole address of a bucket, of AWS where the configuration has no endpoint."""
    endpoint, hosted = config.get("aws_endpoint_url_s3"), config["virtual_hosted_style_request"]
    if endpoint and hosted:
        return str(endpoint)
    endpoint = endpoint or f"https://s3.{config.get('region', _REGION)}.amazonaws.com"
    return _hosted(endpoint, bucket) if hosted else f"{endpoint.rstrip('/')}/{bucket}"


def _hosted(endpoint: str, bucket: str) -> str:
    parts = urlsplit(endpoint)
    return parts._replace(netloc=f"{bucket}.{parts.netloc}").geturl()


def _encryption(sse: str) -> dict[str, Any]:
    if not sse.startswith("aws:kms:"):
        return {"server_side_encryption": sse}
    return {"server_side_encryption": "aws:kms", "sse_kms_key_id": sse[len("aws:kms:") :]}
