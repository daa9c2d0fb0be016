"""Tickets and data of htsget: which blocks make up an answer, and the bytes of each.

An answer is one valid file in the order of the stored one, each record once. Whole files come as
they are, in spans of bytes. Everything else is cut out and compressed anew: header, then records,
then the end-of-file marker. What htslib alone can write comes as one block.

Blocks are links which carry what they allow, signed and with an end; the header and small things
lie in the ticket itself.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from bams3 import _core
from bams3.errors import NotFoundError, RegionError
from bams3.reads.compressed import END_OF_FILE
from bams3.regions import EVERYTHING, UNPLACED, Region, by_contig, merge_intervals, parse_region
from bams3.server import children
from bams3.server.htsget import OPEN, Asked, HtsgetError, Query, answer
from bams3.server.loci import HEADER
from bams3.server.messages import Refusal, Response
from bams3.server.resources import BINARY
from bams3.server.sources import Want

if TYPE_CHECKING:
    from bams3.server.auth import Links, User
    from bams3.server.catalog import Catalog
    from bams3.server.sources import Source

LIFETIME = 3600.0
"""Seconds for which a link is good."""
SPAN = 1 << 30
REGIONS_A_LINK = 50
MAX_CONVERTED_REGIONS = 200
INLINE = 64 << 10
_LEVEL = 1
_PIECE = 1 << 20
Part = Mapping[str, Any]


class Told(NamedTuple):
    """An answer, and what of which file is in it, for the audit log.

    Attributes:
        response: Status 200.
        key: Root and name of the file or dataset.
        etag: Its version.
        spans: Bytes [start, end) of the file, where it comes as it is stored.
        regions: Else texts of regions; empty where nothing of the file is in the answer.
    """

    response: Response
    key: str
    etag: str
    spans: tuple[tuple[int, int], ...] = ()
    regions: tuple[str, ...] = ()


class Htsget:
    """Answers tickets and data of one server."""

    def __init__(self, catalog: Catalog, links: Links) -> None:
        self._catalog, self._links = catalog, links

    # ---- tickets ---------------------------------------------------------------------------------
    def ticket(self, query: Query, identifier: str, base: str, user: User) -> Told:
        """Return a ticket.

        Args:
            query: What is asked for.
            identifier: Root and name, decoded.
            base: Scheme and host of this server, as clients reach it.
            user: Whose rights the links carry.

        Raises:
            HtsgetError: There is no such thing, or no right to it.
        """
        try:
            source = self._catalog.open(query.kind, query.format, identifier)
            with closing(source):
                parts = _allowed_parts(query, source, user)
        except NotFoundError as error:
            raise HtsgetError("NotFound", error.message) from error
        urls = [self._url(part, query, identifier, base, user, source.etag) for part in parts]
        inside = any(part.get("data") not in (None, END_OF_FILE) for part in parts)
        response = answer({"format": query.format, "urls": urls})
        regions = (HEADER,) if inside else ()
        return Told(response, _key(identifier, source), source.etag, regions=regions)

    def _url(
        self, part: Part, query: Query, identifier: str, base: str, user: User, etag: str
    ) -> dict[str, Any]:
        shown = {"class": part["class"]} if "class" in part else {}
        if "data" in part:
            return {"url": data_uri(part["data"]), **shown}
        path = f"/htsget/{query.kind}/{quote(identifier)}"
        extra = {**_packed(query), **part, "etag": etag}
        ticket = self._links.ticket(user, [path], LIFETIME, extra=extra)
        return {"url": f"{base}{path}?ticket={quote(ticket)}", **shown}

    # ---- data ------------------------------------------------------------------------------------
    def data(self, kind: str, identifier: str, payload: Part, head: bool = False) -> Told:
        """Return the bytes of a link, whose signature is right, when the first of them are there.

        Raises:
            Refusal: 404 or 409; the file is gone, or another.
        """
        query = _unpacked(kind, payload)
        try:
            source = self._catalog.open(kind, query.format, identifier)
        except NotFoundError as error:
            raise Refusal(404, error.message, "ask for a new ticket") from error
        if source.etag != payload["etag"]:
            source.close()
            raise Refusal(409, f"{identifier} was replaced", "ask for a new ticket")
        pieces, length = _pieces(query, source, payload)
        stream = _closing(iter(()) if head else pieces, source.close)
        first = next(stream, b"")
        headers = {"Content-Type": BINARY, "Cache-Control": "private, no-transform"}
        response = Response(200, headers, pieces=_Begun(first, stream), length=length)
        key = _key(identifier, source)
        if payload["part"] == "span":
            return Told(response, key, source.etag, (tuple(payload["span"]),))
        return Told(response, key, source.etag, regions=_regions(source, payload))


def _key(identifier: str, source: Source) -> str:
    """Return root and name of the file or dataset that an id means."""
    if source.raw is None:
        return f"{identifier.removesuffix('.bams3')}.bams3"
    return f"{identifier.rpartition('/')[0]}/{source.raw[1].name}"


def _regions(source: Source, payload: Part) -> tuple[str, ...]:
    """Return the places of a link's records, as texts of regions."""
    if payload.get("class") == "header":
        return (HEADER,)
    if payload.get("wants") is None:
        return (str(EVERYTHING),)
    names = {tid: name for name, tid in source.contigs.items()}
    return tuple(
        str(Region(names[tid], start, None if end >= OPEN else end)) if tid >= 0 else str(UNPLACED)
        for tid, intervals, _ in map(_want, payload["wants"])
        for start, end in intervals or ((0, OPEN),)
    )


