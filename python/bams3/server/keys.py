"""Keys: what a client may name inside a root, and nothing else.

A path is decoded once. What could mean another place after a second decoding, on another system or
to another program, is refused rather than mended.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from bams3.errors import NotFoundError
from bams3.reads.manifest import INDEX_ENDINGS
from bams3.server.messages import Refusal

LONGEST = 1024
"""Bytes of a key, as in S3."""

INDEXES = (".bai", ".csi", ".crai", ".tbi", ".fai", ".gzi")
DATA = (
    ".bam", ".cram", ".vcf", ".vcf.gz", ".bcf",
    ".fa", ".fasta", ".fna", ".fa.gz", ".fasta.gz", ".fna.gz", ".2bit",
    ".bed", ".bed.gz", ".gff", ".gff3", ".gtf", ".gff.gz", ".gff3.gz", ".gtf.gz",
    ".bw", ".bigwig", ".bb", ".bigbed",
)  # fmt: skip
EXTENSIONS = (*DATA, *INDEXES)
_DATASET = re.compile(
    r"(?:.*/)?[^/]+\.bams3/(?:_metadata\.json|_header\.[0-9a-f]+\.zst|data/.+\.chunk"
    rf"|_index/[^/]+(?:{'|'.join(map(re.escape, INDEX_ENDINGS))}))"
)
_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_HIDING = re.compile(r"%(?:2[Ff]|5[Cc]|00)")


@lru_cache(4096)
def decode(path: str) -> str:
    """Return the key that a percent-encoded path names.

    Raises:
        Refusal: 400; it is not UTF-8, is too long, or has parts or characters that could lead
            elsewhere: empty, `.`, `..`, backslash, control characters, an encoded slash.
    """
    if _ESCAPE.search(path) or _HIDING.search(path) or "\\" in path or not path.isascii():
        raise _bad()
    try:
        key = unquote_to_bytes(path).decode("utf-8")
    except UnicodeDecodeError:
        raise _bad() from None
    if any(part in ("", ".", "..") for part in key.split("/")) or len(key.encode()) > LONGEST:
        raise _bad()
    if any(ord(c) < 32 or 127 <= ord(c) < 160 for c in key):
        raise _bad()
    return key


def _bad() -> Refusal:
    return Refusal(400, "this is not a path that can be served", "write /files/ROOT/FOLDER/FILE")


@lru_cache(4096)
def check_served(key: str, extensions: tuple[str, ...] = EXTENSIONS) -> None:
    """Let only files of genomic formats, and the objects of datasets, through.

    Raises:
        NotFoundError: Anything else, hidden files included.
    """
    hidden = any(part.startswith(".") for part in key.split("/"))
    if hidden or not (key.lower().endswith(extensions) or _DATASET.fullmatch(key)):
        raise NotFoundError(f"{key}: is not served", "only files of genomic formats are")


def alternatives(key: str) -> list[str]:
    """Return the other names under which an index may lie: `x.bam.bai` for `x.bai`, and back.

    `x.csi` does not stand for `x.bam.csi`: it may be asked for as the index of `x.vcf.gz`.
    """
    for data, index in ((".bam", ".bai"), (".cram", ".crai"), (".bam", ".csi")):
        if key.endswith(data + index):
            return [key.removesuffix(data + index) + index]
    for data, index in ((".bam", ".bai"), (".cram", ".crai")):
        if key.endswith(index):
            return [key.removesuffix(index) + data + index]
    return []


def siblings(name: str) -> frozenset[str]:
    """Return what is served where a root is one file: it and its indexes, or a dataset."""
    stem = name.rpartition(".")[0]
    names = {name, *(name + index for index in INDEXES), *(stem + index for index in INDEXES)}
    if name.endswith(".bams3"):
        names |= {f"{name}.bam", f"{name}.bam.bai", f"{name}.bam.csi"}
    return frozenset(names)
