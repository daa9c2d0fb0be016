"""Commands of bcftools in one process group: what they write, and what becomes of failures."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from bams3.errors import CallError, TooLargeError
from bams3.variants.callers import bcftools, bcftools_pipe
from bams3.variants.pipes import run

VCF = "##fileformat=VCFv4.2\n##contig=<ID=c,length=99>\n#CHROM\tPOS\tID\tREF\tALT\t"
VCF += "QUAL\tFILTER\tINFO\n"
RECORDS = [f"c\t{at}\t.\tA\tC\t.\t.\t.\n" for at in range(1, 90)]


@pytest.fixture
def vcf(tmp_path: Path) -> Path:
    path = tmp_path / "x.vcf"
    path.write_text(VCF + "".join(RECORDS))
    return path


def lines(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines(keepends=True) if line[0] != "#"]


def test_each_command_reads_what_the_one_before_writes(vcf: Path, tmp_path: Path) -> None:
    keeps = [["view", "-e", f"POS={at}", "-Ou"] for at in (3, 5, 8)]
    run([bcftools_pipe([*keeps[0], str(vcf)], *keeps[1:], ["view"])], {}, tmp_path, "out")
    expected = [line for number, line in enumerate(RECORDS, 1) if number not in (3, 5, 8)]
    assert lines(tmp_path / "out") == expected


@pytest.mark.parametrize("wrong", [0, 1, 2])
def test_any_command_that_fails_is_told(vcf: Path, tmp_path: Path, wrong: int) -> None:
    commands = [["view", str(vcf)], ["view"], ["view"]]
    commands[wrong] = ["view", "-i", "NOSUCH>1", *commands[wrong][1:]]
    with pytest.raises(CallError, match=r"bcftools: (?s:.*)view: (?s:.*)NOSUCH"):
        run([bcftools_pipe(*commands)], {}, tmp_path, "out")


def test_one_that_fails_ends_those_that_still_write(tmp_path: Path) -> None:
    many = tmp_path / "many.vcf"
    many.write_text(VCF + "".join(RECORDS) * 5_000)  # more than pipes hold
    fails = ["view", "-i", "NOSUCH>1"]
    with pytest.raises(CallError, match="NOSUCH"):
        run([bcftools_pipe(["view", str(many)], ["view"], fails)], {}, tmp_path, "out",
            time.monotonic() + 30)  # fmt: skip


@pytest.mark.parametrize("missing", [AttributeError, OSError])
def test_without_handles_of_processes(
    vcf: Path, tmp_path: Path, missing: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise missing

    monkeypatch.setattr(os, "pidfd_open", refused, raising=False)
    run([bcftools("view", str(vcf))], {}, tmp_path, "out")
    assert lines(tmp_path / "out") == RECORDS
    os.mkfifo(tmp_path / "never")
    with pytest.raises(TooLargeError, match="the time is up"):
        run([bcftools("view", "never")], {}, tmp_path, "out", time.monotonic() + 1)


@pytest.mark.parametrize("command", [0, 1])
def test_a_command_that_is_killed_counts_as_want_of_memory(tmp_path: Path, command: int) -> None:
    os.mkfifo(tmp_path / "never")
    pipe = bcftools_pipe(["view", "never"], ["view"])
    began = subprocess.Popen(pipe, cwd=tmp_path, stdout=subprocess.DEVNULL)
    writer = os.open(tmp_path / "never", os.O_WRONLY)  # returns when the first command reads
    children = Path(f"/proc/{began.pid}/task/{began.pid}/children").read_text().split()
    os.kill((int(children[0]), began.pid)[command], signal.SIGKILL)
    assert began.wait(timeout=20) == -signal.SIGKILL
    os.close(writer)
    for _ in range(100):  # the other one does not stay behind
        if not Path(f"/proc/{children[0]}").exists():
            return
        time.sleep(0.1)
    raise AssertionError("a command stays behind")


def test_a_kill_is_no_failure_of_the_caller(tmp_path: Path) -> None:
    killed = ["bash", "-c", "kill -9 $$"]
    with pytest.raises(TooLargeError, match="memory is short"):
        run([killed, bcftools("view")], {}, tmp_path, "out")
