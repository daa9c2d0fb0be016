"""Run folders, configurations and a bucket in memory, made for tests."""

from __future__ import annotations

import hashlib
import json
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bams3.errors import NotFoundError, StorageError
from bams3.runs.config import Config, read_config
from bams3.runs.place import Done, Outcome
from bams3.storage.objects import ObjectInfo

NOVASEQ = "230912_A00187_1009_AHK33MDRX3"
MARKERS = ("RTAComplete.txt", "SequenceComplete.txt", "CopyComplete.txt")
HOUR = 3600


def run_info(name: str, instrument: str = "A00187") -> str:
    return (
        f'<?xml version="1.0" encoding="utf-8"?>\n<RunInfo Version="5">\n\t<Run Id="{name}" '
        f'Number="1">\n\t\t<Flowcell>HK33MDRX3</Flowcell>\n\t\t<Instrument>{instrument}'
        "</Instrument>\n\t\t<Date>9/12/2023</Date>\n\t</Run>\n</RunInfo>\n"
    )


def sheet(samples: Sequence[str] = ("sample_1_assay_1", "sample_2_assay_1")) -> str:
    rows = "".join(f"{name},{name},A1,ACGT\n" for name in samples)
    return f"[Header]\nIEMFileVersion,4\n\n[Data]\nSample_ID,Sample_Name,Well,index\n{rows}"


def make_run(
    folder: Path,
    name: str = NOVASEQ,
    *,
    instrument: str = "A00187",
    samples: Sequence[str] | None = ("sample_1_assay_1", "sample_2_assay_1"),
    markers: Sequence[str] = MARKERS,
    cycles: int = 3,
    age: float = HOUR,
) -> Path:
    """Make a run folder of some files of different sizes, all of which were written `age` ago."""
    run = folder / name
    write(run / "RunInfo.xml", run_info(name, instrument))
    write(run / "RunParameters.xml", "<RunParameters/>")
    if samples is not None:
        write(run / "SampleSheet.csv", sheet(samples))
    source = random.Random(name)
    for cycle in range(1, cycles + 1):
        path = run / f"Data/Intensities/BaseCalls/L001/C{cycle}.1/L001_1.cbcl"
        write(path, source.randbytes(1000 * cycle))
    write(run / "InterOp/QMetricsOut.bin", source.randbytes(500))
    write(run / "Logs/run.log", "started\n")
    write(run / "Thumbnail_Images/L001/C1.1/s_1_1101_a.png", source.randbytes(100))
    for marker in markers:
        write(run / marker, f"{marker}\n")
    set_age(run, age)
    return run


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def set_age(run: Path, seconds: float) -> None:
    """Date all files of a run back."""
    when = time.time() - seconds
    for path in run.rglob("*"):
        if path.is_file() and not path.is_symlink():
            os.utime(path, (when, when))


def contents(run: Path) -> dict[str, bytes]:
    """Return the bytes of all files of a run by their path inside it."""
    return {
        str(path.relative_to(run)): path.read_bytes() for path in run.rglob("*") if path.is_file()
    }


def config_table(folder: Path, *entries: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a configuration whose logs are below `folder`."""
    return {
        "max_cores": 2,
        "max_threads": 4,
        "log_level": "INFO",
        "log_dir": str(folder / "logs"),
        "monitor": list(entries),
        **more,
    }


def entry(*directories: Path, bucket: str = "lab", remote_path: str = "/", **more: Any) -> Any:
    found = [str(directory) for directory in directories]
    return {"monitored_directories": found, "bucket": bucket, "remote_path": remote_path, **more}


def config_file(folder: Path, table: Any, name: str = "config.json") -> Path:
    return write(folder / name, json.dumps(table))


def config(folder: Path, *entries: dict[str, Any], **more: Any) -> Config:
    more = {"settle_seconds": 0, **more}
    return read_config(config_file(folder, config_table(folder, *entries, **more)))


class MemoryPlace:
    """A bucket in memory. `before` is called with each key before its file is read."""

    def __init__(self, bucket: str = "lab") -> None:
        self.bucket = bucket
        self.objects: dict[str, bytes] = {}
        self.sent: list[str] = []
        self.unfinished: list[str] = []
        self.fail: set[str] = set()
        self.before: Callable[[str], None] = lambda _: None
        self.calls: list[str] = []
        self.missing = False

    def send(
        self, files: Sequence[tuple[Path, str]], exists: str, unfinished: str, done: Done
    ) -> None:
        self.unfinished.append(unfinished)
        for path, key in files:
            self.before(key)
            done(key, self._send(path, key, exists))

    def _send(self, path: Path, key: str, exists: str) -> Outcome:
        url = f"s3://{self.bucket}/{key}"
        self.calls.append(f"PUT {key}")
        if any(part in key for part in self.fail):
            return Outcome(str(path), url, 0, error=StorageError("injected"))
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return Outcome(str(path), url, 0, error=NotFoundError(f"{path}: no such file"))
        if exists == "skip-identical" and self.objects.get(key) == data:
            return Outcome(str(path), url, len(data), _etag(data), len(data), skipped=True)
        self.objects[key] = data
        self.sent.append(key)
        return Outcome(str(path), url, len(data), etag=_etag(data), crc64nvme=len(data))

    def put(self, key: str, data: bytes) -> None:
        self.calls.append(f"PUT {key}")
        if any(part in key for part in self.fail):
            raise StorageError(f"{key}: injected")
        self.objects[key] = data

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        self.calls.append(f"LIST {prefix}")
        for key, data in sorted(self.objects.items()):
            if key.startswith(prefix):
                yield ObjectInfo(key, len(data), _etag(data), datetime.now(UTC))

    def delete(self, key: str) -> None:
        self.calls.append(f"DELETE {key}")
        self.objects.pop(key, None)

    def check(self) -> None:
        if self.missing:
            raise NotFoundError(f"s3://{self.bucket}: no such bucket")

    def close(self) -> None:
        self.calls.append("CLOSE")

    def run(self, prefix: str) -> dict[str, bytes]:
        """Return the objects of a run by their path inside it, without the manifest."""
        start = f"{prefix}/"
        found = {k[len(start) :]: v for k, v in self.objects.items() if k.startswith(start)}
        found.pop("bams3-manifest.json", None)
        return found

    def manifest(self, prefix: str) -> Any:
        return json.loads(self.objects[f"{prefix}/bams3-manifest.json"])


def _etag(data: bytes) -> str:
    return f'"{hashlib.md5(data).hexdigest()}"'