def data_uri(data: bytes) -> str:
    """Return a data URI; without a media type, which clients stumble over."""
    return "data:;base64," + base64.b64encode(data).decode()


class _Begun(Iterator[bytes]):
    """The first piece, which is there already, and the others; closing it closes those."""

    def __init__(self, first: bytes, rest: Generator[bytes]) -> None:
        self._first, self._rest = first, rest

    def __next__(self) -> bytes:
        first, self._first = self._first, b""
        return first or next(self._rest)

    def close(self) -> None:
        self._rest.close()


def _closing(pieces: Iterable[bytes], close: Callable[[], None]) -> Generator[bytes]:
    try:
        yield from pieces
    finally:
        close()


# ---- what a ticket consists of -------------------------------------------------------------------
def _allowed_parts(query: Query, source: Source, user: User) -> list[Part]:
    _check_rights(query, user, source.contigs)
    wants = _wants(query, source.contigs)
    if wants:
        source.prepare()
    return list(_parts(query, source, wants))


def _parts(query: Query, source: Source, wants: list[Want] | None) -> Iterator[Part]:
    """Yield the blocks of an answer: data at hand, or what a link says."""
    if query.format != source.native:
        yield from _converted_parts(query, source, wants)
        return
    if wants is None and _is_as_stored(query, source):
        yield from _stored_parts(source)
        return
    head = _core.bgzf_deflate(source.head, 6)
    inline = len(head) <= INLINE
    yield {"class": "header", **({"data": head} if inline else {"part": "header"})}
    if not query.header:
        for group in _groups(wants):
            yield {"class": "body", "part": "body", "wants": group}
    yield {"class": "header" if query.header else "body", "data": END_OF_FILE}


def _is_as_stored(query: Query, source: Source) -> bool:
    as_is = source.raw is not None and source.raw[0] == query.format
    return as_is and not query.header and not query.cuts_records


def _stored_parts(source: Source) -> Iterator[Part]:
    assert source.raw is not None
    size = source.raw[1].size
    for start in range(0, max(size, 1), SPAN):
        yield {"part": "span", "span": (start, min(start + SPAN, size))}


def _converted_parts(query: Query, source: Source, wants: list[Want] | None) -> Iterator[Part]:
    if wants is None and _is_as_stored(query, source):
        yield from _stored_parts(source)
        return
    if wants is not None and sum(len(want.intervals) for want in wants) > MAX_CONVERTED_REGIONS:
        raise HtsgetError(
            "PayloadTooLarge",
            f"more than {MAX_CONVERTED_REGIONS} separate regions as {query.format}: "
            f"ask for {source.native}, or in several requests",
        )
    part = {"part": "whole", "wants": wants if wants is None else list(wants)}
    yield {**part, "class": "header"} if query.header else part


def _groups(wants: list[Want] | None) -> Iterator[list[Want] | None]:
    """Split what is wanted so that no link becomes too long."""
    if wants is None:
        yield None
        return
    held: list[Want] = []
    for want in wants:
        for at in range(0, max(len(want.intervals), 1), REGIONS_A_LINK):
            intervals = want.intervals[at : at + REGIONS_A_LINK]
            # What also overlaps the region before lies in the link before.
            first = want.intervals[at - 1][1] if at else want.first
            if sum(len(w.intervals) for w in held) + len(intervals) > REGIONS_A_LINK:
                yield held
                held = []
            held.append(Want(want.tid, intervals, first))
    if held:
        yield held


