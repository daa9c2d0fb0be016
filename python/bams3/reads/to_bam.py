"""Write records as BAM, SAM or CRAM, whole or not at all, with an index."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from bams3 import _core
from bams3.errors import NotFoundError, UsageError
from bams3.reads import cram_writer, headers
from bams3.reads.compressed import END_OF_FILE
from bams3.reads.fetch import pools
from bams3.reads.pipeline import ordered

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from bams3._core import Header
    from bams3.reads.dataset import Dataset
    from bams3.reads.query import Query
    from bams3.regions import Region

FORMATS = ("bam", "sam", "cram")
LEVEL = 6
LARGEST_FOR_BAI = 1 << 29
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class ToBamSummary:
    """What was written."""

    output: str
    index: str | None
    records: int
    bytes: int


def to_bam(
    dataset: Dataset,
    output: str | os.PathLike[str],
    *,
    regions: Sequence[str | Region] = (),
    format: str | None = None,
    reference: str | os.PathLike[str] | None = None,
    level: int = LEVEL,
    index: bool = True,
    pg: bool = True,
    command_line: str | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> ToBamSummary:
    """Write a dataset, or regions of it, as BAM, SAM or CRAM.

    Records come in the order of the dataset, each once. The header is that of the input; a @PG line
    is added, and SO says coordinate where the dataset sorted its input.

    Args:
        dataset: What to write.
        output: Path, or "-" for standard output. But for pipes and devices, nothing stands there
            before all is written.
        regions: Only records that overlap any of these.
        format: "bam", "sam" or "cram"; by default from the name of the file.
        reference: FASTA for CRAM; without it CRAM is written without a reference.
        level: BGZF level of BAM, 0 to 12.
        index: Write .bai (.csi where a contig exceeds 2^29, .crai for CRAM) beside the file.
        pg: Add a @PG line and set SO; else the header is exactly that of the input.
        command_line: CL of the @PG line.
        threads: By default one for each CPU.
        progress: Called with the number of records written so far.

    Raises:
        UsageError: The format is not known.
        NotFoundError: There is no such folder, or no such reference.
    """
    query = dataset.query(*regions, once=True, threads=threads)
    header = headers.for_output(dataset, command_line) if pg else dataset.header
    return write(
        query, output, header, format=format, reference=reference, level=level, index=index,
        threads=threads, progress=progress,
    )  # fmt: skip


def write(
    query: Query,
    output: str | os.PathLike[str],
    header: Header,
    *,
    format: str | None = None,
    reference: str | os.PathLike[str] | None = None,
    level: int = LEVEL,
    index: bool = False,
    threads: int | None = None,
    progress: Progress | None = None,
) -> ToBamSummary:
    """Write the records of a query to a file or to standard output."""
    name = os.fspath(output)
    kind = format or format_of(name)
    if kind not in FORMATS:
        raise UsageError(f"format {kind!r} is none of {', '.join(FORMATS)}")
    counter = _Counter(progress)
    blocks = map(counter.see, query.blocks())
    with opened(name) as (out, path):
        if kind == "cram":
            cram_writer.write(bam_bytes(blocks, header, 1, threads), out, reference, threads or 1)
        else:
            lines = bam_bytes(blocks, header, level, threads) if kind == "bam" else None
            _copy(lines or sam_bytes(blocks, header, threads), out)
        out.flush()
        size = out.tell() if path else 0
        made = None
        if path and index and kind != "sam":
            made = _indexed(path, name, kind, header, threads)
    return ToBamSummary(name, made, counter.records, size)


def format_of(name: str) -> str:
    """Return the format that a file's name says; BAM for standard output and other names."""
    ending = Path(name).suffix.lower().lstrip(".")
    return ending if ending in FORMATS else "bam"


class _Counter:
    """Counts records on their way, and reports them."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self.records = 0

    def see(self, block: bytes) -> bytes:
        self.records += _core.count_records(block)
        if self._progress:
            self._progress(self.records)
        return block


def _copy(blocks: Iterator[bytes], out: IO[bytes]) -> None:
    for block in blocks:
        out.write(block)


def bam_bytes(
    blocks: Iterator[bytes], header: Header, level: int, threads: int | None
) -> Iterator[bytes]:
    """Yield a whole BAM file of record streams."""
    yield _core.bgzf_deflate(_core.bam_header_bytes(header), level)
    yield from _mapped(lambda block: _core.bgzf_deflate(block, level), blocks, threads)
    yield END_OF_FILE


def sam_bytes(
    blocks: Iterator[bytes], header: Header, threads: int | None, with_header: bool = True
) -> Iterator[bytes]:
    """Yield a SAM file of record streams."""
    if with_header:
        yield headers.sam_text(header)
    yield from _mapped(lambda block: _core.format_sam(block, header), blocks, threads)


def _mapped(
    function: Callable[[bytes], bytes], blocks: Iterator[bytes], threads: int | None
) -> Iterator[bytes]:
    pool: Executor
    with pools(threads) as (_, pool, workers):
        yield from ordered(pool, function, blocks, workers + 1)


@contextmanager
def opened(name: str) -> Iterator[tuple[IO[bytes], Path | None]]:
    """Open standard output, or a file that takes its name when the block ends without error.

    Pipes and devices are written to as they are; a link stays, and what it points to is replaced.
    """
    if name == "-":
        yield sys.stdout.buffer, None
        sys.stdout.buffer.flush()
    elif _is_stream(Path(name)):
        with open(name, "wb") as out:
            yield out, None
    else:
        with _replaced(Path(name).resolve()) as replaced:
            yield replaced


def _is_stream(path: Path) -> bool:
    """Whether this is a pipe or a device, /dev/stdout too where that is a file."""
    return path.parent == Path("/dev") or (path.exists() and not path.is_file())


@contextmanager
def _replaced(final: Path) -> Iterator[tuple[IO[bytes], Path]]:
    if not final.parent.is_dir():
        raise NotFoundError(
            f"{final}: there is no such folder", hint=f"make it: mkdir -p {final.parent}"
        )
    path = final.with_name(f".{final.name}.{os.getpid()}.part")
    try:
        with path.open("wb") as out:
            yield out, path
        path.replace(final)
    finally:
        path.unlink(missing_ok=True)


def _indexed(path: Path, name: str, kind: str, header: Header, threads: int | None) -> str:
    """Index the finished file under its temporary name; move the index to its place."""
    import pysam

    long = any(length > LARGEST_FOR_BAI for _, length in header.contigs)
    ending = "crai" if kind == "cram" else "csi" if long else "bai"
    made = Path(name).with_name(f"{path.name}.{ending}")
    try:
        options = ["-@", str(threads or os.cpu_count() or 1), *(["-c"] if ending == "csi" else [])]
        pysam.index(*options, "-o", str(made), str(path))
        made.replace(f"{name}.{ending}")
    finally:
        made.unlink(missing_ok=True)
    return f"{name}.{ending}"
