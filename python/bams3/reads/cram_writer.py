"""BAM to CRAM, by samtools (pysam) in a child process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import IO

from bams3.errors import Bams3Error, NotFoundError

_PROGRAM = """
import sys, pysam
try:
    pysam.view(*sys.argv[1:], catch_stdout=False)
except pysam.SamtoolsError as error:
    sys.exit(str(error))
"""


def write(
    bam: Iterator[bytes], out: IO[bytes], reference: str | os.PathLike[str] | None, threads: int
) -> None:
    """Send BAM through `samtools view -C`.

    Raises:
        NotFoundError: There is no such reference.
        Bams3Error: samtools failed, for instance where the reference lacks a contig.
    """
    arguments = ["-C", "--no-PG", "-@", str(threads), "-o", "-", "-"]
    if reference is None:
        arguments = ["--output-fmt-option", "no_ref=1", *arguments]
    elif not os.path.exists(reference):
        raise NotFoundError(f"there is no reference {os.fspath(reference)}")
    else:
        arguments = ["-T", os.fspath(reference), *arguments]
    out.flush()
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, *arguments],
        stdin=subprocess.PIPE, stdout=out, stderr=subprocess.PIPE,
    ) as child:  # fmt: skip
        _feed(bam, child)
    out.seek(0, os.SEEK_END) if out.seekable() else None


def _feed(bam: Iterator[bytes], child: subprocess.Popen[bytes]) -> None:
    assert child.stdin is not None and child.stderr is not None
    try:
        with suppress(BrokenPipeError):
            for block in bam:
                child.stdin.write(block)
            child.stdin.close()
    except BaseException:
        child.kill()
        raise
    message = child.stderr.read().decode(errors="replace").strip()
    if child.wait() != 0:
        raise Bams3Error(
            f"samtools could not write CRAM: {message[-500:]}",
            hint="is the reference the one that the reads were aligned to?",
        )
