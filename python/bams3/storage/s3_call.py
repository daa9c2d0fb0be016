"""Requests to one S3 bucket: addressed, signed, repeated where that helps, refused in our words."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

from bams3._core import crc64nvme
from bams3.config import StorageOptions
from bams3.errors import Bams3Error, PermissionDenied, UsageError
from bams3.storage import sigv4
from bams3.storage.answer import Reply
from bams3.storage.credentials import chain
from bams3.storage.objects import Body, crc_text
from bams3.storage.s3_errors import Refusal, meaning
from bams3.storage.s3_xml import Answer
from bams3.storage.wire import (
    BUFFER,
    Attempts,
    Call,
    Sent,
    Wire,
    framed,
    is_final,
    lost,
)

_NOTHING: Mapping[str, str] = {}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

Recover = Callable[[Bams3Error], Reply | None]
"""Asked when a request is refused after an answer to it was lost: an answer, if it had arrived."""


@dataclass(slots=True)
class Ask:
    """A request before it has an address and a signature."""

    method: str
    key: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    payload: bytes = b""
    recover: Recover | None = None


class Caller:
    """Sends requests to one bucket; safe in several threads.

    Attributes:
        slow_down: Is called when S3 asks for fewer requests.
    """

    def __init__(self, name: str, options: StorageOptions) -> None:
        if not name or "/" in name:
            raise UsageError(f"{name!r} is not the name of a bucket")
        self._name, self._options = name, options
        self._chain = chain(options)
        self._endpoint = options.endpoint_url or self._chain.endpoint
        path_style = options.path_style
        self._path_style = bool(self._endpoint) or "." in name if path_style is None else path_style
        self._fixed_region = options.region or self._chain.region
        self._region = self._fixed_region or "us-east-1"
        self._guard = threading.Lock()
        self._places: dict[str, tuple[Wire, str, str]] = {}
        self.slow_down: Callable[[], None] = lambda: None

    @property
    def region(self) -> str:
        """The region that requests are signed for."""
        return self._region

    def send(self, ask: Ask) -> Reply:
        """Send a request without a body, or with a small one, and return a success."""

        def attempt() -> Reply:
            wire, call = self._address(ask, ask.payload)
            return wire.send(call)

        return self._repeat(attempt, ask)

    def send_body(
        self,
        ask: Ask,
        body: Body,
        passing: Callable[[int], None],
        sent: Sent,
        checked: bool = True,
    ) -> Reply:
        """Send a request with a body and return a success.

        Args:
            ask: The request.
            body: What to send; opened again for each attempt.
            passing: Is told the bytes that go out; negative where they have to go again.
            sent: Gets what was sent.
            checked: Whether the CRC64NVME goes with it.
        """

        def attempt() -> Reply:
            if sent.size:
                passing(-sent.size)
            sent.size = sent.crc64nvme = 0
            if checked and body.size <= BUFFER:
                return self._send_small(ask, body, passing, sent)
            more = _with_trailer(body.size, ask.headers) if checked else _bare(body.size)
            wire, call = self._address(ask, more=more)
            return wire.send_body(call, body, sent, passing, checked)

        return self._repeat(attempt, ask)

    def _send_small(
        self, ask: Ask, body: Body, passing: Callable[[int], None], sent: Sent
    ) -> Reply:
        """Send a body that fits into the buffer: its checksum goes before it, in the headers."""
        with self._place()[0].buffer() as buffer:
            return self._send_piece(ask, self._place()[0].load(body, buffer), passing, sent)

    def _send_piece(
        self, ask: Ask, piece: memoryview, passing: Callable[[int], None], sent: Sent
    ) -> Reply:
        passing(len(piece))
        sent.size, sent.crc64nvme = len(piece), crc64nvme(piece)
        wire, call = self._address(
            ask,
            more={
                **_bare(len(piece)),
                "x-amz-sdk-checksum-algorithm": "CRC64NVME",
                "x-amz-checksum-crc64nvme": crc_text(sent.crc64nvme),
            },
        )
        call.payload = piece
        return wire.send(call)

    def stream(self, ask: Ask, write: Callable[[memoryview], None]) -> Reply:
        """Send a request once and hand its answer's body to `write`; `OSError` may be raised."""
        wire, call = self._address(ask)
        return wire.receive(call, write)

    def refused(self, reply: Reply, key: str) -> tuple[Bams3Error, bool]:
        """Return the error that an answer is, and whether to try again; slow down if it says so."""
        refusal = refusal_of(reply)
        if self.follow(refusal):
            return meaning(refusal, self.url_of(key)), True
        if refusal.slow_down:
            self.slow_down()
        return meaning(refusal, self.url_of(key)), refusal.passing

    def url_of(self, key: str) -> str:
        """Return an address for messages."""
        return f"s3://{self._name}/{key}" if key else f"s3://{self._name}"

    def follow(self, refusal: Refusal) -> bool:
        """Turn to the region that an answer names, if it is another one."""
        if not refusal.elsewhere or refusal.region == self._region:
            return False
        self._region = refusal.region
        return True

    def close(self) -> None:
        """Close all connections."""
        with self._guard:
            places, self._places = self._places, {}
        for wire, _, _ in places.values():
            wire.close()

    # ---- attempts --------------------------------------------------------------------------------
    def _repeat(self, attempt: Callable[[], Reply], ask: Ask) -> Reply:
        attempts, uncertain, url = Attempts(self._options), False, self.url_of(ask.key)
        while True:
            try:
                reply = attempt()
            except Bams3Error:
                raise
            except OSError as error:
                failure: Bams3Error = lost(error, url)
                if is_final(error):
                    raise failure from error
                uncertain, again = True, True
            else:
                if reply.status < 300 and not _has_error(reply):
                    return reply
                failure, again = self.refused(reply, ask.key)
                uncertain = uncertain or (again and reply.status >= 500)
            if not again:
                found = ask.recover(failure) if uncertain and ask.recover else None
                if found:
                    return found
                raise failure
            attempts.failed(failure)

    # ---- addresses -------------------------------------------------------------------------------
    def _address(
        self, ask: Ask, payload: bytes = b"", more: Mapping[str, str] = _NOTHING
    ) -> tuple[Wire, Call]:
        """Return the way and what goes over it, with `more` headers."""
        wire, host, path = self._place()
        path += "/" + quote(ask.key, safe="/~") if ask.key or not self._path_style else ""
        query = sigv4.query_text(ask.query)
        headers = {"host": host, "user-agent": "bams3", **ask.headers, **more}
        if self._options.requester_pays:
            headers["x-amz-request-payer"] = "requester"
        if "x-amz-content-sha256" not in headers:
            headers["x-amz-content-sha256"] = sigv4.UNSIGNED if payload else sigv4.EMPTY
            if payload or ask.method in ("PUT", "POST"):
                headers["content-length"] = str(len(payload))
        _check(headers)
        if self._chain.keys:
            sigv4.sign(self._chain.keys(), self._region, ask.method, path, query, headers)
        target = f"{path}?{query}" if query else path
        return wire, Call(ask.method, target, headers, payload)

    def _place(self) -> tuple[Wire, str, str]:
        """Return the way to where the bucket is now, the host, and the path of the bucket."""
        region = self._region
        with self._guard:
            place = self._places.get(region)
            if place is None:
                base, path = self._located(region)
                wire = Wire(base, self._options)
                place = self._places[region] = wire, urlsplit(base).netloc, path
            return place

    def _located(self, region: str) -> tuple[str, str]:
        """Return the base address and the path of the bucket."""
        parts = urlsplit(self._endpoint or _aws(region))
        path = parts.path.rstrip("/")
        if self._path_style:
            return f"{parts.scheme}://{parts.netloc}", f"{path}/{self._name}"
        return f"{parts.scheme}://{self._name}.{parts.netloc}", path


