"""CRAM input: htslib decodes it, in a child process that writes uncompressed BAM to a pipe."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import threading
from typing import IO, TYPE_CHECKING, BinaryIO

from bams3.errors import InputError, NotFoundError
from bams3.reads.compressed import TRUNCATED
from bams3.storage import StorageOptions
from bams3.storage.loopback import Loopback
from bams3.storage.store import local_path, scheme_of

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
    direct = ",".join(filter(None, [os.environ.get("no_proxy"), "127.0.0.1"]))
    return {**os.environ, **memory, "no_proxy": direct}


class CramStream:
    """A running child; `output` is its BAM, and ends in an error where the CRAM does.

    Raises:
        NotFoundError: There is no such reference, or a remote one has no index.
    """

    def __init__(
        self, source: Source, reference: str | None, storage: StorageOptions | None = None
    ) -> None:
        self._source, self._reference = source, reference
        self._served = _served(reference, storage) if reference else None
        self._errors = _memory_file()
        command = [sys.executable, "-m", "bams3.reads.cram_reader", "-"]
        given = self._served.address if self._served else reference and local_path(reference)
        self._child = subprocess.Popen(
            command + ([given] if given else []),
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
            if self._served and self._served.failure:
                raise self._served.failure
            complaint = self._complaint() or f"exit code {code}"
            raise InputError(f"{self._source.name}: {complaint}", self._hint(complaint))

    def _complaint(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read()[-4000:].decode(errors="replace").splitlines()
        wanted = [line.strip() for line in lines if line.startswith(("[E", "samtools", "[main"))]
        if self._served:
            wanted = [line.replace(self._served.address, str(self._reference)) for line in wanted]
        return "; ".join(re.sub(r"^\[E::\w+\] ", "", line) for line in wanted or lines)[:1000]

    def _hint(self, complaint: str) -> str | None:
        if "reference" not in complaint.lower():
            return None
        if self._reference is None:
            return "give the FASTA that the reads were aligned to: --reference ref.fa"
        return f"were the reads aligned to {self._reference}? Give that FASTA with --reference"

    def close(self) -> None:
        """End the child."""
        if self._child.poll() is None:
            self._child.kill()
        self._child.wait()
        if self._served is not None:
            self._served.close()
        if self._child.stdout is not None:
            self._child.stdout.close()
        self._feeder.join(timeout=5)
        self._errors.close()


def _served(reference: str, storage: StorageOptions | None) -> Loopback | None:
    """Serve a remote reference to the child; None for a path. Raises NotFoundError."""
    if scheme_of(reference) in ("", "file"):
        if not os.path.isfile(local_path(reference)):
            raise NotFoundError(f"{reference}: there is no such reference")
        return None
    served = Loopback(reference, storage)
    try:
        served.find()
        served.find(".fai")
    except NotFoundError as error:
        served.close()
        hint = "a remote reference needs its index beside it: samtools faidx writes it"
        raise NotFoundError(error.message, hint) from error
    except BaseException:
        served.close()
        raise
    return served


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
