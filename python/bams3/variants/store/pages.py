"""Pages of a query: the text that names a call, to go on after it."""

from __future__ import annotations

import base64
import json
import zlib

from bams3.errors import UsageError
from bams3.variants.vcf import Call

Place = tuple[str, int, str, str, str]
"""Contig, position, alleles and sample: what names a call, and orders it within its contig."""

_LONGEST = 1 << 24


def place_of(call: Call) -> Place:
    """Return what names a call in a store."""
    return call.contig, call.pos, call.ref, call.alt, call.sample


def page_after(call: Call) -> str:
    """Return the text with which `query` goes on after a call.

    It names the call, not a row: it stays valid where calls are replaced meanwhile.
    """
    packed = zlib.compress(json.dumps(place_of(call)).encode(), 9)
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def read_page(text: str) -> Place:
    """Return the call that a text names. Raises UsageError."""
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        contig, pos, ref, alt, sample = json.loads(
            zlib.decompressobj().decompress(packed, _LONGEST)
        )
        return str(contig), int(pos), str(ref), str(alt), str(sample)
    except (ValueError, zlib.error, TypeError):
        raise UsageError(
            f"{text[:40]!r} is no page", "give what the query before has told"
        ) from None
