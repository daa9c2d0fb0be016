"""Write the layer of the AWS Lambda function: a wheel of bams3 with all that it needs, as a zip.

    python recipes/layer.py WHEEL OUTPUT [--python 3.12] [--architecture x86_64]

The same wheel and the same packages give the same bytes. Packages come as wheels from PyPI, for the
Python and the processor of the function; nothing is compiled. `make layer` builds the wheel first.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

LARGEST = 250 << 20
"""Bytes of all layers of a function, unpacked: a limit of AWS."""
PLATFORMS = {"x86_64": "x86_64-manylinux_2_34", "arm64": "aarch64-manylinux_2_34"}
"""Amazon Linux 2023, on which Python 3.12 and later run there, has glibc 2.34."""
EPOCH = (1980, 1, 1, 0, 0, 0)
OF_THIS_MACHINE = {".lock", "RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json"}


def main() -> None:
    """Parse the command line and write the layer."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--python", default="3.12")
    parser.add_argument("--architecture", choices=sorted(PLATFORMS), default="x86_64")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        install(args.wheel, Path(name) / "python", args.python, PLATFORMS[args.architecture])
        size = pack(Path(name), args.output)
    packed = args.output.stat().st_size
    print(f"{args.output}: {packed / 2**20:.0f} MiB, unpacked {size / 2**20:.0f} MiB")


def install(wheel: Path, folder: Path, python: str, platform: str) -> None:
    """Install a wheel and what it needs into a folder."""
    beside = Path(sys.executable).with_name("uv")
    uv = str(beside) if beside.exists() else shutil.which("uv")
    if uv is None:
        sys.exit("error: uv is missing\nhint: pip install uv")
    command = [uv, "pip", "install", "--quiet", "--target", str(folder), "--only-binary", ":all:"]
    command += ["--python-version", python, "--python-platform", platform, f"{wheel}[cloud]"]
    done = subprocess.run(command)
    if done.returncode:
        sys.exit(f"error: {wheel.name} could not be installed for Python {python}, {platform}")


def pack(folder: Path, output: Path) -> int:
    """Write the files of a folder into a zip; return their bytes."""
    size = 0
    output.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as file:
        paths = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if is_needed(p)}
        for name, path in sorted(paths.items()):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (0o755 if path.stat().st_mode & 0o100 else 0o644) << 16
            data = path.read_bytes()
            file.writestr(entry, data)
            size += len(data)
    if size >= LARGEST:
        sys.exit(f"error: {size:,} bytes unpacked; AWS takes {LARGEST:,}")
    return size


def is_needed(path: Path) -> bool:
    """Whether a file belongs into the layer: not commands, nor what tells of this machine."""
    left_out = {"__pycache__", "bin"} & {*path.parts} or path.name in OF_THIS_MACHINE
    return path.is_file() and not left_out


if __name__ == "__main__":
    main()
