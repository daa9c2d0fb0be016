"""The manifest of a dataset, and the names of its objects.

`_metadata.json` is the one object that makes a dataset: it is written last, and holds the index and
the statistics. All other names follow from it; none is read from it.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import quote

from bams3 import _core
from bams3.errors import CorruptError, VersionError

FORMAT = "bams3"
VERSION = (1, 1)
METADATA = "_metadata.json"
SPILL = "_spill"
UNMAPPED = "unmapped"
INDEX_ENDINGS = (".tiles", ".hint", ".slices")
"""How the names of objects in `_index/` end."""
MAX_HEADER = 1 << 30
MAX_BLOB = 1 << 30
_LONGEST_NAME = 80
_SEAL = '\n "checksum": "{:016x}"\n}}\n'
_SEALED = re.compile(rb'\n "checksum": "([0-9a-f]{16})"\n}\n\Z')


class ChunkPlace(NamedTuple):
    """What names a chunk. A row of the index has the same fields."""

    first_tid: int
    last_tid: int
    start: int
    end: int
    digest: int


def chunk_key(contigs: list[tuple[str, int]], chunk: ChunkPlace | _core.ChunkRow) -> str:
    """Return the key of a chunk; contig names cannot lead out of `data/`."""
    start, end, digest = chunk.start, chunk.end, chunk.digest
    names = [_name(contigs, chunk.first_tid), _name(contigs, chunk.last_tid)]
    folder = "+".join(names[: 1 + (names[0] != names[1])])
    return f"data/{folder}/{start:09d}-{end:09d}.{digest:016x}.chunk"


def _name(contigs: list[tuple[str, int]], tid: int) -> str:
    return UNMAPPED if tid < 0 else escape(contigs[tid][0])


def escape(contig: str) -> str:
    """Escape a contig name for use in a key: reversible, unless it is very long."""
    escaped = quote(contig, safe="_.-").replace("~", "%7E")
    if contig in (UNMAPPED, ".", ".."):
        escaped = f"%{ord(contig[0]):02X}{escaped[1:]}"
    if len(escaped) > _LONGEST_NAME:
        digest = _core.hash64(contig.encode())
        return f"{contig_start(escaped)}%~{digest:016x}"
    return escaped


def contig_start(escaped: str) -> str:
    """Return the beginning of an escaped name, without half an escape at its end."""
    return escaped[: _LONGEST_NAME - 20].rsplit("%", 1)[0] or "long"


def header_key(digest: int) -> str:
    """Return the key of the header object."""
    return f"_header.{digest:016x}.zst"


def table_key(contigs: list[tuple[str, int]], table: _core.TableRow) -> str:
    """Return the key of a tile table."""
    return f"_index/{_name(contigs, table.tid)}.{table.digest:016x}.tiles"


def table_hint(contigs: list[tuple[str, int]], table: _core.TableRow) -> str:
    """Return the key of the copy of a tile table that is found without the manifest."""
    return hint_key(_name(contigs, table.tid))


class SliceTable(NamedTuple):
    """The object that holds the slices of all tiles: XXH3-64 and length."""

    digest: int
    size: int

    @property
    def key(self) -> str:
        """Its key."""
        return f"_index/{self.digest:016x}.slices"


def hint_key(name: str) -> str:
    """Return the key of a hint. `name`: escaped name of a contig, or `UNMAPPED`."""
    return f"_index/{name}.hint"


@dataclass(frozen=True)
class Manifest:
    """What `_metadata.json` says.

    Attributes:
        samples: SM of the @RG lines, sorted, each once.
        input_order: Whether equal positions keep the order of coordinate-sorted input; else reads
            on the forward strand come first.
        loss: What was given up on request, e.g. {"qualities": "bin8"}; empty where nothing was.
        digest: Sum modulo 2**128 of the XXH3-128 of the records.
        header_digest: XXH3-64 of the header object.
        header_size: Length of the header text.
        slices: Where the slices of tiles are, if any has some (since 1.1).
    """

    created_by: str
    samples: tuple[str, ...]
    input_order: bool
    profile: str
    loss: dict[str, Any]
    chunk_size: int
    records: int
    digest: int
    header_digest: int
    header_size: int
    counts: dict[str, int]
    sizes: dict[str, Any]
    index: _core.Index
    stats: _core.Stats
    slices: SliceTable | None = None
    version: tuple[int, int] = field(default=VERSION)

    def to_bytes(self) -> bytes:
        """Write as JSON: the same manifest gives the same bytes."""
        document: dict[str, Any] = {
            "format": FORMAT,
            "version": list(self.version),
            "created_by": self.created_by,
            "samples": list(self.samples),
            "order": "coordinate",
            "input_order": self.input_order,
            "profile": self.profile,
            "loss": self.loss,
            "chunk_size": self.chunk_size,
            "records": self.records,
            "digest": f"{self.digest:032x}",
            "counts": self.counts,
            "header": {"digest": f"{self.header_digest:016x}", "size": self.header_size},
            "sizes": self.sizes,
            "index": _pack(self.index.to_bytes()),
            "stats": _pack(self.stats.to_bytes()),
        }
        if self.slices is not None:
            slices = {"digest": f"{self.slices.digest:016x}", "size": self.slices.size}
            document["slices"] = slices
        return seal(json.dumps(document, indent=1).encode())

    def keys(self) -> set[str]:
        """Return the keys of all objects of the dataset but the manifest."""
        contigs = self.index.contigs
        chunks = {chunk_key(contigs, chunk) for chunk in self.index.chunks}
        tables = {table_key(contigs, table) for table in self.index.tables}
        others = {header_key(self.header_digest)}
        if self.slices is not None:
            others.add(self.slices.key)
        return chunks | tables | others

    def hints(self) -> set[str]:
        """Return the keys of the copies of tile tables, which may be missing or another's."""
        return {table_hint(self.index.contigs, table) for table in self.index.tables}

    @classmethod
    def from_bytes(cls, data: bytes, name: str = METADATA) -> Manifest:
        """Read and check a manifest.

        Raises:
            CorruptError: It is not a manifest, or damaged; the message gives `name`.
            VersionError: A newer version of the format.
        """
        try:
            document = json.loads(data)
            _check_format(document)
            _check_version(document, _is_sealed(data), name)
            return cls(**_fields(document))
        except (KeyError, TypeError, ValueError, RecursionError, CorruptError) as error:
            raise CorruptError(
                f"{name}: damaged manifest: {error or type(error).__name__}"
            ) from error