def _wants(query: Query, contigs: Mapping[str, int]) -> list[Want] | None:
    """Return what is wanted, in file order, no base twice."""
    if query.regions is None:
        return None
    chosen: dict[int, list[tuple[int, int]]] = {}
    for name, start, end in query.regions:
        if name != "*" and name not in contigs:
            raise HtsgetError("NotFound", f"there is no reference {name[:80]!r}")
        tid = -1 if name == "*" else contigs[name]
        chosen.setdefault(tid, [])
        if start < end and tid >= 0:
            chosen[tid].append((start, end))
    placed = [
        Want(tid, tuple(merge_intervals(chosen[tid])))
        for tid in sorted(chosen)
        if tid >= 0 and chosen[tid]
    ]
    return placed + ([Want(-1, ())] if -1 in chosen else [])


def _check_rights(query: Query, user: User, contigs: Mapping[str, int]) -> None:
    """Let those with rights to regions have nothing else; regions are texts as for samtools."""
    if user.regions is None or query.header:
        return
    rights: list[Region] = []
    for text in user.regions:
        with suppress(RegionError):  # of another genome
            rights.append(parse_region(text, contigs))
    allowed = by_contig(rights)
    for name, start, end in query.regions or (Asked("*"),):
        inside = any(low <= start and end <= high for low, high in allowed.get(name, ()))
        if not inside and not (name == "*" and UNPLACED in rights):
            raise HtsgetError("PermissionDenied", "your rights are limited to other regions")


def _packed(query: Query) -> dict[str, Any]:
    names = ("format", "fields", "tags", "notags")
    return {
        name: value for name, value in asdict(query).items() if name in names and value is not None
    }


def _unpacked(kind: str, payload: Part) -> Query:
    lists = {name: tuple(payload[name]) for name in ("fields", "tags", "notags") if name in payload}
    return Query(kind, payload["format"], payload.get("class") == "header", None, **lists)


# ---- the bytes -----------------------------------------------------------------------------------
def _pieces(query: Query, source: Source, payload: Part) -> tuple[Iterable[bytes], int | None]:
    """Return the bytes of a link, and how many where that is known."""
    wants = payload.get("wants")
    wanted = None if wants is None else [_want(want) for want in wants]
    if payload["part"] == "span":
        assert source.raw is not None
        start, end = payload["span"]
        return source.raw[1].read(start, end), end - start
    if payload["part"] == "header":
        head = _core.bgzf_deflate(source.head, 6)
        return [head], len(head)
    records = _projected(query, source.records([] if query.header else wanted))
    if payload["part"] == "whole":
        return _converted(query.format, source, records), None
    return _deflated(records), None


def _want(value: Sequence[Any]) -> Want:
    tid, intervals, first = value
    return Want(tid, tuple((start, end) for start, end in intervals), first)


def _projected(query: Query, records: Iterator[bytes]) -> Iterator[bytes]:
    """Leave out fields and tags."""
    if query.kind != "reads" or not query.cuts_records:
        return records
    tags = None if query.tags is None else [tag.encode() for tag in query.tags]
    notags = [tag.encode() for tag in query.notags]
    fields = query.kept_fields
    return (_core.project_records(block, fields, tags, notags) for block in records)


def _deflated(records: Iterable[bytes]) -> Iterator[bytes]:
    """Compress, in pieces that are neither tiny nor large."""
    held = b""
    for block in records:
        held += block
        if len(held) >= _PIECE:
            yield _core.bgzf_deflate(held, _LEVEL)
            held = b""
    if held:
        yield _core.bgzf_deflate(held, _LEVEL)


def _converted(format: str, source: Source, records: Iterable[bytes]) -> Iterator[bytes]:
    native = _file(source.head, records)
    if format == "CRAM":
        return children.to_cram(native, source.reference)
    return children.to_bcf(native) if format == "BCF" else children.to_vcf(native)


def _file(head: bytes, records: Iterable[bytes]) -> Iterator[bytes]:
    """Yield a whole file of the native format, not compressed, for a child."""
    yield _core.bgzf_store(head)
    for block in records:
        if block:
            yield _core.bgzf_store(block)
    yield END_OF_FILE
