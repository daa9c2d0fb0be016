"""Formats that htslib alone writes or reads: in a child process, fed and read as a stream."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress

from bams3.errors import InputError

_PROGRAM = """
import importlib, sys
from pysam.utils import SamtoolsError
tool, *arguments = sys.argv[1:]
try:
    importlib.import_module("pysam." + tool).view(*arguments, catch_stdout=False)
except SamtoolsError as error:
    sys.exit(str(error))
"""
_PIECE = 1 << 20


def to_cram(bam: Iterable[bytes], reference: str | None) -> Iterator[bytes]:
    """Turn BAM into CRAM, without a reference where there is none."""
    options = ["-T", reference] if reference else ["--output-fmt-option", "no_ref=1"]
    return _through(["samtools", "-C", "--no-PG", *options, "-"], bam)


def from_cram(cram: Iterable[bytes], reference: str | None) -> Iterator[bytes]:
    """Turn CRAM into uncompressed BAM."""
    options = ["-T", reference] if reference else []
    return _through(["samtools", "-u", "--no-PG", *options, "-"], cram)


def to_vcf(variants: Iterable[bytes]) -> Iterator[bytes]:
    """Turn BCF into VCF with bgzip."""
    return _through(["bcftools", "-Oz", "--no-version", "-"], variants)


def to_bcf(variants: Iterable[bytes]) -> Iterator[bytes]:
    """Turn VCF into BCF."""
    return _through(["bcftools", "-Ob", "--no-version", "-"], variants)


def _through(arguments: list[str], data: Iterable[bytes]) -> Iterator[bytes]:
    """Yield what a child makes of data.

    Raises:
        InputError: The child failed; what came before is then not whole.
    """
    command = [sys.executable, "-c", _PROGRAM, *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert child.stdin is not None and child.stdout is not None and child.stderr is not None
        failures: list[BaseException] = []
        complaints: list[bytes] = []
        feeder = threading.Thread(target=_feed, args=(child.stdin, data, failures), daemon=True)
        listener = threading.Thread(target=lambda: complaints.append(child.stderr.read()))  # type: ignore[union-attr]
        feeder.start()
        listener.start()
        try:
            while piece := child.stdout.read1(_PIECE):  # type: ignore[attr-defined]
                yield piece
            feeder.join()
        finally:
            if child.poll() is None and sys.exc_info()[0] is not None:
                child.kill()
            feeder.join()
            listener.join()
        if failures:
            raise failures[0]
        if child.wait() != 0:
            message = b"".join(complaints).decode(errors="replace").strip()
            raise InputError(f"htslib could not turn {arguments[0]} data: {message[-500:]}")


def _feed(pipe: object, data: Iterable[bytes], failures: list[BaseException]) -> None:
    try:
        with suppress(BrokenPipeError), pipe:  # type: ignore[attr-defined]
            for piece in data:
                pipe.write(piece)  # type: ignore[attr-defined]
    except BaseException as error:  # raised again by the thread that reads
        failures.append(error)
