"""Requests: a 1 kb query, cold and warm, counted at a server that adds 50 ms to each request.

Of 40 Mb, beside samtools; and of what has the shape of a whole human genome, of which 4 Mb are
there.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pysam
from tests.reads import genome
from tests.servers import fake_s3

from benchmarks import inputs
from benchmarks.tables import Table, verdict
from benchmarks.timing import BAMS3, PYTHON, newest_samtools, samtools_versions

LATENCY = 0.05
TILE = 500_000
SPAN = 1_000
BUCKET = "bench"
CLIENT = Path(__file__).with_name("client.py")
MOST_BYTES = 600_000
GENOMES = {195: "GRCh38 without alternates", 3366: "GRCh38 with alternates, decoys and HLA"}
GENOME_TILES = 8


@dataclass(frozen=True)
class Traffic:
    """What a query cost: requests, requests that waited for one another, bytes sent, seconds."""

    requests: int
    rounds: int
    sent: int
    seconds: float


def tables(tiles: int, rounds: int) -> list[Table]:
    """Count the requests of both."""
    return [_beside_samtools(tiles, rounds), _whole_genome(rounds)]


def _whole_genome(rounds: int) -> Table:
    """Query datasets of the shape of a whole genome, in the piece of it that is there."""
    folder = inputs.CACHE / "requests-genome"
    table = Table(
        f"A 1 kb query of a whole human genome at 30x on S3, {LATENCY * 1000:.0f} ms added to each "
        "request",
        ["query", "client", "requests", "serial rounds", "bytes sent", "seconds", "target"],
    )
    how = {count: prepare_genome(folder, count) for count in GENOMES}
    positions = [int(TILE * GENOME_TILES * n / (rounds + 2)) for n in range(1, rounds + 2)]
    regions = [f"chr1:{at}-{at + SPAN - 1}" for at in positions]
    with CountingS3() as server, _environment(server):
        _serve(server, folder)
        for count in GENOMES:
            url = f"s3://{BUCKET}/{count}.bams3"
            for label, more in (("bams3", []), ("bams3, count only", ["-c"])):
                words = [[BAMS3, "query", *more, url, region] for region in regions]
                found = [_counted(server, lambda w=w: _quietly(w)) for w in words]
                _row(table, "cold", f"{label}, {count:,} contigs", found, 2)
            found = _session(server, ("bams3", url), regions)
            _row(table, "warm", f"bams3 (Python), {count:,} contigs", found, 1)
    table.notes = [
        "The index of all chunks is there, but of the chunks only those of "
        f"{TILE * GENOME_TILES / 1e6:g} Mb of chr1, which are queried: tests/reads/genome.py.",
        *(f"{name}, {count:,} contigs: {how[count]}." for count, name in GENOMES.items()),
    ]
    table.commands = [f"bams3 query s3://{BUCKET}/195.bams3 chr1:A-B"]
    return table


def _beside_samtools(tiles: int, rounds: int) -> Table:
    """Make the dataset, BAM and CRAM where they are not in the cache, and query them."""
    folder = inputs.CACHE / f"requests-{tiles}"
    how = prepare(folder, tiles)
    table = Table(
        f"A 1 kb query of {tiles * TILE / 1e6:g} Mb at 30x on S3, "
        f"{LATENCY * 1000:.0f} ms added to each request",
        ["query", "client", "requests", "serial rounds", "bytes sent", "seconds", "target"],
    )
    with CountingS3() as server, _environment(server):
        _serve(server, folder)
        positions = [int(TILE * tiles * n / (rounds + 2)) for n in range(1, rounds + 2)]
        for label, words in _cold(positions).items():
            found = [_counted(server, lambda w=w: _quietly(w)) for w in words]
            _row(table, "cold", label, found, 2)
        regions = [f"20:{at}-{at + SPAN - 1}" for at in positions]
        for label, source in _warm().items():
            _row(table, "warm", label, _session(server, source, regions), 1)
    sizes = {
        name: _size(folder / name)
        for name in (
            "x.bam",
            "x.bam.bai",
            "x.cram",
            "x.cram.crai",
            "x.bams3",
            "x.bams3/_metadata.json",
        )
    }
    listed = ", ".join(f"{name} {size:,}" for name, size in sizes.items())
    table.notes = [
        f"Medians over {rounds + 1} places. Cold: a new process, nothing cached, start-up in the "
        "seconds. Warm: dataset (or file and index) open, another region asked before.",
        "Serial rounds: the longest chain of requests that each began after the server had begun "
        "to answer the one before. Bytes sent: body bytes that the server wrote before the client "
        "hung up. Of the cold requests of bams3 one asks for a hint, which so small a dataset does "
        "not have.",
        f"Data: {how}; bams3 balanced; CRAM 3.1 normal with embedded reference. Bytes: {listed}.",
    ]
    table.commands = [
        "bams3 query s3://bench/x.bams3 20:A-B", "bams3 query -c s3://bench/x.bams3 20:A-B",
        "samtools view s3+http://bench/x.bam 20:A-B", "samtools view s3+http://bench/x.cram 20:A-B",
    ]  # fmt: skip
    return table


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(item.stat().st_size for item in path.rglob("*") if item.is_file())


# ---- data ----------------------------------------------------------------------------------------
def prepare(folder: Path, tiles: int) -> str:
    """Write x.bam, x.cram (reference embedded), both indexed, and x.bams3; say how."""
    done = folder / "how.txt"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        bam, how = folder / "x.bam", _tile(folder / "x.bam", tiles)
        print("  CRAM, indexes, dataset", file=sys.stderr)
        start, cram = newest_samtools(), folder / "x.cram"
        _quietly([*start, "index", "-@", "1", str(bam)])
        _quietly(
            [
                *start,
                "view",
                "-@",
                "1",
                "-O",
                "cram,version=3.1,embed_ref=2",
                "-o",
                str(cram),
                str(bam),
            ]
        )
        _quietly([*start, "index", "-@", "1", str(cram)])
        shutil.rmtree(folder / "x.bams3", ignore_errors=True)
        _quietly([BAMS3, "convert", str(bam), str(folder / "x.bams3"), "--quiet"])
        done.write_text(how)
    return done.read_text()


def prepare_genome(folder: Path, contigs: int) -> str:
    """Write a dataset of the shape of a whole genome; say what its index is made of."""
    target = folder / f"{contigs}.bams3"
    if not (target / "_metadata.json").exists():
        print(f"  whole genome, {contigs} contigs", file=sys.stderr)
        with tempfile.TemporaryDirectory() as name:
            bam, made = Path(name) / "x.bam", Path(name) / "x.bams3"
            _tile(bam, GENOME_TILES, genome.contigs(contigs))
            _quietly([BAMS3, "convert", str(bam), str(made), "--quiet"])
            paths = [path for path in made.rglob("*") if path.is_file()]
            objects = {str(path.relative_to(made)): path.read_bytes() for path in paths}
        for key, data in sorted(genome.widen(objects).items(), reverse=True):
            (target / key).parent.mkdir(parents=True, exist_ok=True)
            (target / key).write_bytes(data)
    size = _size(target / "_metadata.json")
    hints = {path.stem: _size(path) for path in (target / "_index").glob("*.hint")}
    return (
        f"_metadata.json {size:,} bytes; {len(hints)} tile tables, chr1 {hints['chr1']:,}, "
        f"together {sum(hints.values()):,}"
    )


def _tile(into: Path, tiles: int, contigs: list[tuple[str, int]] | None = None) -> str:
    """Lay half a megabase of reads end to end, so many times; names differ in the run number.

    With other contigs, they lie on the first, and a few on each of the others.
    """
    source, how = _source(into.parent)
    with pysam.AlignmentFile(str(source)) as reads:
        header, name = reads.header.to_dict(), "20"
        records = list(reads.fetch(until_eof=True))
    start = min(read.reference_start for read in records if read.reference_id >= 0)
    contig = next(c for c in header["SQ"] if c["SN"] == name or len(header["SQ"]) == 1)
    contig["LN"] = max(contig["LN"], TILE * (tiles + 1))
    placed = [
        read for read in records if read.reference_id >= 0 and read.reference_start < start + TILE
    ]
    if contigs:
        header["SQ"] = [{"SN": name, "LN": length} for name, length in contigs]
        placed = list(_moved(placed, pysam.AlignmentHeader.from_dict(header)))
    with pysam.AlignmentFile(str(into), "wb", header=header, threads=2) as out:
        for tile in range(tiles):
            print(f"  tile {tile + 1} of {tiles}", file=sys.stderr) if tile % 20 == 0 else None
            _shift(placed, (TILE if tile else -start), tile)
            for read in placed:
                out.write(read)
        chance = random.Random(1)
        for tid in range(1, len(contigs or ())):
            for read in chance.choices(placed, k=chance.randrange(1, 9)):
                read.reference_id, read.reference_start = tid, 9
                out.write(read)
    return f"{how}, {tiles} times end to end"


def _moved(
    reads: list[pysam.AlignedSegment], header: pysam.AlignmentHeader
) -> Iterator[pysam.AlignedSegment]:
    """Yield reads as they are on the first contig of another header."""
    place = {"ref_name": header.references[0], "next_ref_name": "="}
    for read in reads:
        yield pysam.AlignedSegment.from_dict(read.to_dict() | place, header)


def _shift(reads: list[pysam.AlignedSegment], by: int, tile: int) -> None:
    for read in reads:
        read.reference_start += by
        if read.next_reference_id == read.reference_id:
            read.next_reference_start = max(0, read.next_reference_start + by)
        head, _, rest = read.query_name.partition(":")
        _, _, rest = rest.partition(":")
        read.query_name = f"{head}:{100 + tile}:{rest}"


def _source(folder: Path) -> tuple[Path, str]:
    data = inputs.data()
    found = data / f"{inputs.SIMULATED}/reads.bam" if data else None
    if found and found.exists():
        return found, f"{inputs.SIMULATED} (simulated)"
    sam, _, how = inputs.stream(50_000, "minimap2")
    target = folder / "source.bam"
    _quietly([*newest_samtools(), "sort", "-o", str(target), str(sam)])
    return target, how


# ---- server --------------------------------------------------------------------------------------
class CountingS3(fake_s3.FakeS3):
    """The S3 server of the tests; it also notes when it began to answer, and what it sent."""

    def __init__(self) -> None:
        super().__init__()
        self.RequestHandlerClass = _Handler
        self.latency = LATENCY
        self.spans: list[tuple[float, float, int]] = []


class _Handler(fake_s3.Handler):
    server: CountingS3

    def handle_any(self) -> None:
        self.sent, self.answered, out = 0, 0.0, self.wfile
        self.wfile = _Counter(out, self)
        try:
            super().handle_any()
        except OSError:
            self.close_connection = True
        finally:
            self.wfile = out
            self.server.spans.append((self.started, self.answered or time.monotonic(), self.sent))

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any


class _Counter:
    """A writer that counts the bytes of bodies that it got rid of, 64 KiB at a time."""

    def __init__(self, out: object, handler: _Handler) -> None:
        self.out, self.handler, self.head = out, handler, True

    def write(self, data: bytes) -> int:
        if self.head:  # the status line and the headers come first, in one piece
            self.head, self.handler.answered = False, time.monotonic()
            return self.out.write(data)
        view = memoryview(data)
        for at in range(0, len(view), 1 << 16):
            self.out.write(view[at : at + (1 << 16)])
            self.handler.sent += len(view[at : at + (1 << 16)])
        return len(view)

    def flush(self) -> None:
        self.out.flush()


def _serve(server: CountingS3, folder: Path) -> None:
    """Put the files into the server's bucket, mapped into memory and not read."""
    blobs = server.buckets.setdefault(BUCKET, {})
    for path in folder.rglob("*"):
        if path.is_file() and path.stat().st_size:
            with open(path, "rb") as file:
                data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            etag = hashlib.md5(str(path).encode()).hexdigest()
            blobs[str(path.relative_to(folder))] = fake_s3.Blob(data, f'"{etag}"')


