"""Header text: our @PG line, the sort order, and joining headers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import bams3
from bams3 import _core
from bams3.errors import UsageError

if TYPE_CHECKING:
    from bams3._core import Header
    from bams3.reads.dataset import Dataset

_SORTING = re.compile(rb"\t(SO|GO|SS):[^\t]*")


def for_output(dataset: Dataset, command_line: str | None) -> Header:
    """Return the header of a dataset with our @PG line, and SO as the records lie."""
    text = dataset.header.text
    if not dataset.manifest.input_order:
        text = sorted_by_coordinate(text)
    return _core.Header(with_program(text, command_line), dataset.header.contigs)


def sorted_by_coordinate(text: bytes) -> bytes:
    """Set SO:coordinate as `samtools sort` does: GO and SS go, a missing @HD is added."""
    first, newline, rest = text.partition(b"\n")
    if not first.startswith(b"@HD\t"):
        return b"@HD\tVN:1.6\tSO:coordinate\n" + text
    if b"\tSO:" not in first:
        return _SORTING.sub(b"", first) + b"\tSO:coordinate" + newline + rest
    first = re.sub(rb"\tSO:[^\t]*", b"\tSO:coordinate", first, count=1)
    return re.sub(rb"\t(GO|SS):[^\t]*", b"", first) + newline + rest


def with_program(text: bytes, command_line: str | None) -> bytes:
    """Add a @PG line for us, chained to the last program that none follows."""
    programs = [_fields(line) for line in text.splitlines() if line.startswith(b"@PG\t")]
    known = [fields[b"ID"] for fields in programs if b"ID" in fields]
    followed = {fields.get(b"PP") for fields in programs}
    last = [name for name in known if name not in followed][-1:]
    parts = [b"@PG", b"ID:" + _unused(b"bams3", known), b"PN:bams3"]
    parts += [b"PP:" + name for name in last]
    parts += [b"VN:" + bams3.__version__.encode()]
    parts += [b"CL:" + re.sub(r"[\t\n\r]", " ", command_line).encode()] if command_line else []
    closed = text if not text or text.endswith(b"\n") else text + b"\n"
    return closed + b"\t".join(parts) + b"\n"


def sam_text(header: Header) -> bytes:
    """Return the header lines of a SAM file; contigs that only BAM knows become @SQ lines."""
    text = header.text
    if header.contigs and b"@SQ\t" not in text:
        lines = (f"@SQ\tSN:{name}\tLN:{length}\n" for name, length in header.contigs)
        text += "".join(lines).encode()
    return text if not text or text.endswith(b"\n") else text + b"\n"


def merge(texts: Sequence[bytes]) -> bytes:
    """Join header texts: that of the first, then lines of the others that it has not.

    Raises:
        UsageError: A read group or program of the same ID differs.
    """
    lines = dict.fromkeys(_lines(texts[0]))
    known = {key: line for line in lines if (key := _identity(line))}
    for line in (line for text in texts[1:] for line in _lines(text)):
        key = _identity(line)
        if key and known.setdefault(key, line) != line:
            raise UsageError(
                f"the headers differ in {key[0].decode()} {key[1].decode()!r}",
                hint="give read groups and programs of different content different IDs",
            )
        if line[:3] in (b"@RG", b"@PG", b"@CO"):
            lines.setdefault(line)
    return b"".join(line + b"\n" for line in lines)


def _lines(text: bytes) -> Iterable[bytes]:
    return (line for line in text.split(b"\n") if line)


def _identity(line: bytes) -> tuple[bytes, bytes] | None:
    """Return kind and ID of a @RG or @PG line."""
    if line[:3] not in (b"@RG", b"@PG"):
        return None
    return line[:3], _fields(line).get(b"ID", b"")


def _fields(line: bytes) -> dict[bytes, bytes]:
    return {part[:2]: part[3:] for part in line.split(b"\t")[1:]}


def _unused(name: bytes, known: Sequence[bytes]) -> bytes:
    """Return `name`, or `name.1`, `name.2` ... where that is taken."""
    number, free = 0, name
    while free in known:
        number += 1
        free = name + f".{number}".encode()
    return free
