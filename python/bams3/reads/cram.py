"""CRAM input: htslib decodes it, in a child process that writes uncompressed BAM to a pipe."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from typing import IO, TYPE_CHECKING, BinaryIO

from bams3.errors import InputError
from bams3.reads.compressed import TRUNCATED

if TYPE_CHECKING:
    from bams3.reads.inputs import Source

_BLOCK = 1 << 20
_END_OF_FILE = {
    2: bytes.fromhex(
        "0b000000ffffffffffe0454f4600000000010000010006060100010001 00".replace(" ", "")
    ),
    3: bytes.fromhex(
        "0f000000ffffffff0fe0454f4600000000010005bdd94f0001000606010001000100ee63014b"
    ),
}


def _memory_file() -> IO[bytes]:
    """Return a file that is on no disk, where there are such files."""
    if hasattr(os, "memfd_create"):
        return open(os.memfd_create("bams3"), "w+b")
    return tempfile.TemporaryFile()


def environment() -> dict[str, str]:
    """Return the environment of a child with pysam, which keeps its messages in temporary files."""
    memory = {"TMPDIR": "/dev/shm"} if os.access("/dev/shm", os.W_OK) else {}
    return {**os.environ, **memory}


class CramStream:
    """A running child; `output` is its BAM, and ends in an error where the CRAM does."""

    def __init__(self, source: Source, reference: str | None) -> None:
        self._source = source
        self._errors = _memory_file()
        command = [sys.executable, "-m", "bams3.reads.cram_reader", "-"]
        self._child = subprocess.Popen(
            command + ([reference] if reference else []),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment(),
        )
        self._failure: BaseException | None = None
        self._feeder = threading.Thread(target=self._feed, daemon=True)
        self._feeder.start()
        assert self._child.stdout is not None
        self.output: BinaryIO = _Checked(self._child.stdout, self)  # type: ignore[assignment]

    def _feed(self) -> None:
        assert self._child.stdin is not None
        try:
            with self._child.stdin as pipe:
                tail, major = b"", self._source.head[4]
                for data in self._source.blocks(_BLOCK):
                    pipe.write(data)
                    tail = (tail + data)[-38:]
            if not tail.endswith(_END_OF_FILE.get(major, b"")):
                name = self._source.name
                raise InputError(f"{name}: the CRAM end-of-file marker is missing", TRUNCATED)
        except BrokenPipeError:
            pass
        except BaseException as error:  # raised again by the thread that reads the records
            self._failure = error

    def check(self) -> None:
        """Raise what went wrong, once the child has written all."""
        self._feeder.join()
        code = self._child.wait()
        if self._failure is not None:
            raise self._failure
        if code != 0:
            raise InputError(f"{self._source.name}: {self._complaint() or f'exit code {code}'}")

    def _complaint(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read()[-4000:].decode(errors="replace").splitlines()
        wanted = [line.strip() for line in lines if line.startswith(("[E", "samtools", "[main"))]
        return "; ".join(wanted or lines)[:1000]

    def close(self) -> None:
        """End the child."""
        if self._child.poll() is None:
            self._child.kill()
        self._child.wait()
        if self._child.stdout is not None:
            self._child.stdout.close()
        self._feeder.join(timeout=5)
        self._errors.close()


class _Checked:
    """A pipe whose end is only reported when the child succeeded."""

    def __init__(self, pipe: object, stream: CramStream) -> None:
        self._read = pipe.read  # type: ignore[attr-defined]
        self._stream = stream

    def read(self, size: int) -> bytes:
        data: bytes = self._read(size)
        if not data:
            self._stream.check()
        return data
