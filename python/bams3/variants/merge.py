"""Merge the calls of shards into one file: verified, complete, normalised, sorted, indexed."""

from __future__ import annotations

import gzip
import hashlib
import mmap
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bams3.errors import CallError, CorruptError, InputError
from bams3.storage import Store
from bams3.variants.callers import Caller, bcftools, bcftools_pipe
from bams3.variants.gvcf import join_blocks
from bams3.variants.pipes import run
from bams3.variants.preflight import Prepared
from bams3.variants.shards import Piece, without
from bams3.variants.task import RECEIPT, Receipt
from bams3.variants.tile import shared_folder
from bams3.variants.vcf import indexed

_TILES = "tiles.vcf"


@contextmanager
def merged(
    store: Store, receipts: Sequence[Receipt], prepared: Prepared, caller: Caller, ending: str
) -> Iterator[tuple[Path, Path]]:
    """Make the file of all calls and its index; they go when the block ends.

    Records are those that the shards own. Variants are left-aligned, checked against the reference,
    and brought to one alternative allele a record (`bcftools norm -f REF -c e -m -any -d exact`).
    A gVCF keeps its records as they are; blocks that shards cut are joined.

    Args:
        store: The job's folder.
        receipts: Of all shards.
        prepared: The job.
        caller: What was run.
        ending: "vcf.gz" or "bcf".

    Raises:
        CallError: Shards are missing.
        CorruptError: The calls of a shard are not those of its receipt.
        InputError: Records do not fit the reference.
    """
    check_complete(prepared.pieces, receipts)
    ordered = _in_order(receipts, prepared)
    with tempfile.TemporaryDirectory(prefix="bams3-merge-") as name:
        folder = Path(name)
        lines = _lines(store, ordered, caller, prepared.reference.url)
        output = f"calls.{ending}"
        lengths = (row.length for row in prepared.reference.contigs.values())
        options, index = indexed(output, lengths)
        try:
            run(_commands(prepared, caller, options), {_TILES: lines}, folder)
        except CallError as error:
            raise InputError(f"the calls cannot be merged: {error.message}", error.hint) from error
        yield folder / output, folder / index


def check_complete(pieces: Sequence[Piece], receipts: Sequence[Receipt]) -> None:
    """Check that receipts cover a request exactly once. Raises CallError naming what is missing."""
    owned = [piece for receipt in receipts for piece in receipt.shard]
    holes = without(pieces, owned)
    if holes:
        raise CallError(
            f"calls of {', '.join(str(hole.region) for hole in holes[:8])}"
            f"{f' and {len(holes) - 8} more' if len(holes) > 8 else ''} are missing",
            "run the same command again: what is done is not done again",
        )
    bases = sum(piece.end - piece.start for piece in owned)
    if bases != sum(piece.end - piece.start for piece in pieces):
        raise CallError(
            "some regions were called twice", "remove the job's folder, and start again"
        )


def _in_order(receipts: Sequence[Receipt], prepared: Prepared) -> list[Receipt]:
    contigs = {piece.contig: number for number, piece in enumerate(prepared.pieces)}
    return sorted(receipts, key=lambda r: (contigs[r.shard[0].contig], r.shard[0].start))


def _commands(prepared: Prepared, caller: Caller, options: Sequence[str]) -> list[list[str]]:
    sort = ["sort", "-T", "sorting", *options]
    if caller.gvcf:
        return [bcftools(*sort, _TILES)]
    names = {piece.contig for piece in prepared.pieces}
    path = prepared.reference.local(names, shared_folder())
    norm = ["norm", "--no-version", "-f", path, "-c", "e", "-m", "-any", "-d", "exact", "-Ou"]
    return [bcftools_pipe([*norm, _TILES], [*sort, "-"])]


def _lines(
    store: Store, receipts: Sequence[Receipt], caller: Caller, reference: str
) -> Iterator[bytes]:
    """Yield the header, and the records of all shards in order."""
    columns = None
    bodies = []
    for receipt in receipts:
        header, body = _split(_verified(store, receipt))
        if columns is None:
            columns = header.splitlines()[-1]
            yield _header(header, reference)
        elif header.splitlines()[-1] != columns:
            raise CorruptError(f"{store.url_of(receipt.key)}: has other samples than the rest")
        if caller.gvcf:
            bodies.append(body)
        else:
            yield body
    yield from join_blocks(bodies, [int(depth) for depth in caller.gvcf.split(",") if depth])


def _verified(store: Store, receipt: Receipt) -> bytes:
    data = store.get(receipt.key)
    if hashlib.sha256(data).hexdigest() != receipt.digest:
        raise CorruptError(
            f"{store.url_of(receipt.key)}: is not what its receipt says",
            f"remove it and {receipt.task}.json, and run the same command again",
        )
    return gzip.decompress(data)


def _split(text: bytes) -> tuple[bytes, bytes]:
    """Split VCF into header and records."""
    end = text.index(b"\n", text.index(b"\n#CHROM") + 1) + 1
    return text[:end], text[end:]


def _header(text: bytes, reference: str) -> bytes:
    """Name the reference that was given, not a worker's copy; leave out workers' commands."""
    kept = [
        f"##reference={reference}".encode() if line.startswith(b"##reference=") else line
        for line in text.splitlines()
        if not line.startswith((b"##bcftools_view", b"##commandline"))
    ]
    return b"\n".join(kept) + b"\n"


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def publish(store: Store, key: str, paths: tuple[Path, Path], receipt: bytes = b"") -> None:
    """Put the index, a receipt, then the calls into place.

    The receipt names the digest of the calls: it says nothing of those still there from before.

    Args:
        store: Where to.
        key: Of the calls.
        paths: Calls and index.
        receipt: What is known of the calls; none where empty.
    """
    calls, index = paths
    store.put(f"{key}{index.suffix}", index.read_bytes())
    if receipt:
        store.put(f"{key}{RECEIPT}", receipt)
    with open(calls, "rb") as file:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data, memoryview(data) as view:
            store.put(key, view)
