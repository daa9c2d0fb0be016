"""What the names of sources and destinations mean.

-                              standard input, standard output
/a/b  ./a  a                   a path: begins with `.` or `/`, or has no colon; `~` is a name
file:/a  file:///a  file://localhost/a     the same, with %XX decoded
http:// https:// ftp:// ftps://            a source on another server
s3://BUCKET/KEY                an object; KEY is taken as it is: `%`, `#`, `?` are characters
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import unquote, urlsplit

from bams3.errors import DestinationUrlError, S3UrlError, SourceUrlError

RESERVED = (".partial", ".progress")
"""Ends of names that downloads use for what is unfinished."""
REMOTE_SCHEMES = ("http", "https", "ftp", "ftps")


@dataclass(frozen=True, slots=True)
class Standard:
    """Standard input or output."""

    def __str__(self) -> str:
        return "-"


@dataclass(frozen=True, slots=True)
class FilePath:
    """A local file, by its absolute path."""

    path: str

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True, slots=True)
class Remote:
    """A file on a web or FTP server. Its str hides a password and a query, which may be a grant."""

    url: str

    def __str__(self) -> str:
        parts = urlsplit(self.url)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


@dataclass(frozen=True, slots=True)
class S3Object:
    """An object, or a prefix, of a bucket; the key is literal."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


Source: TypeAlias = Standard | FilePath | Remote | S3Object
Target: TypeAlias = Standard | FilePath


def parse_source(text: str) -> Source:
    """Return what a source's name means.

    Raises:
        SourceUrlError: Empty, another machine's file, or a scheme that is not read.
        S3UrlError: Not s3://BUCKET/KEY.
    """
    if not text:
        raise SourceUrlError("the source is empty")
    if text == "-":
        return Standard()
    scheme = _scheme(text)
    if scheme == "s3":
        return parse_s3(text)
    if scheme in REMOTE_SCHEMES:
        return _remote(text)
    if scheme is not None and scheme != "file":
        raise SourceUrlError(
            f"{text}: {scheme}: is not read here",
            f"a path, or file, http, https, ftp, s3; a file of this name: ./{text}",
        )
    return FilePath(_path(text))


def parse_upload_target(text: str, source: Source) -> S3Object:
    """Return where an upload goes; the source's name is added to an open-ended key.

    Raises:
        DestinationUrlError: Not s3://, or no name where the source has none.
        S3UrlError: Not s3://BUCKET/KEY.
    """
    if _scheme(text) != "s3":
        raise DestinationUrlError(f"{text or 'empty'}: not s3://BUCKET/KEY")
    target = parse_s3(text)
    if target.key and not target.key.endswith("/"):
        return target
    name = base_name(source)
    if not name:
        raise DestinationUrlError(f"{text}: the source has no name to add", "give a whole key")
    return S3Object(target.bucket, target.key + name)


def parse_download_target(text: str, source: S3Object) -> Target:
    """Return where a download goes; in a folder, to the name of the object.

    Raises:
        DestinationUrlError: Another scheme, a reserved name, or no name at all.
        SourceUrlError: A file of another machine.
    """
    if text == "-":
        return Standard()
    scheme = _scheme(text)
    if not text or scheme not in (None, "file"):
        raise DestinationUrlError(f"{text or 'empty'}: not a file", "downloads go to files, or -")
    path = _path(text)
    if text.endswith("/") or os.path.isdir(path):
        name = base_name(source)
        if name in ("", ".", ".."):
            raise DestinationUrlError(f"{source}: has no file name", "name the file")
        path = os.path.join(path, name)
    if path.endswith(RESERVED):
        raise DestinationUrlError(f"{path}: .partial and .progress are for unfinished downloads")
    return FilePath(path)


def parse_s3(text: str) -> S3Object:
    """Return bucket and key of s3://BUCKET/KEY; the key may be empty.

    Raises:
        S3UrlError: Another scheme, no bucket, or no slash after it.
    """
    bucket, slash, key = text[len("s3://") :].partition("/")
    if not text.startswith("s3://") or not bucket or not slash:
        raise S3UrlError(f"{text or 'empty'}: not s3://BUCKET/KEY")
    if len(key.encode(errors="surrogateescape")) > 1024:
        raise S3UrlError(f"{text[:60]}...: the key is longer than 1024 bytes")
    return S3Object(bucket, key)


def parse_object(text: str) -> S3Object:
    """Return one object's address, which ends neither with its bucket nor with a slash.

    Raises:
        DestinationUrlError: It is open-ended.
        S3UrlError: Not s3://BUCKET/KEY.
    """
    place = parse_s3(text)
    if not place.key or place.key.endswith("/"):
        hint = "name one object; --recursive takes all below it (of cancel: --prefix)"
        raise DestinationUrlError(f"{text}: no object's name", hint)
    return place


def base_name(source: Source) -> str:
    """Return the last part of a name; empty where there is none."""
    if isinstance(source, FilePath):
        return os.path.basename(source.path)
    if isinstance(source, S3Object):
        return source.key.rpartition("/")[2]
    if isinstance(source, Remote):
        return unquote(urlsplit(source.url).path).rpartition("/")[2]
    return ""


def _scheme(text: str) -> str | None:
    """Return the scheme of an address; None for a path."""
    if text.startswith((".", "/")) or ":" not in text:
        return None
    return text.partition(":")[0].lower()


def _path(text: str) -> str:
    """Return the absolute path of a path or a file: address."""
    if _scheme(text) is None:
        return os.path.abspath(text)
    rest = text[len("file:") :]
    if rest.startswith("//"):
        host, slash, path = rest[2:].partition("/")
        if host not in ("", "localhost") or not slash:
            raise SourceUrlError(
                f"{text}: a file of the machine {host!r}", f"file:///{host}{slash}{path}"
            )
        rest = slash + path
    if not rest.startswith("/"):
        raise SourceUrlError(f"{text}: not an absolute path", "file:///PATH, or the path alone")
    return os.path.abspath(unquote(rest, errors="surrogateescape"))


def _remote(text: str) -> Remote:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as error:
        raise SourceUrlError(f"{text}: {error}") from error
    if not parts.hostname:
        raise SourceUrlError(f"{text}: no host")
    return Remote(text)
