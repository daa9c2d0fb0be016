"""Alignments as they come in: SAM, BAM or CRAM from standard input, a path or a URL.

The format is told by the first bytes. Whatever is malformed or cut short raises `InputError`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from functools import partial
from itertools import chain
from types import TracebackType
from typing import BinaryIO, Generic, NamedTuple, TypeVar

from bams3 import _core
from bams3.errors import InputError
from bams3.reads import compressed
from bams3.reads.cram import CramStream
from bams3.reads.pipeline import ordered
from bams3.storage import StorageOptions
from bams3.storage import open_input as open_bytes

BLOCK = 8 << 20
_SNIFF = 1 << 16
_MAX_HEADER = 1 << 30
Out = TypeVar("Out")


class Source:
    """Bytes of the input, with their number, and a look at the first of them."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file, self.name = file, name
        self.bytes_read = 0
        self.head = file.read(_SNIFF)
        self._pushed = self.head

    def read(self, size: int) -> bytes:
        """Read up to `size` bytes, fewer only at the end of the input."""
        if self._pushed:
            data, self._pushed = self._pushed, b""
            data += self._file.read(max(0, size - len(data)))
        else:
            data = self._file.read(size)
        self.bytes_read += len(data)
        return data

    def blocks(self, size: int) -> Iterator[bytes]:
        """Yield the rest of the input."""
        while data := self.read(size):
            yield data


class Batch(NamedTuple, Generic[Out]):
    """A parsed block, and what was made of it."""

    records: _core.Records
    made: Out


