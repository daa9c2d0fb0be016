"""A folder on a web server, read-only, through obstore. The server has to serve byte ranges."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import urlsplit

from bams3.config import StorageOptions
from bams3.errors import Bams3Error, UsageError
from bams3.storage.remote import Handle, RemoteStore, client_options, reason, retry_config
from bams3.storage.store import Data, Entry

if TYPE_CHECKING:
    from obstore.store import HTTPStore as HttpClient


class HttpStore(RemoteStore):
    """The folder below an address. See `Store`; all that lists or writes raises UsageError."""

    def __init__(self, url: str, options: StorageOptions) -> None:
        parts = urlsplit(url)
        parts = parts._replace(path=parts.path.rstrip("/"))
        address = parts._replace(query="").geturl()
        super().__init__(address, "", client(parts.geturl(), options), options)

    def put(self, key: str, data: Data) -> str:
        """Refuse."""
        self._refuse("write")

    def put_if_absent(self, key: str, data: Data) -> str:
        """Refuse."""
        self._refuse("write")

    def put_if_match(self, key: str, data: Data, etag: str) -> str:
        """Refuse."""
        self._refuse("write")

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """Refuse."""
        self._refuse("list")

    def delete_many(self, keys: Iterable[str]) -> None:
        """Refuse."""
        self._refuse("delete")

    def copy(self, source: str, target: str) -> None:
        """Refuse."""
        self._refuse("write")

    def _refuse(self, verb: str) -> NoReturn:
        raise UsageError(
            f"{self.url}: cannot {verb} over http", "use s3:// (with --endpoint-url) or a path"
        )


def object_handle(url: str, options: StorageOptions) -> Handle:
    """Return the handle of one object, whose address may have a query (presigned)."""
    return Handle(client(url, options), "", urlsplit(url)._replace(query="").geturl())


def client(url: str, options: StorageOptions) -> HttpClient:
    """Return an obstore client of an address; nothing is sent yet. Raises UsageError."""
    from obstore.store import HTTPStore as Client

    if not urlsplit(url).netloc:
        raise UsageError(f"{url}: no host")
    try:
        return Client(
            url,
            client_options=client_options(options, url),  # type: ignore[arg-type]
            retry_config=retry_config(options),  # type: ignore[arg-type]
        )
    except Bams3Error:
        raise
    except Exception as error:
        raise UsageError(f"{url}: {reason(error)}") from error
