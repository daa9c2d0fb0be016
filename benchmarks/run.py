"""Print the tables of docs/concepts/performance.md, each figure beside its peer's.

python benchmarks/run.py [sizes|speed|requests|lossy|transfer|serve|variants|cohorts|all] [--write]
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
if not __package__:  # run as a script: its folder gives way to the root
    sys.path[0] = str(ROOT)
PAGE = ROOT / "docs" / "concepts" / "performance.md"
SECTIONS = ("sizes", "lossy", "requests", "speed", "transfer", "serve", "variants", "cohorts")


def main() -> None:
    """Run what was asked for; print Markdown on standard output, progress on standard error."""
    args = _arguments()
    os.environ["PYTHONPATH"] = os.pathsep.join((str(ROOT), str(ROOT / "python")))
    for section in SECTIONS if args.section == "all" else (args.section,):
        print(f"{section} ...", file=sys.stderr)
        load = os.getloadavg()[0]
        for name, tables in _parts(section, args):
            text = "\n".join(table.markdown() for table in tables)
            text = f"{machine(load)}\n\n{text}"
            print(f"## {name}\n\n{text}", flush=True)
            if args.write:
                from benchmarks.tables import write_page

                write_page(PAGE, name, text)
            load = os.getloadavg()[0]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("section", nargs="?", default="all", choices=[*SECTIONS, "all"])
    parser.add_argument("--write", action="store_true", help=f"also into {PAGE.name}")
    parser.add_argument("--bam", action="append", default=[], help="for sizes, instead of the list")
    parser.add_argument("--pairs", type=int, default=2_100_000, help="of the stream for speed")
    parser.add_argument("--aligner", choices=["bwa", "minimap2"], default="bwa")
    parser.add_argument("--stream", type=Path, help="a SAM file for speed, instead of a new one")
    parser.add_argument("--reference", type=Path, help="the FASTA of --stream")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each command")
    parser.add_argument(
        "--only",
        help="one task of speed, such as depth, of what a whole run made; one load of transfer: "
        "a-up, a-down, b, c; one table of serve",
    )
    parser.add_argument("--add", action="store_true", help="to the rounds before, for transfer")
    parser.add_argument("--tiles", type=int, default=80, help="half megabases, for requests")
    parser.add_argument("--quick", action="store_true", help="less data, for transfer")
    return parser.parse_args()


def _parts(section: str, args: argparse.Namespace) -> Iterator[tuple[str, list]]:
    """Yield the tables of a section under its name; those of transfer and server one by one."""
    if section == "serve":
        from benchmarks import serve

        for name, table in serve.parts(args.only, args.rounds):
            yield f"serve-{name}", [table]
    elif section == "transfer":
        from benchmarks import transfer

        for load in (args.only,) if args.only else transfer.LOADS:
            yield f"transfer-{load}", transfer.tables(load, args.rounds, args.quick, args.add)
    else:
        yield section, _tables(section, args)


def _tables(section: str, args: argparse.Namespace) -> list:
    module = importlib.import_module(f"benchmarks.{section}")
    if section == "sizes":
        return module.tables(args.bam)
    if section == "speed":
        return module.tables(args)
    if section == "requests":
        return module.tables(args.tiles, args.rounds)
    if section in ("variants", "cohorts"):
        return module.tables(args.rounds)
    return module.tables()


def machine(load: float) -> str:
    """Describe machine, versions and date in a line."""
    from benchmarks.timing import samtools_versions

    cpu = next(
        (line.split(":")[1].strip() for line in open("/proc/cpuinfo") if "model name" in line),
        platform.processor(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    commit = subprocess.run(
        ["git", "-C", ROOT, "describe", "--always", "--dirty"], capture_output=True, text=True
    ).stdout.strip()
    shown = subprocess.run(["date", "-u", "+%F %R"], capture_output=True, text=True).stdout.strip()
    return (
        f"{shown} UTC; {cpu}, {os.cpu_count()} CPUs, {memory} GiB, load {load:.1f} at the start; "
        f"Linux {platform.release()}, Python {platform.python_version()}; "
        f"{', '.join(samtools_versions())}; bams3 at {commit}."
    )


if __name__ == "__main__":
    main()