def _bare(size: int) -> dict[str, str]:
    return {"content-length": str(size), "x-amz-content-sha256": sigv4.UNSIGNED}


def _with_trailer(size: int, headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of a body that its CRC64NVME follows."""
    encodings = [*filter(None, ["aws-chunked", headers.get("content-encoding")])]
    return {
        "content-encoding": ",".join(encodings),
        "content-length": str(framed(size)),
        "x-amz-content-sha256": sigv4.TRAILER,
        "x-amz-decoded-content-length": str(size),
        "x-amz-sdk-checksum-algorithm": "CRC64NVME",
        "x-amz-trailer": "x-amz-checksum-crc64nvme",
    }


def _aws(region: str) -> str:
    suffix = ".cn" if region.startswith("cn-") else ""
    return f"https://s3.{region}.amazonaws.com{suffix}"


def _check(headers: Mapping[str, str]) -> None:
    if "".join(headers).isprintable() and "".join(headers.values()).isprintable():
        return  # as nearly always: that is a matter of one glance
    for name, text in headers.items():
        if _CONTROL.search(name) or _CONTROL.search(text):
            raise UsageError(f"{name}: control characters are not allowed in {text!r}")


def _has_error(reply: Reply) -> bool:
    """Whether a success is none: some operations answer 200 before they know."""
    return b"<Error>" in reply.body[:300]


def refusal_of(reply: Reply) -> Refusal:
    """Return what an answer says that is no success."""
    code = message = region = ""
    if reply.body.lstrip()[:1] == b"<":
        try:
            answer = Answer.parse(reply.body.lstrip(), "")
            answer = answer.child("Error") or answer
            code, message, region = (answer.text(n) for n in ("Code", "Message", "Region"))
        except Bams3Error:
            message = reply.body[:200].decode("utf-8", "replace")
    region = reply.headers.get("x-amz-bucket-region", "") or region
    status = reply.status
    if status < 300:
        status = 412 if code == "PreconditionFailed" else 500
    return Refusal(status, code, message, region)


def no_region(url: str) -> PermissionDenied:
    """Return the error of a bucket whose region is not told."""
    return PermissionDenied(
        f"{url}: the region of the bucket is not known",
        "allow s3:GetBucketLocation or s3:ListBucket, or set --aws-region",
    )