def seal(document: bytes) -> bytes:
    """Put the checksum of all that stands before it at the end of a JSON object."""
    body = document.rstrip().removesuffix(b"}").rstrip() + b","
    return body + _SEAL.format(_core.hash64(body)).encode()


def _is_sealed(data: bytes) -> bool:
    """Whether the checksum is there; one that is wrong raises CorruptError."""
    found = _SEALED.search(data)
    if found and _core.hash64(data[: found.start()]) != int(found[1], 16):
        raise CorruptError("it fails its checksum")
    return found is not None


def _check_format(document: Any) -> None:
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise CorruptError("it does not say that it is of format bams3")


def _check_version(document: dict[str, Any], sealed: bool, name: str) -> None:
    """Refuse a newer version, which may be sealed in another way, and what is not sealed."""
    major, minor = _integers(document["version"], 2)
    if major > VERSION[0]:
        raise VersionError(
            f"{name}: written by version {major}.{minor} of the format, "
            f"this program reads up to {VERSION[0]}.x",
            "install a newer bams3",
        )
    if not sealed:
        raise CorruptError("its checksum is missing")


def _fields(document: dict[str, Any]) -> dict[str, Any]:
    major, minor = _integers(document["version"], 2)
    header = document["header"]
    return {
        "version": (major, minor),
        "created_by": _text(document["created_by"]),
        "samples": tuple(_text(sample) for sample in document["samples"]),
        "input_order": bool(document["input_order"]),
        "profile": _text(document["profile"]),
        "loss": dict(document["loss"]),
        "chunk_size": _integer(document["chunk_size"]),
        "records": _integer(document["records"]),
        "digest": _hex(document["digest"], 32),
        "counts": {_text(key): _integer(value) for key, value in document["counts"].items()},
        "header_digest": _hex(header["digest"], 16),
        "header_size": _integer(header["size"], MAX_HEADER),
        "sizes": dict(document["sizes"]),
        "index": _core.Index.from_bytes(_unpack(document["index"])),
        "stats": _core.Stats.from_bytes(_unpack(document["stats"])),
        "slices": _slices(document.get("slices")),
    }


def _slices(value: Any) -> SliceTable | None:
    if value is None:
        return None
    return SliceTable(_hex(value["digest"], 16), _integer(value["size"], MAX_BLOB))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.40} is not text")
    return value


def _integer(value: object, most: int = 1 << 63) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise TypeError(f"{value!r:.40} is not a count")
    return value


def _integers(value: object, length: int) -> list[int]:
    if not isinstance(value, list) or len(value) != length:
        raise TypeError(f"{value!r:.40} is not a list of {length} numbers")
    return [_integer(item) for item in value]


def _hex(value: object, digits: int) -> int:
    if not re.fullmatch(f"[0-9a-f]{{{digits}}}", _text(value)):
        raise ValueError(f"{value!r:.40} is not a digest")
    return int(_text(value), 16)


def _pack(data: bytes) -> str:
    return base64.b64encode(_core.zstd_compress(data, 9)).decode()


def _unpack(text: object) -> bytes:
    try:
        data = base64.b64decode(_text(text), validate=True)
    except binascii.Error as error:
        raise ValueError(f"not base64: {error}") from error
    return _core.zstd_decompress(data, MAX_BLOB)
