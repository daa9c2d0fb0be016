"""The GA4GH htsget protocol, version 1.3: what is asked for, and what is answered.

Nothing here touches a file: `parse` turns a request into a `Query`, `HtsgetError` is what goes
wrong in the protocol's words. `bams3.server.htsget_data` finds the data.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import bams3
from bams3.server.messages import Request, Response

VERSION = "1.3.0"
MEDIA_TYPE = f"application/vnd.ga4gh.htsget.v{VERSION}+json; charset=utf-8"
FORMATS = {"reads": ("BAM", "CRAM"), "variants": ("VCF", "BCF")}
FIELDS = ("QNAME", "FLAG", "RNAME", "POS", "MAPQ", "CIGAR", "RNEXT", "PNEXT", "TLEN", "SEQ", "QUAL")
STATUS = {
    "InvalidAuthentication": 401,
    "PermissionDenied": 403,
    "NotFound": 404,
    "PayloadTooLarge": 413,
    "UnsupportedFormat": 400,
    "InvalidInput": 400,
    "InvalidRange": 400,
}
MAX_BODY = 1 << 20
MAX_REGIONS = 1000
OPEN = (1 << 32) - 1
"""The largest end, which stands for none."""
_TAG = re.compile(r"[A-Za-z][A-Za-z0-9]")
_KNOWN = ("format", "class", "referenceName", "start", "end", "fields", "tags", "notags")


class HtsgetError(Exception):
    """An error with a name of the protocol."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name, self.message = name, message

    def response(self) -> Response:
        """Return it as the protocol wants it."""
        return answer({"error": self.name, "message": self.message}, STATUS[self.name])


class Asked(NamedTuple):
    """A region as asked for: name of the reference, start, end; 0-based half-open."""

    name: str
    start: int = 0
    end: int = OPEN


@dataclass(frozen=True)
class Query:
    """What is asked for.

    Attributes:
        kind: "reads" or "variants".
        format: One of `FORMATS[kind]`.
        header: Only the header.
        regions: None for everything.
        fields: Names of the fields to keep; None for all.
        tags: Tags to keep; None for all.
        notags: Tags to leave out.
    """

    kind: str
    format: str
    header: bool = False
    regions: tuple[Asked, ...] | None = None
    fields: tuple[str, ...] | None = None
    tags: tuple[str, ...] | None = None
    notags: tuple[str, ...] = ()

    @property
    def cuts_records(self) -> bool:
        """Whether records lose anything."""
        return self.fields is not None or self.tags is not None or bool(self.notags)

    @property
    def kept_fields(self) -> int:
        """Bits of the fields to keep, in the order of SAM."""
        return sum(
            1 << at for at, f in enumerate(FIELDS) if self.fields is None or f in self.fields
        )


def parse(kind: str, request: Request) -> Query:
    """Return what a GET or POST asks for.

    Raises:
        HtsgetError: It is against the protocol.
    """
    return _parse_post(kind, request) if request.method == "POST" else _parse_get(kind, request)


def answer(content: Mapping[str, Any], status: int = 200) -> Response:
    """Return a ticket or an error."""
    body = json.dumps({"htsget": content}, separators=(",", ":")).encode()
    return Response(status, {"Content-Type": MEDIA_TYPE, "Cache-Control": "no-store"}, body)


def service_info(kind: str, base: str) -> Response:
    """Describe the service, as GA4GH service-info 1.0 wants it."""
    info = {
        "id": f"org.bams3.htsget.{kind}",
        "name": f"bams3 htsget {kind}",
        "type": {"group": "org.ga4gh", "artifact": "htsget", "version": VERSION},
        "organization": {"name": "bams3", "url": base},
        "version": bams3.__version__,
        "htsget": {
            "datatype": kind,
            "formats": list(FORMATS[kind]),
            "fieldsParameterEffective": kind == "reads",
            "tagsParametersEffective": kind == "reads",
        },
    }
    body = json.dumps(info, separators=(",", ":")).encode()
    return Response(200, {"Content-Type": "application/json"}, body)


# ---- GET -----------------------------------------------------------------------------------------
def _parse_get(kind: str, request: Request) -> Query:
    pairs = parse_qsl(request.query, keep_blank_values=True)
    given: dict[str, str] = {}
    for name, value in pairs:
        if name in _KNOWN and given.setdefault(name, value) is not value:
            raise HtsgetError("InvalidInput", f"{name} is given twice")
    lists = ("fields", "tags", "notags")
    split: dict[str, Any] = {name: _split(given[name]) for name in lists if name in given}
    return _query(kind, {**given, **split}, _region_of_get(given))


def _split(text: str) -> list[str]:
    return text.split(",") if text else []


