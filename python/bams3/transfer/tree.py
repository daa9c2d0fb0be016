"""The files of a folder, and the objects of a prefix, as names relative to it."""

from __future__ import annotations

import fnmatch
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bams3.errors import Bams3Error, InputError, NotFoundError
from bams3.storage.bucket import Bucket
from bams3.storage.objects import ObjectInfo


@dataclass(frozen=True, slots=True)
class Filter:
    """Shell patterns over relative names: any of `include` (or no such), and none of `exclude`."""

    include: Sequence[str] = ()
    exclude: Sequence[str] = ()

    def takes(self, name: str) -> bool:
        """Whether a name is to be transferred."""
        if self.include and not any(fnmatch.fnmatchcase(name, p) for p in self.include):
            return False
        return not any(fnmatch.fnmatchcase(name, p) for p in self.exclude)


@dataclass(frozen=True, slots=True)
class Left:
    """What cannot be transferred, and why: it is told, not passed over."""

    path: str
    error: Bams3Error


def files_below(folder: Path, wanted: Filter = Filter()) -> Iterator[tuple[str, Path] | Left]:
    """Yield relative name (with `/`) and path of each file below a folder, sorted.

    Links to files are followed, links to folders are not. Empty folders have no objects.

    Raises:
        NotFoundError: There is no such folder.
    """
    if not folder.is_dir():
        raise NotFoundError(f"{folder}: no such directory")
    for place, folders, names in os.walk(folder, onerror=_refuse):
        folders.sort()
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        for name in sorted([*names, *links]):
            path = Path(place, name)
            relative = path.relative_to(folder).as_posix()
            if wanted.takes(relative):
                error = _problem(path, relative)
                yield Left(str(path), error) if error else (relative, path)


def _refuse(error: OSError) -> None:
    raise InputError(f"{error.filename}: {error.strerror}") from error


def _problem(path: Path, relative: str) -> Bams3Error | None:
    """Return why a name below a folder cannot be uploaded."""
    try:
        relative.encode()
    except UnicodeEncodeError:
        return InputError(f"{os.fsencode(path)!r}: is not UTF-8, so it cannot be a key")
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return NotFoundError(f"{path}: a link to nothing", "mend it, or --exclude it")
    if stat.S_ISDIR(mode):
        return InputError(f"{path}: a link to a folder is not followed", "name it, or --exclude it")
    if not stat.S_ISREG(mode):
        return InputError(f"{path}: neither file nor folder", "--exclude it")
    return None


def objects_below(
    bucket: Bucket,
    prefix: str,
    wanted: Filter = Filter(),
) -> Iterator[tuple[str, ObjectInfo]]:
    """Yield relative name and description of each object below a prefix that ends in `/` or is "".

    Markers of folders (keys that end in `/`) are no files.
    """
    for info in bucket.list(prefix):
        name = info.key[len(prefix) :]
        if name and not name.endswith("/") and wanted.takes(name):
            yield name, info


def local_path(folder: Path, name: str) -> Path:
    """Return where an object is put below a folder.

    Raises:
        InputError: The name leads out of the folder, or is none for a file.
    """
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts) or "\0" in name:
        raise InputError(f"{name!r}: not a name for a file below {folder}", "download it by itself")
    return folder.joinpath(*parts)
