"""The commands, run as a person runs them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bams3.cli import cli
from tests.reads.sample import make_bam, make_dataset, samtools

ROOT = Path(__file__).parents[2]


def run(*arguments: str | Path, input: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(_command(*arguments), input=input, capture_output=True, env=_env())


def _command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-c", "from bams3.cli import main; main()", *map(str, arguments)]


def _env() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT / "python")}


def out(*arguments: str | Path) -> str:
    done = run(*arguments)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


@pytest.fixture(scope="module")
def bam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bam(tmp_path_factory.mktemp("cli"), count=12_000)


@pytest.fixture(scope="module")
def dataset(bam: Path) -> str:
    return make_dataset(bam)


@pytest.mark.parametrize(
    "arguments",
    [
        ["chr1:400,000-400,100"],
        ["-c", "-F", "0x904", "-q", "30", "chr1"],
        ["-F", "UNMAP,DUP", "-f", "020", "chr2"],
        ["-G", "0x10", "*"],
        ["-M", "chr1:5,000-90,000", "chr1:80,000-100,000"],
        ["-@", "1", "b"],
    ],
    ids=" ".join,
)
def test_query_is_samtools_view(bam: Path, dataset: str, arguments: list[str]) -> None:
    options, regions = arguments[:-1], arguments[-1:]
    if "-M" in arguments:
        options, regions = ["-M"], arguments[1:]
    assert out("query", *options, dataset, *regions) == samtools("view", *options, bam, *regions)


def test_headers(bam: Path, dataset: str) -> None:
    header = samtools("view", "-H", "--no-PG", bam)
    assert out("query", "-H", "--no-PG", dataset) == header
    assert out("query", "-h", "--no-PG", dataset, "b") == header + samtools("view", bam, "b")
    assert out("query", "-H", dataset).startswith(header + "@PG\tID:bams3\t")


@pytest.mark.parametrize("ending", ["bam", "sam", "parquet", "arrow", "tsv", "json"])
def test_outputs(dataset: str, tmp_path: Path, ending: str) -> None:
    if ending in ("parquet", "arrow"):
        pytest.importorskip("pyarrow")
    path = tmp_path / f"x.{ending}"
    out("query", dataset, "chr2", "-o", path)
    assert path.stat().st_size > 1000
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


def test_convert_stats_depth_to_bam_verify_clean(bam: Path, tmp_path: Path) -> None:
    url = tmp_path / "x.bams3"
    made = run("convert", "--stdin", url, input=bam.read_bytes())
    assert made.returncode == 0 and b"12,000 records" in made.stderr
    again = run("convert", bam, url)
    assert again.returncode == 1 and again.stderr.startswith(b"error: ")
    assert json.loads(out("stats", url, "--json"))["records"] == 12_000
    assert "lossless" in out("stats", url)
    assert out("depth", url, "chr2") == samtools("depth", "-r", "chr2", bam)
    out("to-bam", url, tmp_path / "back.bam", "--no-PG")
    assert samtools("view", "-h", "--no-PG", tmp_path / "back.bam") == samtools(
        "view", "-h", "--no-PG", bam
    )
    verified = run("verify", url, "--against", bam)
    assert verified.stdout.startswith(b"ok: 12,000 records, the same") and not verified.stderr
    out("to-bam", url, tmp_path / "program.bam")
    verified = run("verify", url, "--against", tmp_path / "program.bam")
    assert verified.stdout.startswith(b"ok: 12,000 records, the same")
    assert verified.stderr.startswith(b"note: the header of ")
    (url / "_spill").mkdir()
    (url / "_spill" / "left.spill").write_bytes(b"12345")
    assert out("clean", url) == "1 objects removed, 5 B\n"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["query", "DATASET", "1:5"], 1, "error: there is no contig '1'"),
        (["query", "DATASET", "chr1:7-3"], 1, "error: region 'chr1:7-3' ends before"),
        (["query", "nowhere", "chr1"], 1, "error: there is no dataset at"),
        (["query", "DATASET", "--columns", "x", "-o", "-", "--format", "tsv"], 2, "no column"),
        (["query", "DATASET", "-f", "x"], 2, "no flag name"),
        (["query", "DATASET", "--columns", "pos"], 2, "--columns is for tables"),
        (["depth", "DATASET", "--by", "0"], 2, "windows have 1 base or more, not 0"),
        (["depth", "DATASET", "--by", "no.bed"], 1, "error: no.bed: No such file or directory\n"),
        (["convert", "a"], 2, "give SRC and DEST"),
        (["nothing"], 2, "No such command"),
        (["query", "gs://x/y"], 2, "error: "),
    ],
)
def test_errors(
    dataset: str, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    done = run(*(dataset if part == "DATASET" else part for part in arguments))
    assert (done.returncode, message in done.stderr.decode()) == (code, True), done.stderr
    assert done.stdout == b""


def test_closed_pipe_is_quiet(dataset: str) -> None:
    child = subprocess.Popen(
        _command("query", dataset), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=_env()
    )
    assert child.stdout is not None and child.stderr is not None
    child.stdout.read(100)
    child.stdout.close()
    assert child.stderr.read() == b""
    assert child.wait() == 0
    child.stderr.close()


def test_interrupt(tmp_path: Path) -> None:
    child = subprocess.Popen(
        _command("convert", "--stdin", tmp_path / "x.bams3"),
        stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=_env(),
    )  # fmt: skip
    assert child.stdin is not None and child.stderr is not None
    child.stdin.write(b"@SQ\tSN:a\tLN:5\n")
    child.stdin.flush()
    time.sleep(1)
    child.send_signal(signal.SIGINT)
    assert child.wait(20) == 130
    assert child.stderr.read().strip().endswith(b"interrupted")
    child.stdin.close()
    child.stderr.close()
    assert not (tmp_path / "x.bams3" / "_metadata.json").exists()


def test_every_command_has_an_example() -> None:
    for name, command in cli.commands.items():
        assert f"bams3 {name} " in (command.help or ""), name


@pytest.mark.parametrize("group", ["", "transfer", "runs", "variants", "cloud"])
def test_help_of_groups_cuts_no_sentence_off(group: str) -> None:
    _, commands = out(*group.split(), "--help").split("Commands:\n")
    assert "..." not in commands and commands.endswith(".\n")


def test_version_and_start_up() -> None:
    assert out("--version").startswith("bams3 ")
    heavy = "{'rich', 'pysam', 'obstore', 'bams3._core'}"
    code = f"import bams3.cli, sys; print([m for m in sys.modules if m in {heavy}])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=_env())
    assert done.stdout.strip() == b"[]"