def _region_of_get(given: Mapping[str, str]) -> tuple[Asked, ...] | None:
    name = given.get("referenceName")
    start, end = (_number(given[key], key) if key in given else None for key in ("start", "end"))
    if name is None and start is None and end is None:
        return None
    if name is None:
        raise HtsgetError("InvalidInput", "start and end need a referenceName")
    region = _region(name, start, end)
    if region.start > region.end:
        raise HtsgetError("InvalidRange", f"start {start} is greater than end {end}")
    return (region,)


def _number(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= OPEN):
        raise HtsgetError("InvalidInput", f"{name} is not an unsigned 32-bit number")
    return int(text)


# ---- POST ----------------------------------------------------------------------------------------
def _parse_post(kind: str, request: Request) -> Query:
    if request.query:
        raise HtsgetError("InvalidInput", "a POST takes no parameters in its address")
    if len(request.body) > MAX_BODY:
        raise HtsgetError("PayloadTooLarge", f"the body is larger than {MAX_BODY:,} bytes")
    try:
        given = json.loads(request.body or b"{}")
    except (ValueError, RecursionError) as error:
        raise HtsgetError("InvalidInput", f"the body is not JSON: {error}") from error
    if not isinstance(given, dict):
        raise HtsgetError("InvalidInput", "the body is not a JSON object")
    regions = _regions_of_post(given["regions"]) if "regions" in given else None
    return _query(kind, given, regions)


def _regions_of_post(regions: object) -> tuple[Asked, ...]:
    if not isinstance(regions, list) or not regions:
        raise HtsgetError("InvalidInput", "regions is not a list of at least one region")
    if len(regions) > MAX_REGIONS:
        raise HtsgetError("PayloadTooLarge", f"more than {MAX_REGIONS:,} regions")
    return tuple(map(_region_of_post, regions))


def _region_of_post(region: object) -> Asked:
    if not isinstance(region, dict) or not isinstance(region.get("referenceName"), str):
        raise HtsgetError("InvalidInput", "a region has no referenceName")
    start, end = region.get("start"), region.get("end")
    for name, value in (("start", start), ("end", end)):
        number = isinstance(value, int) and not isinstance(value, bool)
        if value is not None and not (number and 0 <= value <= OPEN):
            raise HtsgetError("InvalidInput", f"{name} is not an unsigned 32-bit number")
    asked = _region(region["referenceName"], start, end)
    if asked.start >= asked.end:
        raise HtsgetError("InvalidRange", f"start {start} is not less than end {end}")
    return asked


# ---- both ----------------------------------------------------------------------------------------
def _region(name: str, start: int | None, end: int | None) -> Asked:
    if not name:
        raise HtsgetError("InvalidInput", "referenceName is empty")
    if name == "*" and (start is not None or end is not None):
        raise HtsgetError("InvalidInput", "reads without a place have neither start nor end")
    return Asked(name, start or 0, OPEN if end is None else end)


def _query(kind: str, given: Mapping[str, Any], regions: tuple[Asked, ...] | None) -> Query:
    if regions and kind == "variants" and any(region.name == "*" for region in regions):
        raise HtsgetError("InvalidInput", "variants all have a place")
    query = Query(
        kind,
        _format(kind, given.get("format")),
        _is_header(given),
        regions,
        *_lists(given),
    )
    if query.fields is not None and set(query.fields) - set(FIELDS):
        raise HtsgetError("InvalidInput", f"fields are {', '.join(FIELDS)}")
    for tag in (*(query.tags or ()), *query.notags):
        if not _TAG.fullmatch(tag):
            raise HtsgetError("InvalidInput", f"{tag[:20]!r} is not the name of a tag")
    if set(query.tags or ()) & set(query.notags):
        raise HtsgetError("InvalidInput", "a tag is in both tags and notags")
    return query


def _format(kind: str, given: object) -> str:
    if given is None:
        return FORMATS[kind][0]
    if not isinstance(given, str) or given.upper() not in FORMATS[kind]:
        formats = " and ".join(FORMATS[kind])
        raise HtsgetError("UnsupportedFormat", f"{kind} come as {formats}")
    return given.upper()


def _is_header(given: Mapping[str, Any]) -> bool:
    if "class" not in given:
        return False
    if given["class"] != "header":
        raise HtsgetError("InvalidInput", "class can only be header")
    if any(name in given for name in (*_KNOWN, "regions") if name not in ("class", "format")):
        raise HtsgetError("InvalidInput", "class=header goes with format alone")
    return True


def _lists(
    given: Mapping[str, Any],
) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None, tuple[str, ...]]:
    fields, tags, notags = (_names(given, name) for name in ("fields", "tags", "notags"))
    return fields, tags, notags or ()


def _names(given: Mapping[str, Any], name: str) -> tuple[str, ...] | None:
    if name not in given:
        return None
    value: Sequence[object] = given[name]
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise HtsgetError("InvalidInput", f"{name} is not a list of names")
    return tuple(map(str, value))