class Input(AbstractContextManager["Input"]):
    """An open input: its header, and its records in batches."""

    header: _core.Header

    def __init__(
        self,
        source: str | BinaryIO,
        pool: Executor,
        workers: int,
        storage: StorageOptions | None = None,
        reference: str | None = None,
    ) -> None:
        self._pool, self._ahead = pool, workers + 1
        self._size = max(1 << 20, min(BLOCK, (64 << 20) // self._ahead))
        self._file, name = _open(source, storage)
        self._cram: CramStream | None = None
        try:
            self._source = Source(self._file, name)
            self._start(reference, storage)
        except BaseException:
            self.close()
            raise

    @property
    def name(self) -> str:
        """How to call the input in messages."""
        return self._source.name

    @property
    def bytes_read(self) -> int:
        """Bytes of the input that were read so far."""
        return self._source.bytes_read

    def _start(self, reference: str | None, storage: StorageOptions | None) -> None:
        head = self._source.head
        if head.startswith(b"CRAM"):
            self._cram = CramStream(self._source, reference, storage)
            inner = Source(self._cram.output, self.name)
            data = self._inflated(inner)
        elif head.startswith(b"\x1f\x8b"):
            data = self._inflated(self._source)
        else:
            data = self._source.blocks(self._size)
        first = next(data, b"")
        format = BamFormat() if first.startswith(b"BAM\1") else SamFormat(first, self.name)
        self._format: BamFormat | SamFormat = format
        try:
            self.header, self._blocks = format.start(first, data, self.name)
        except InputError as error:
            raise _named(error, self.name) from None

    def _inflated(self, source: Source) -> Iterator[bytes]:
        if not compressed.is_bgzf(source.head):
            return compressed.gunzip(source.blocks(1 << 20), source.name, self._size)
        blocks = compressed.bgzf_blocks(source.blocks(self._size // 4), source.name)
        inflate = partial(compressed.inflate, name=source.name)
        return ordered(self._pool, inflate, blocks, self._ahead)

    def batches(self, make: Callable[[_core.Records], Out]) -> Iterator[Batch[Out]]:
        """Yield the records in input order; `make` is called on worker threads."""
        parse, header = self._format.parse, self.header

        def work(block: bytes) -> Batch[Out] | bytes:
            try:
                records = parse(block, header, 1)
            except InputError:
                return block
            return Batch(records, make(records))

        number = self._format.first_number(header)
        for result in ordered(self._pool, work, self._blocks, self._ahead):
            if isinstance(result, bytes):
                raise self._explain(result, number)
            number += result.records.count
            yield result

    def _explain(self, block: bytes, number: int) -> InputError:
        """Parse a malformed block again, now that the number of its first line is known."""
        try:
            self._format.parse(block, self.header, number)
        except InputError as error:
            return self._hinted(error)
        return InputError(f"{self.name}: malformed near record {number}")

    def _hinted(self, error: InputError) -> InputError:
        hint = error.hint or "correct or remove it, or have the input written again"
        if not self.header.contigs:
            hint = "the header has no @SQ lines; give the input with its header (samtools view -h)"
        return _named(InputError(error.message, hint), self.name)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the input and end the child process, if any."""
        if self._cram is not None:
            self._cram.close()
        if self._file is not sys.stdin.buffer:
            self._file.close()


def _named(error: InputError, name: str) -> InputError:
    """Say in the message what input it is about."""
    if error.message.startswith(f"{name}: "):
        return error
    return InputError(f"{name}: {error.message}", error.hint)


def _open(source: str | BinaryIO, storage: StorageOptions | None) -> tuple[BinaryIO, str]:
    if not isinstance(source, str):
        return source, "input"
    if source == "-":
        return sys.stdin.buffer, "standard input"
    return open_bytes(source, storage), source


class BamFormat:
    """Cuts inflated BAM at the borders of records."""

    parse = staticmethod(_core.parse_bam)

    def first_number(self, header: _core.Header) -> int:
        """Return the number of the first record, for messages."""
        return 1

    def start(
        self, first: bytes, rest: Iterator[bytes], name: str
    ) -> tuple[_core.Header, Iterator[bytes]]:
        """Parse the header; return it and blocks of whole records."""
        while (found := _core.bam_header(first)) is None:
            more = next(rest, None)
            if more is None or len(first) > _MAX_HEADER:
                raise InputError(f"{name}: the BAM header is cut short", compressed.TRUNCATED)
            first += more
        header, length = found
        cut_off = InputError(f"{name}: the last BAM record is cut off", compressed.TRUNCATED)
        return header, _whole(_core.bam_complete, first[length:], rest, cut_off)


class SamFormat:
    """Cuts SAM text at the ends of lines."""

    parse = staticmethod(_core.parse_sam)

    def __init__(self, first: bytes, name: str) -> None:
        check_text(first, name)

    def first_number(self, header: _core.Header) -> int:
        """Return the number of the first alignment line."""
        return header.text.count(b"\n") + 1

    def start(
        self, first: bytes, rest: Iterator[bytes], name: str
    ) -> tuple[_core.Header, Iterator[bytes]]:
        """Parse the header; return it and blocks of whole lines."""
        final = False
        while (length := _core.sam_header_length(first, final)) is None:
            more = next(rest, None)
            final = more is None
            if len(first) > _MAX_HEADER:
                raise InputError(f"{name}: the header is longer than 1 GiB")
            first += more or b""
        if first[:length] and not first[:length].endswith(b"\n"):
            raise _cut_off(name)
        lines = _whole(_complete_lines, first[length:], rest, _cut_off(name))
        return _core.Header(first[:length]), lines


def _complete_lines(text: bytes) -> int:
    """Return the length of the whole lines at the start of `text`."""
    return text.rfind(b"\n") + 1


def _whole(
    complete: Callable[[bytes], int], held: bytes, rest: Iterator[bytes], cut_off: InputError
) -> Iterator[bytes]:
    """Yield pieces of what `complete` finds to be whole; raise `cut_off` if something is left."""
    if (yield from compressed.whole_pieces(complete, chain([held], rest))):
        raise cut_off


def _cut_off(name: str) -> InputError:
    return InputError(
        f"{name}: the last line is cut off: it has no newline",
        "the program that writes the input may have failed; run it again",
    )


def check_text(first: bytes, name: str) -> None:
    """Refuse what is not SAM by its first bytes, saying what it is."""
    if not first:
        raise InputError(f"{name}: the input is empty", "did the program that writes it fail?")
    line = first.partition(b"\n")[0]
    if line.startswith(b"@") and not (line[1:3].isupper() and line[3:4] in (b"\t", b"")):
        raise InputError(
            f"{name}: this is FASTQ, not alignments",
            "align it first: bwa mem ref.fa reads.fq | bams3 convert - DEST",
        )
    if line.startswith(b">"):
        raise InputError(
            f"{name}: this is FASTA, not alignments",
            "align reads to it: bwa mem ref.fa reads.fq | bams3 convert - DEST",
        )
    if not line.startswith(b"@") and line.count(b"\t") < 10:
        raise InputError(
            f"{name}: this is not SAM, BAM or CRAM", "give alignments, as an aligner writes them"
        )
