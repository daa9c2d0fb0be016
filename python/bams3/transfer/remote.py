"""Files on web and FTP servers as sources.

A range is asked for on condition that the file is still the one that was found at first (If-Range),
and anything but that range (206) is refused. A server that knows no ranges is read once, as a
stream. A connection that breaks is taken up where it broke. Web connections are kept; libcurl ends
an FTP connection with each range.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pycurl

from bams3.config import StorageOptions
from bams3.errors import Bams3Error, InputError, NotFoundError, PermissionDenied, StorageError
from bams3.storage.objects import Reader
from bams3.storage.remote import attempts
from bams3.transfer.addresses import Remote, base_name
from bams3.transfer.curl import Answer, Channel, CurlError

_MISSING = {pycurl.E_REMOTE_FILE_NOT_FOUND, pycurl.E_FTP_COULDNT_RETR_FILE}
_DENIED = {pycurl.E_LOGIN_DENIED, pycurl.E_REMOTE_ACCESS_DENIED}
_PERMANENT = {
    pycurl.E_URL_MALFORMAT,
    pycurl.E_UNSUPPORTED_PROTOCOL,
    pycurl.E_PEER_FAILED_VERIFICATION,
    pycurl.E_SSL_CACERT_BADFILE,
    pycurl.E_TOO_MANY_REDIRECTS,
    *_MISSING,
    *_DENIED,
}
_TRANSIENT_STATUS = {408, 425, 429, 500, 502, 503, 504}


@dataclass(frozen=True, slots=True)
class _Found:
    """What a server says of a file."""

    size: int | None
    ranges: bool
    etag: str = ""
    modified: str = ""
    digests: Mapping[str, str] = field(default_factory=dict)

    @property
    def validator(self) -> str:
        """What If-Range may say: a strong ETag, else the time of the last change."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.modified


class RemoteSource:
    """A file at an http(s):// or ftp(s):// address; see `Source` for the methods.

    Raises:
        NotFoundError: There is no such file.
        PermissionDenied: It may not be read.
        StorageError: The server cannot be reached, or fails.
    """

    def __init__(self, address: Remote, options: StorageOptions | None = None) -> None:
        self.url = str(address)
        self.name = base_name(address)
        self._address = address.url
        self._is_ftp = urlsplit(address.url).scheme.lower().startswith("ftp")
        self.options = options or StorageOptions()
        self._idle: list[Channel] = []
        self._found = self._ask()

    @property
    def size(self) -> int | None:
        """Bytes; None where the server does not tell."""
        return self._found.size

    @property
    def seekable(self) -> bool:
        """Whether the server gives ranges."""
        return self._found.ranges

    @property
    def digests(self) -> Mapping[str, str]:
        """Digests that the server states: hex by algorithm."""
        return self._found.digests

    def fingerprint(self) -> str:
        """Ask the server now for size, ETag and time of the last change."""
        found = self._ask()
        return f"{found.size} {found.etag} {found.modified}"

    @contextmanager
    def open(self, start: int, end: int | None) -> Iterator[Reader]:
        """Return a reader of the bytes [start, end); its errors: InputError, StorageError."""
        reader = _Reader(self, start, self.size if end is None else end)
        try:
            yield reader
        finally:
            reader.close()

    @contextmanager
    def asked(self, span: str, *headers: str, head: bool = False) -> Iterator[Answer]:
        """Send one request; its connection is kept if the answer came to its end."""
        channel = self._idle.pop() if self._idle else Channel()
        timeout = self.options.timeout
        with Answer(channel, self._address, timeout, span, headers, head) as answer:
            yield answer
        if answer.is_whole:
            self._idle.append(channel)

    def _ask(self) -> _Found:
        """Ask what there is, again while the server fails."""
        failure: Bams3Error = StorageError(f"{self.url}: cannot be reached")
        for _ in attempts(self.options):
            try:
                return self._ask_ftp() if self._is_ftp else self._ask_http()
            except CurlError as error:
                failure = self.explained(error)
                if error.code in _PERMANENT:
                    break
            except StorageError as error:
                failure = error
                if isinstance(error, PermissionDenied):
                    break
        raise failure

    def _ask_http(self) -> _Found:
        with self.asked("0-0") as answer:
            headers, status = answer.headers, answer.status
            if status == 416 and headers.get("content-range") == "bytes */0":
                return _Found(0, True, headers.get("etag", ""), headers.get("last-modified", ""))
            self.check(status)
            ranges, size = status == 206, answer.length
            if ranges:
                size, _ = _content_range(headers, self.url)
                answer.drain()
            return _Found(
                size,
                ranges and size is not None,
                headers.get("etag", ""),
                headers.get("last-modified", ""),
                _digests(headers, whole=not ranges),
            )

    def _ask_ftp(self) -> _Found:
        with self.asked("", head=True) as answer:
            answer.drain()
            size, modified = answer.length, answer.filetime
        return _Found(size, self._can_restart(size), modified=str(modified))

    def _can_restart(self, size: int | None) -> bool:
        """Whether the server begins where it is told to (REST)."""
        if not size or size < 2:
            return size is not None
        try:
            with self.asked("1-1") as answer:
                answer.drain()
                return True
        except CurlError as error:
            if error.code == pycurl.E_FTP_COULDNT_USE_REST:
                return False
            raise

    @contextmanager
    def range(self, start: int, end: int | None) -> Iterator[Answer]:
        """Ask for [start, end) of the file as it was found."""
        validator = "" if self._is_ftp else self._found.validator
        condition = (f"If-Range: {validator}",) if validator else ()
        with self.asked(f"{start}-{'' if end is None else end - 1}", *condition) as answer:
            if not self._is_ftp:
                self._check_range(answer, start)
            yield answer

    def _check_range(self, answer: Answer, start: int) -> None:
        if answer.status in (200, 412, 416):
            raise self.changed()
        self.check(answer.status)
        size, first = _content_range(answer.headers, self.url)
        if size != self.size or answer.headers.get("etag", "") != self._found.etag:
            raise self.changed()
        if first != start:
            raise InputError(f"{self.url}: the server gave other bytes than were asked for")

    @contextmanager
    def whole(self) -> Iterator[Answer]:
        """Ask for all of the file, in order."""
        with self.asked("") as answer:
            if not self._is_ftp:
                self.check(answer.status)
                if answer.headers.get("etag", "") != self._found.etag:
                    raise self.changed()
            yield answer

    def check(self, status: int) -> None:
        """Raise what an HTTP status other than success means."""
        if status in (200, 206):
            return
        if status in (404, 410):
            raise NotFoundError(f"{self.url}: not found ({status})")
        if status in (401, 403):
            raise PermissionDenied(f"{self.url}: may not be read ({status})")
        if status in _TRANSIENT_STATUS:
            raise StorageError(f"{self.url}: the server answers {status}")
        raise InputError(f"{self.url}: the server answers {status}")

    def changed(self) -> InputError:
        """Return the error that says so."""
        return InputError(f"{self.url}: changed while it was read", "start again, with --force")

    def explained(self, error: CurlError) -> Bams3Error:
        """Return what an error of libcurl means."""
        if error.code in _MISSING:
            return NotFoundError(f"{self.url}: not found")
        if error.code in _DENIED:
            return PermissionDenied(f"{self.url}: may not be read")
        return StorageError(f"{self.url}: {_without_secrets(str(error), self._address)}")


