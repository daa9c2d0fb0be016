"""The commands of the recipes for Nextflow and AWS Batch, taken from their files and run.

Neither Nextflow nor Batch is here. What they would hand to a shell is.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import botocore.session
import click
import pytest
from botocore.validate import validate_parameters

from bams3.cli.variants import variants
from bams3.storage import open_store
from bams3.variants.call import call
from tests.variants.sample import read_lines

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "recipes"
TOOLS = ("bwa", "bcftools", "samtools")
needs_tools = pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in TOOLS), reason=f"needs {', '.join(TOOLS)}"
)


@pytest.fixture(scope="module")
def reads(simulated_reads: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reference with all its indexes, and FASTQ, compressed."""
    folder = tmp_path_factory.mktemp("recipes")
    shutil.copy(simulated_reads / "ref.fa", folder)
    for command in (["bwa", "index", "ref.fa"], ["samtools", "faidx", "ref.fa"]):
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    for number in "12":
        data = (simulated_reads / f"r{number}.fq").read_bytes()
        (folder / f"S1_{number}.fq.gz").write_bytes(gzip.compress(data, 1))
    return folder


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where tasks run, with `bams3` on the path."""
    program = tmp_path / "bin" / "bams3"
    program.parent.mkdir()
    python = Path(os.sys.executable)  # type: ignore[attr-defined]
    program.write_text(f'#!/bin/sh\nexec {python} -c "from bams3.cli import main; main()" "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "python"))
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def bash(script: str, folder: Path, *arguments: str) -> None:
    """Run a script as Nextflow is told to in nextflow.config."""
    shell = ["bash", "-euo", "pipefail", "-c", script, *arguments]
    done = subprocess.run(shell, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{script}\n{done.stderr}"


# ---- Nextflow ------------------------------------------------------------------------------------
def script(process: str, values: Mapping[str, str]) -> str:
    """Return the script of a process, as Nextflow would render it."""
    text = (RECIPES / "nextflow" / "main.nf").read_text()
    found = re.search(rf'^process {process} \{{.*?script:\s+"""\n(.*?)"""', text, re.M | re.S)
    assert found, process
    rendered = re.sub(r"(?<!\\)\$\{([^}]+)\}", lambda name: values[name[1]], found[1])
    assert not re.search(r"(?<!\\)\$", rendered), rendered
    return re.sub(r"\\(.)", lambda escaped: escaped[1], rendered)


def processes() -> list[str]:
    return re.findall(r"^process (\w+)", (RECIPES / "nextflow" / "main.nf").read_text(), re.M)


@needs_tools
def test_the_processes_of_nextflow(reads: Path, place: Path, real_s3: str) -> None:
    for path in reads.iterdir():
        (place / path.name).symlink_to(path)
    outdir = f"{real_s3}/run1"
    values = {"sample": "S1", "fasta": "ref.fa", "fastq": "S1_1.fq.gz S1_2.fq.gz"}
    values |= {"params.outdir": outdir, "task.cpus": "2"}
    values["dataset"] = f"{outdir}/samples/S1.bams3"
    bash(script("ALIGN", values), place)
    bash(script("CONTIGS", values), place)
    rows = [line.split("\t") for line in (place / "contigs.tsv").read_text().splitlines()]
    assert rows == [["000001", "chr1"], ["000002", "chr2"], ["000003", "chrM"]]
    for number, contig in rows:
        bash(script("CALL", {**values, "number": number, "contig": contig}), place)
    bash(script("JOIN", values), place)
    assert (place / "S1.vcf.gz.tbi").exists()
    whole = place / "whole.vcf.gz"
    call([values["dataset"]], str(reads / "ref.fa"), whole)
    assert read_lines(place / "S1.vcf.gz") == read_lines(whole) != []
    assert processes() == ["ALIGN", "CONTIGS", "CALL", "JOIN", "REPORT"]
    if isinstance(variants.commands.get("report"), click.Command):
        bash(script("REPORT", {**values, "calls": "S1.vcf.gz"}), place)
        assert "<html" in (place / "S1.html").read_text()[:2000].lower()


@needs_tools
def test_a_failing_aligner_fails_its_process(reads: Path, place: Path, real_s3: str) -> None:
    for path in reads.iterdir():
        (place / path.name).symlink_to(path)
    (place / "S1_2.fq.gz").unlink()
    values = {"sample": "S1", "fasta": "ref.fa", "fastq": "S1_1.fq.gz S1_2.fq.gz"}
    values |= {"params.outdir": f"{real_s3}/run1", "task.cpus": "2"}
    with pytest.raises(AssertionError):
        bash(script("ALIGN", values), place)


def test_nextflow_uses_that_shell_and_knows_each_process() -> None:
    text = (RECIPES / "nextflow" / "nextflow.config").read_text()
    assert "shell = ['/bin/bash', '-euo', 'pipefail']" in text
    named = re.findall(r"withName: '?([A-Z|]+)'?", text)
    assert sorted("|".join(named).split("|")) == sorted(processes())


# ---- Batch ---------------------------------------------------------------------------------------
SHAPES = {
    "compute-environment": "CreateComputeEnvironment",
    "job-queue": "CreateJobQueue",
    "align": "RegisterJobDefinition",
    "call": "RegisterJobDefinition",
}


def recipe(name: str) -> Any:
    return json.loads((RECIPES / "batch" / f"{name}.json").read_text())


@pytest.mark.parametrize("name", SHAPES)
def test_batch_takes_the_recipe(name: str) -> None:
    model = botocore.session.get_session().get_service_model("batch")
    shape = model.operation_model(SHAPES[name]).input_shape
    validate_parameters(recipe(name), shape)
    known = set(shape.members)
    assert recipe(name).keys() <= known


def rendered(name: str, **parameters: str) -> list[str]:
    """Return the command of a job definition with its parameters, as Batch does it."""
    found = recipe(name)
    values = {**found["parameters"], **parameters}
    words = found["containerProperties"]["command"]
    return [values[w.removeprefix("Ref::")] if w.startswith("Ref::") else w for w in words]


@needs_tools
def test_the_jobs_of_batch(reads: Path, place: Path, real_s3: str) -> None:
    store = open_store(real_s3)
    for path in reads.iterdir():
        folder = "fastq" if path.name.startswith("S1") else "ref"
        store.put(f"{folder}/{path.name}", path.read_bytes())
    dataset, calls = f"{real_s3}/samples/S1.bams3", f"{real_s3}/calls/S1.vcf.gz"
    align = rendered(
        "align", cpus="2", sample="S1", fastq=f"{real_s3}/fastq/S1", reference=f"{real_s3}/ref/",
        dataset=dataset,
    )  # fmt: skip
    jobs = [
        align,
        rendered("call", cpus="2", dataset=dataset, fasta=f"{real_s3}/ref/ref.fa", calls=calls),
    ]
    for job in jobs:
        done = subprocess.run(job, cwd=place, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
    (place / "made.vcf.gz").write_bytes(store.get("calls/S1.vcf.gz"))
    call([dataset], str(reads / "ref.fa"), place / "whole.vcf.gz")
    assert read_lines(place / "made.vcf.gz") == read_lines(place / "whole.vcf.gz") != []
