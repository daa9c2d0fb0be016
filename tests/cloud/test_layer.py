"""The layer and the image of the function: what is in them, and that the layer answers."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import boto3
import pytest

from bams3.cloud.layer import check_layer
from bams3.storage import open_store
from tests.servers.lambda_runtime import Lambda
from tests.variants.sample import Sample

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "recipes" / "layer.py"
VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"
# As the runtime of AWS does: what layers hold is put on the path of this process alone.
BOOTSTRAP = """
import runpy, sys
layer, runtime, *arguments = sys.argv[1:]
sys.path += [layer, runtime]
sys.argv = ["awslambdaric", *arguments]
runpy.run_module("awslambdaric", run_name="__main__")
"""


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as a wheel."""
    maturin = Path(sys.executable).with_name("maturin")
    if not maturin.exists() or shutil.which("cargo") is None:
        pytest.skip("maturin or cargo is missing: the layer is made from a wheel")
    folder = tmp_path_factory.mktemp("wheel")
    command = [str(maturin), "build", "--quiet", "--release", "--out", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True)
    (made,) = folder.glob("*.whl")
    return made


def make(wheel: Path, output: Path) -> Path:
    command = [sys.executable, str(RECIPE), str(wheel), str(output), "--python", VERSION]
    done = subprocess.run(command, capture_output=True, text=True)
    if "Failed to fetch" in done.stderr or "dns error" in done.stderr:
        pytest.skip("the layer needs packages from PyPI")
    assert done.returncode == 0, done.stderr
    assert str(output) in done.stdout and "unpacked" in done.stdout
    return output


@pytest.fixture(scope="session")
def layer_file(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(wheel, tmp_path_factory.mktemp("made") / "layer.zip")


def test_it_is_reproducible_and_small_enough(layer_file: Path, wheel: Path, tmp_path: Path) -> None:
    again = make(wheel, tmp_path / "other" / "name.zip")
    digests = {hashlib.sha256(p.read_bytes()).hexdigest() for p in (layer_file, again)}
    assert len(digests) == 1
    assert 50 << 20 < check_layer(str(layer_file)) < 250 << 20
    with zipfile.ZipFile(layer_file) as file:
        names = file.namelist()
    assert names == sorted(names) and all(name.startswith("python/") for name in names)
    assert not [n for n in names if re.search(r"\.pyc$|/bin/|direct_url|RECORD$", n)]
    for needed in ("bams3/variants/handler.py", "pysam/libcbcf", "boto3/__init__.py"):
        assert any(needed in name for name in names), needed


def test_the_unpacked_layer_answers(
    layer_file: Path, normal: Sample, real_s3: str, tmp_path: Path
) -> None:
    """On an interpreter without our packages, with the layer on the path as Lambda does it."""
    with zipfile.ZipFile(layer_file) as file:
        file.extractall(tmp_path / "opt")
    uv = str(Path(sys.executable).with_name("uv"))
    subprocess.run(
        [uv, "pip", "install", "-q", "--target", tmp_path / "ric", "awslambdaric"], check=True
    )
    store = open_store(real_s3)
    for name in ("ref.fa", "ref.fa.fai", "x.bam", "x.bam.bai"):
        store.put(name, (normal.folder / name).read_bytes())
    store.put("x.cram", Path(normal.cram).read_bytes())
    store.put("x.cram.crai", (normal.folder / "x.cram.crai").read_bytes())
    kept = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    bucket = real_s3.removeprefix("s3://")
    environ = {
        **kept, "PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "BUCKET_RESULTS": bucket,
        "REFERENCE": f"{real_s3}/ref.fa",
    }  # fmt: skip
    python = str(getattr(sys, "_base_executable", sys.executable))
    absent = subprocess.run([python, "-c", "import bams3"], env=environ, capture_output=True)
    assert absent.returncode == 1, "the base interpreter has a bams3 of its own"
    program = [python, "-c", BOOTSTRAP, str(tmp_path / "opt" / "python"), str(tmp_path / "ric")]
    with Lambda("bams3.variants.handler.lambda_handler", environ, 1, program=program) as server:
        function = boto3.client("lambda", region_name="us-east-1", endpoint_url=server.url)
        for name in ("x.bam", "x.cram"):
            event = {"bucket": bucket, "key": name, "region": "chr2:1-9000"}
            answer = function.invoke(FunctionName="f", Payload=json.dumps(event).encode())
            reply = json.loads(answer["Payload"].read())
            assert "FunctionError" not in answer, reply
            assert reply["body"]["variants"] > 5


# ---- images --------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["Dockerfile", "recipes/batch/Dockerfile"])
def test_what_an_image_copies_is_there(name: str) -> None:
    """No docker builds it here, so at least what it copies has to exist."""
    text = (ROOT / name).read_text().replace("\\\n", " ")
    stages = set(re.findall(r"^FROM \S+ AS (\S+)$", text, re.M))
    copied = re.findall(r"^COPY (.+)$", text, re.M)
    assert copied
    for line in copied:
        *sources, _ = [word for word in line.split() if not word.startswith("--")]
        stage = re.search(r"--from=(\S+)", line)
        if stage:
            assert stage[1] in stages, line
        else:
            assert all((ROOT / source).exists() for source in sources), line
    for pinned in re.findall(r"^FROM (\S+)", text, re.M):
        assert ":" in pinned and not pinned.endswith(":latest"), pinned


def test_the_image_runs_the_handler() -> None:
    text = (ROOT / "Dockerfile").read_text()
    (handler,) = re.findall(r'^CMD \["(.+)"\]$', text, re.M)
    module, _, name = handler.rpartition(".")
    assert callable(getattr(__import__(module, fromlist=[name]), name))