class _Reader:
    """The bytes [start, end) in order, over as many connections as it takes."""

    def __init__(self, source: RemoteSource, start: int, end: int | None) -> None:
        self._source, self._at, self._end = source, start, end
        self._connection = ExitStack()
        self._answer: Answer | None = None

    def readinto(self, buffer: memoryview, /) -> int:
        if self._end is not None:
            buffer = buffer[: self._end - self._at]
        failure: Bams3Error = StorageError(f"{self._source.url}: cannot be read")
        for _ in attempts(self._source.options):
            try:
                return self._read(buffer) if len(buffer) else 0
            except CurlError as error:
                failure, again = self._source.explained(error), error.code not in _PERMANENT
            except StorageError as error:
                failure, again = error, not isinstance(error, PermissionDenied)
            self.close()
            if not again or not (self._source.seekable or self._at == 0):
                break
        raise failure

    def _read(self, buffer: memoryview) -> int:
        if self._answer is None:
            source, end = self._source, self._end
            request = source.range(self._at, end) if source.seekable else source.whole()
            self._answer = self._connection.enter_context(request)
        count = self._answer.readinto(buffer)
        if not count and self._end is not None:
            raise InputError(f"{self._source.url}: ended at byte {self._at}, not {self._end}")
        self._at += count
        return count

    def close(self) -> None:
        """Let go of the connection."""
        self._answer = None
        self._connection.close()


def _content_range(headers: Mapping[str, str], url: str) -> tuple[int | None, int]:
    """Return size of the file and first byte of the answer."""
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", headers.get("content-range", ""))
    if found is None:
        raise InputError(f"{url}: the server answers without a range")
    return None if found[3] == "*" else int(found[3]), int(found[1])


def _digests(headers: Mapping[str, str], whole: bool) -> dict[str, str]:
    """Return the MD5 that a server states: Content-MD5 (of an answer), x-goog-hash (of a file)."""
    stated = re.search(r"md5=([\w+/=]{24})", headers.get("x-goog-hash", ""))
    text = stated[1] if stated else headers.get("content-md5", "") if whole else ""
    try:
        digest = base64.b64decode(text, validate=True)
    except ValueError:
        return {}
    return {"md5": digest.hex()} if len(digest) == 16 else {}


def _without_secrets(text: str, url: str) -> str:
    password = urlsplit(url).password
    return text.replace(password, "...") if password else text
