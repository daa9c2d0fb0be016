"""The audit log: who read what, in genomic coordinates, one JSON object a line, chained by hashes.

    {"time": "2026-03-01T12:30:15.250Z", "user": "ada", "peer": "127.0.0.1", "method": "GET",
     "file": "project/s.bam", "etag": "\\"...\\"", "status": 206, "ranges": [[0, 65536]],
     "sent": 65536, "complete": true, "loci": ["chr1:1-1048576"], "previous": "...", "hash": ""}

`hash` is the SHA-256 of the line without it, and `previous` that of the line before: a line that is
changed, removed or put in between breaks the chain (`verify`). Tokens and addresses of stores are
nowhere in it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import queue
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bams3.errors import Bams3Error, CorruptError, NotFoundError, StorageError
from bams3.reads.manifest import INDEX_ENDINGS
from bams3.server.app import Access
from bams3.server.keys import INDEXES
from bams3.server.loci import LocusMap, build, contig_names, dataset_loci, fasta_loci
from bams3.server.resources import Resource
from bams3.server.roots import Root
from bams3.server.virtual import BamFile

log = logging.getLogger(__name__)

START = "0" * 64
"""`previous` of the first line."""
_WAITING = 10_000
"""Lines that may wait to be written; then requests wait for the log."""
_MOST_LOCI = 200
_MAPS = 16
_STRETCH = re.compile(":[0-9]+-[0-9]*$")
_HEADER_BYTES = 4 << 20
_LARGEST_INDEX = 64 << 20


class AuditLog:
    """A file that is appended to, by a thread of its own.

    Attributes:
        healthy: Whether everything could be written so far. When not, data is no longer served.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._last = _last_hash(self._path)
        self._file = os.open(
            self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        self._lines: queue.Queue[tuple[Access, int, bool, datetime] | None] = queue.Queue(_WAITING)
        self._loci = _Loci()
        self.healthy = True
        self._thread = threading.Thread(target=self._write, name="bams3-audit", daemon=True)
        self._thread.start()

    def note(self, access: Access, sent: int, complete: bool) -> None:
        """Take note of an answer that is over; waits where the log cannot keep up."""
        self._lines.put((access, sent, complete, datetime.now(UTC)))

    def close(self) -> None:
        """Write what is waiting, and flush it to the disk."""
        self._lines.put(None)
        self._thread.join()
        with suppress(OSError):  # pipes and devices cannot be flushed
            os.fsync(self._file)
        os.close(self._file)

    def _write(self) -> None:
        while (item := self._lines.get()) is not None:
            try:
                self._append(self._entry(*item))
            except Exception:
                self.healthy = False
                log.exception("the audit log cannot be written: no more data is served")

    def _entry(self, access: Access, sent: int, complete: bool, time: datetime) -> dict[str, Any]:
        spans = [list(span) for span in access.spans]
        entry: dict[str, Any] = {
            "time": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "user": access.user,
            "peer": access.peer,
            "method": access.method,
            "file": f"{access.root.name}/{access.key}",
            "etag": access.etag,
            "status": access.status,
            "ranges": spans,
            "sent": sent,
            "complete": complete,
        }
        loci = _few(list(access.regions)) or self._loci.of(access, sent)
        if loci is not None:
            entry["loci"] = loci
        return entry

    def _append(self, entry: dict[str, Any]) -> None:
        entry["previous"] = self._last
        self._last = entry["hash"] = _hash(entry)
        line = json.dumps(entry, ensure_ascii=False).encode() + b"\n"
        if os.write(self._file, line) != len(line):
            raise StorageError(f"{self._path}: a line was written in part", "make room")


def verify(path: str | os.PathLike[str]) -> int:
    """Check the chain of an audit log; return the number of lines.

    Raises:
        CorruptError: A line was changed, removed or inserted; the message says which.
        NotFoundError: There is no such log.
    """
    last, count = START, 0
    for count, entry in enumerate(_entries(Path(path)), 1):
        found = entry.pop("hash", "")
        if entry.get("previous") != last or _hash(entry) != found:
            raise CorruptError(
                f"{path}: line {count} does not follow from the one before",
                "it, or its neighbour, was changed, removed or inserted",
            )
        last = found
    return count


def _entries(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with open(path, encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                try:
                    yield json.loads(line)
                except ValueError:
                    raise CorruptError(f"{path}: line {number} is not JSON", "restore it") from None
    except FileNotFoundError as error:
        raise NotFoundError(f"{path}: there is no such log") from error


def _hash(entry: dict[str, Any]) -> str:
    text = json.dumps(entry, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _last_hash(path: Path) -> str:
    """Return where the chain of a log goes on; a line torn by a crash is made out as damage."""
    last = START
    if path.is_file():
        for entry in _entries(path):
            last = str(entry.get("hash"))
    return last


class _Loci:
    """Maps bytes to places, with the indexes last used."""

    def __init__(self) -> None:
        self._maps: OrderedDict[tuple[str, str, str], LocusMap | None] = OrderedDict()

    def of(self, access: Access, sent: int) -> list[str] | None:
        """Return the places that were sent, None where that cannot be told."""
        key, root = access.key.lower(), access.root
        if key.endswith((*INDEXES, *INDEX_ENDINGS)):
            return []
        spans = _sent(access.spans, sent)
        try:
            if key.endswith((".chunk", ".json", ".zst")):
                return dataset_loci(access.key)
            if key.endswith((".fa", ".fasta", ".fna")):
                return _few(fasta_loci(_whole(root, f"{access.key}.fai"), None, spans))
            if key.endswith((".fa.gz", ".fasta.gz", ".fna.gz")):
                fai, gzi = (_whole(root, access.key + end) for end in (".fai", ".gzi"))
                return _few(fasta_loci(fai, gzi, spans))
            found = self._map(access)
            return _few(found.loci(spans)) if found else None
        except Bams3Error:
            return None

    def _map(self, access: Access) -> LocusMap | None:
        name = access.root.name, access.key, access.etag
        if name not in self._maps:
            self._maps[name] = _made(access.root, access.key)
            while len(self._maps) > _MAPS:
                self._maps.popitem(last=False)
        self._maps.move_to_end(name)
        return self._maps[name]


def _made(root: Root, key: str) -> LocusMap | None:
    with closing(root.open(key)) as found:
        if isinstance(found, BamFile):
            return found.locus_map()
    endings = {".bam": (".bai", ".csi"), ".cram": (".crai",)}.get(
        key[key.rfind(".") :].lower(), (".tbi", ".csi")
    )
    for ending in endings:
        try:
            index = _whole(root, key + ending)
        except NotFoundError:
            continue
        names = [] if ending == ".tbi" else contig_names(_beginning(root, key))
        return build(index, names)
    return None


def _sent(spans: tuple[tuple[int, int], ...], sent: int) -> list[tuple[int, int]]:
    """Return the parts of the spans that left the server before the client did."""
    parts = []
    for start, end in spans:
        parts.append((start, min(end, start + sent)))
        sent = max(0, sent - (end - start))
    return parts


def _few(loci: list[str]) -> list[str]:
    """Bound the length of a line: many places become their contigs, many contigs a number."""
    if len(loci) <= _MOST_LOCI:
        return loci
    contigs = list(dict.fromkeys(_STRETCH.sub("", text) for text in loci))
    more = len(contigs) - _MOST_LOCI
    return contigs if more <= 0 else [*contigs[:_MOST_LOCI], f"and {more} more contigs"]


def _whole(root: Root, key: str) -> bytes:
    return _read(root.open(key), _LARGEST_INDEX)


def _beginning(root: Root, key: str) -> bytes:
    return _read(root.open(key), _HEADER_BYTES, cut=True)


def _read(found: Resource, most: int, cut: bool = False) -> bytes:
    try:
        if found.size > most and not cut:
            raise StorageError(f"{found.name}: is too large to be mapped")
        return b"".join(found.read(0, min(found.size, most)))
    finally:
        found.close()
