"""Named roots: the only places that clients can reach, and what of them is served."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Protocol

from bams3.config import StorageOptions
from bams3.errors import NotFoundError, UsageError
from bams3.server.cache import BlockCache
from bams3.server.keys import EXTENSIONS, alternatives, check_served, siblings
from bams3.server.local import LocalFolder
from bams3.server.remote import RemoteFolder
from bams3.server.resources import Resource
from bams3.storage import open_store
from bams3.storage.remote import RemoteStore
from bams3.storage.store import local_path, scheme_of


class Virtual(Protocol):
    """Files that exist only in answers, such as `sample.bams3.bam`."""

    def matches(self, key: str) -> bool:
        """Whether a key names such a file."""

    def open(self, url: str, key: str) -> Resource:
        """Return it, given the address of the root. May block. Raises NotFoundError."""


class Root:
    """A folder, or one file and its indexes, under a name.

    Attributes:
        name: As in `/files/NAME/...`.
        url: Path, `s3://` or `http(s)://` address of the folder, never shown to clients.
    """

    def __init__(
        self,
        name: str,
        url: str,
        folder: LocalFolder | RemoteFolder,
        only: frozenset[str] | None = None,
        extensions: tuple[str, ...] = EXTENSIONS,
        virtual: Virtual | None = None,
    ) -> None:
        self.name, self.url, self.folder = name, url, folder
        self._only, self._extensions, self._virtual = only, extensions, virtual
        self._is_virtual = lru_cache(4096)(self._checked)

    @property
    def one_file(self) -> bool:
        """Whether only a file and its indexes are served, of a folder that may hold more."""
        return self._only is not None

    def waits(self, key: str) -> bool:
        """Whether opening a key may take longer than asking a local disk does.

        Raises:
            NotFoundError: It is not served.
        """
        return self.folder.waits or self._is_virtual(key)

    def open(self, key: str) -> Resource:
        """Return what `key` names; an index also where it lies under its other usual name.

        Raises:
            NotFoundError: There is no such file, or it is not served.
            PermissionDenied: The store refuses the server.
            StorageError: The store failed.
        """
        if self._is_virtual(key):
            assert self._virtual
            return self._virtual.open(self.url, key)
        try:
            return self.folder.open(key)
        except NotFoundError:
            for other in alternatives(key):
                try:
                    return self.folder.open(other)
                except NotFoundError:
                    continue
            raise

    def check(self, key: str) -> None:
        """Raise NotFoundError where a key is not served."""
        if self._only is not None and key.partition("/")[0] not in self._only:
            raise NotFoundError(f"{key}: is not served", "this root is one file")
        check_served(key, self._extensions)

    def _checked(self, key: str) -> bool:
        """Whether a key, which is served, names a virtual file."""
        self.check(key)
        return self._virtual is not None and self._virtual.matches(key)

    def presign(self, key: str, seconds: int) -> str | None:
        """Return an address that leads past the server to the object, if there is one."""
        if isinstance(self.folder, RemoteFolder) and not self._is_virtual(key):
            return self.folder.presign(key, seconds)
        return None

    def forget(self, key: str) -> None:
        """Ask the store again what there is under a key, and under its other name."""
        if isinstance(self.folder, RemoteFolder):
            for name in (key, *alternatives(key)):
                self.folder.forget(name)

    def close(self) -> None:
        """Let go of folders and connections."""
        self.folder.close()


def open_root(
    name: str,
    url: str,
    cache: BlockCache,
    storage: StorageOptions | None = None,
    extensions: Iterable[str] = (),
    virtual: Virtual | None = None,
) -> Root:
    """Open a folder, or one file, as a root.

    Args:
        name: Letters, digits, `-`, `_` and `.`, beginning with none of the last.
        url: A folder or file; on S3 what ends in `/`, or in none of the extensions, is a folder.
        cache: For what comes from a store.
        storage: How to reach it.
        extensions: Instead of those of genomic formats.
        virtual: Files made from others.

    Raises:
        UsageError: The name or the address is none.
        NotFoundError: The local folder does not exist.
        PermissionDenied: It may not be read, or there are no credentials.
    """
    check_name(name)
    local = scheme_of(url) in ("", "file")
    place = os.path.abspath(local_path(url)) if local else url
    served = tuple(e.lower() for e in extensions) or EXTENSIONS
    only = None
    if _is_one_file(place, local, served):
        place, _, file = place.rpartition("/")
        only = siblings(file)
    folder = _local(place) if local else _remote(place, cache, storage)
    return Root(name, place, folder, only, served, virtual)


def check_name(name: str) -> None:
    """Raise UsageError where a root cannot have this name."""
    legal = name.isascii() and name.replace("-", "").replace("_", "").replace(".", "").isalnum()
    if not legal or name.startswith("."):
        raise UsageError(f"{name!r} cannot name a root", "use letters, digits, '-', '_' and '.'")


def named(text: str) -> tuple[str, str]:
    """Split `NAME=ADDRESS`; without a name, the address's last part is the name."""
    name, equals, url = text.partition("=")
    if equals and "/" not in name and ":" not in name:
        return name, url
    last = text.rstrip("/").rpartition("/")[2]
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in last), text


def by_name(roots: Iterable[Root]) -> Mapping[str, Root]:
    """Return roots by name. Raises UsageError where two have the same."""
    found: dict[str, Root] = {}
    for root in roots:
        if root.name in found:
            raise UsageError(f"two roots are named {root.name}", "write NAME=ADDRESS")
        found[root.name] = root
    return found


def _is_one_file(place: str, local: bool, extensions: tuple[str, ...]) -> bool:
    if local:
        return os.path.isfile(place) or place.endswith(".bams3")
    return not place.endswith("/") and place.lower().endswith((*extensions, ".bams3"))


def _local(path: str) -> LocalFolder:
    try:
        return LocalFolder(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFoundError(f"{path}: there is no such folder", "check the path") from error


def _remote(url: str, cache: BlockCache, storage: StorageOptions | None) -> RemoteFolder:
    store = open_store(url, storage)
    if not isinstance(store, RemoteStore):
        raise UsageError(f"{url}: is not a remote address")
    return RemoteFolder(store, cache)