@contextmanager
def _environment(server: CountingS3) -> Iterator[None]:
    """Lead all clients to the server, from an empty folder, since htslib caches indexes there."""
    kept, place = dict(os.environ), Path.cwd()
    os.environ |= {
        "AWS_ENDPOINT_URL_S3": server.url, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "throw",
        "AWS_SECRET_ACCESS_KEY": "away", "HTS_S3_HOST": server.url.removeprefix("http://"),
        "HTS_S3_ADDRESS_STYLE": "path", "PYTHONPATH": str(inputs.ROOT), "REF_PATH": "/nonexistent",
        "AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(place)
            os.environ.clear()
            os.environ |= kept


# ---- queries -------------------------------------------------------------------------------------
def _cold(positions: list[int]) -> dict[str, list[list[str]]]:
    """Return for each client the commands, one for each place."""
    regions = [f"20:{at}-{at + SPAN - 1}" for at in positions]
    found = {
        "bams3": [[BAMS3, "query", f"s3://{BUCKET}/x.bams3", region] for region in regions],
        "bams3, count only": [
            [BAMS3, "query", "-c", f"s3://{BUCKET}/x.bams3", region] for region in regions
        ],
    }
    for name, start in samtools_versions().items():
        for kind in ("bam", "cram"):
            url = f"s3+http://{BUCKET}/x.{kind}"
            found[f"{name}, {kind.upper()}"] = [[*start, "view", url, region] for region in regions]
    return found


def _warm() -> dict[str, tuple[str, str]]:
    return {
        "bams3 (Python)": ("bams3", f"s3://{BUCKET}/x.bams3"),
        "pysam, BAM": ("pysam", f"s3+http://{BUCKET}/x.bam"),
        "pysam, CRAM": ("pysam", f"s3+http://{BUCKET}/x.cram"),
    }


def _session(server: CountingS3, source: tuple[str, str], regions: list[str]) -> list[Traffic]:
    """Query one place after another with an open client; the first is not counted."""
    words = [PYTHON, str(CLIENT), *source]
    client = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    found = [_counted(server, lambda region=region: _ask(client, region)) for region in regions]
    if client.stdin:
        client.stdin.close()
    client.wait()
    return found[1:]


def _ask(client: subprocess.Popen[str], region: str) -> None:
    if client.stdin and client.stdout:
        client.stdin.write(f"{region}\n")
        client.stdin.flush()
        if not client.stdout.readline().strip().isdigit():
            raise SystemExit(f"error: {client.args}: no answer for {region}")


def _quietly(words: list[str]) -> None:
    done = subprocess.run(words, capture_output=True)
    if done.returncode:
        raise SystemExit(f"error: {words}: {done.stderr.decode()[-500:]}")


def _counted(server: CountingS3, action: object) -> Traffic:
    time.sleep(0.2)  # for connections that are being hung up
    server.reset()
    server.spans.clear()
    started = time.monotonic()
    action()
    seconds = time.monotonic() - started
    time.sleep(0.2)
    spans = list(server.spans)
    return Traffic(len(spans), serial_rounds(spans), sum(span[2] for span in spans), seconds)


def serial_rounds(spans: list[tuple[float, float, int]]) -> int:
    """Return the largest number of requests that came one after the answer to the other."""
    rounds, free = 0, float("-inf")
    for started, ended, _ in sorted(spans, key=lambda span: span[1]):
        if started >= free:
            rounds, free = rounds + 1, ended
    return rounds


def _row(table: Table, kind: str, label: str, found: list[Traffic], most: int) -> None:
    medians = [
        statistics.median(getattr(one, name) for one in found)
        for name in ("requests", "rounds", "sent", "seconds")
    ]
    requests, rounds, sent, seconds = medians
    judged = ""
    if label.startswith("bams3"):
        worst = max(one.rounds for one in found), max(one.sent for one in found)
        within = verdict(worst[0] > most or worst[1] > MOST_BYTES, 0)
        judged = f"<= {most} rounds, <= 0.6 MB: {within}"
    table.add(kind, label, f"{requests:g}", f"{rounds:g}", int(sent), f"{seconds:.2f}", judged)
