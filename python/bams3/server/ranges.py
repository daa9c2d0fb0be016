"""What to answer to a request for something of known size and version (RFC 9110, 13 and 14).

Pure: header texts in, a plan out. Where the RFC leaves a choice, the answer is the one that no
known client turns against its user: a malformed Range is refused rather than ignored, since an
answer of 200 means a download of the whole file, and IGV sends the address to an outside service.

>>> plan(Conditions(range="bytes=990-5000"), Version(1000, '"x"', datetime(2026, 1, 1, tzinfo=UTC)))
Plan(status=206, spans=((990, 1000),))
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from functools import lru_cache
from typing import NamedTuple, TypeAlias

MOST_RANGES = 32
"""Ranges of one request; more are refused."""

Span: TypeAlias = tuple[int, int]
"""First byte and end, exclusive."""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_USUAL = re.compile("bytes=([0-9]{1,18})-([0-9]{1,18})")
_SPEC = re.compile(r"([0-9]*)-([0-9]*)")
_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
_TOO_LONG = 19
"""Numbers of so many digits lie beyond the end of every file."""


class Conditions(NamedTuple):
    """The headers that decide, each as it came, None where there was none."""

    range: str | None = None
    if_range: str | None = None
    if_match: str | None = None
    if_none_match: str | None = None
    if_modified_since: str | None = None
    if_unmodified_since: str | None = None


_UNCONDITIONAL = Conditions()[1:]


class Version(NamedTuple):
    """What is known of what is served: bytes, strong etag with its quotes, last modification."""

    size: int
    etag: str
    modified: datetime


class Plan(NamedTuple):
    """Status 200, 206, 304, 412 or 416, and the bytes that make up the body, in ascending order."""

    status: int
    spans: tuple[Span, ...] = ()

    @property
    def length(self) -> int:
        """Bytes of data to be sent, without what stands between the parts of a multipart body."""
        return sum(end - start for start, end in self.spans)


class _Malformed(Exception):
    """Not a Range header."""


def plan(asked: Conditions, version: Version, *, head: bool = False, first_block: int = 0) -> Plan:
    """Decide what to answer.

    Args:
        asked: The request's headers.
        version: Of what was asked for.
        head: The method is HEAD, for which Range is not defined.
        first_block: Where positive, a GET without Range is answered with the first so many bytes,
            as older servers did; never the default.

    Returns:
        The plan; a HEAD request has the spans of the GET that it stands for.
    """
    if asked[1:] != _UNCONDITIONAL:
        failed = _precondition(asked, version)
        if failed:
            return Plan(failed)
    whole = Plan(200, ((0, version.size),))
    if head or not version.size:
        return whole
    if asked.range is None:
        return Plan(206, ((0, min(first_block, version.size)),)) if first_block else whole
    if asked.if_range is not None and not _if_range(asked.if_range, version):
        return whole
    try:
        spans = parse(asked.range, version.size)
    except _Malformed:
        return Plan(416)
    if spans is None:
        return whole
    return Plan(206, spans) if spans else Plan(416)


def parse(text: str, size: int) -> tuple[Span, ...] | None:
    """Return the satisfiable ranges of a Range header, ascending, those that meet merged.

    Returns:
        None for a unit other than bytes, which is to be ignored.
    """
    usual = _USUAL.fullmatch(text)
    if usual:
        start, last = int(usual[1]), int(usual[2])
        if start <= last:
            return ((start, min(last + 1, size)),) if start < size else ()
    unit, equals, specs = text.partition("=")
    if not equals or not _TOKEN.fullmatch(unit):
        raise _Malformed
    if unit.lower() != "bytes":
        return None
    items = [item for item in (item.strip(" \t") for item in specs.split(",")) if item]
    if not 1 <= len(items) <= MOST_RANGES:
        raise _Malformed
    return _merged(span for item in items if (span := _span(item, size)))


def _span(text: str, size: int) -> Span | None:
    """Return one range, clamped; None where it cannot be satisfied."""
    match = _SPEC.fullmatch(text)
    if match is None or text == "-":
        raise _Malformed
    first, last = match.groups()
    if not first:
        count = _number(last)
        return (max(0, size - count), size) if count else None
    start, end = _number(first), _number(last) + 1 if last else size
    if last and _less(last, first):
        raise _Malformed
    return (start, min(end, size)) if start < size else None


def _number(digits: str) -> int:
    """Return the number; anything from 10^19 on is as good as that."""
    digits = digits.lstrip("0")
    return int(digits or 0) if len(digits) <= _TOO_LONG else 10**_TOO_LONG


def _less(one: str, other: str) -> bool:
    one, other = one.lstrip("0"), other.lstrip("0")
    return (len(one), one) < (len(other), other)


def _merged(spans: Iterable[Span]) -> tuple[Span, ...]:
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return tuple(merged)


# ---- conditions ----------------------------------------------------------------------------------
def _precondition(asked: Conditions, version: Version) -> int:
    """Return the status of a precondition that fails, else 0 (RFC 9110, 13.2.2)."""
    if asked.if_match is not None:
        if not _matches(asked.if_match, version.etag, weak=False):
            return 412
    elif asked.if_unmodified_since is not None:
        date = _date(asked.if_unmodified_since)
        if date and _seconds(version.modified) > date:
            return 412
    if asked.if_none_match is not None:
        return 304 if _matches(asked.if_none_match, version.etag, weak=True) else 0
    if asked.if_modified_since is not None:
        date = _date(asked.if_modified_since)
        if date and _seconds(version.modified) <= date:
            return 304
    return 0


def _matches(text: str, etag: str, *, weak: bool) -> bool:
    """Whether a list of etags, or `*`, names this one."""
    if text.strip() == "*":
        return True
    tags = _TAG.findall(text)
    return etag in ([tag.removeprefix("W/") for tag in tags] if weak else tags)


def _if_range(text: str, version: Version) -> bool:
    """Whether the client's parts are of this version: by strong etag, or the very date."""
    text = text.strip()
    if text.startswith(('"', "W/")):
        return text == version.etag
    date = _date(text)
    return date is not None and date == _seconds(version.modified)


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _seconds(date: datetime) -> datetime:
    return date.replace(microsecond=0)


# ---- headers and parts ---------------------------------------------------------------------------
@lru_cache(1024)
def http_date(date: datetime) -> str:
    """Return a date as HTTP writes it: `Sun, 06 Nov 1994 08:49:37 GMT`."""
    return format_datetime(date.astimezone(UTC), usegmt=True)


def content_range(span: Span, size: int) -> str:
    """Return the text of Content-Range for a span."""
    return f"bytes {span[0]}-{span[1] - 1}/{size}"


def multipart(found: Plan, size: int, media_type: str, boundary: str) -> list[bytes | Span]:
    """Return the body of an answer of several spans: texts, and the spans between them."""
    body: list[bytes | Span] = []
    for number, span in enumerate(found.spans):
        head = f"{'' if number == 0 else chr(13) + chr(10)}--{boundary}\r\n"
        head += f"Content-Type: {media_type}\r\nContent-Range: {content_range(span, size)}\r\n\r\n"
        body += [head.encode(), span]
    return [*body, f"\r\n--{boundary}--\r\n".encode()]


def body_length(body: Iterable[bytes | Span]) -> int:
    """Return the bytes of a body of texts and spans."""
    return sum([len(part) if isinstance(part, bytes) else part[1] - part[0] for part in body])
