"""Callers: what is run on the reads of a shard, as commands connected by pipes.

`bcftools` is the one that pysam carries, so the same package gives the same calls everywhere.
freebayes and other programs have to be installed where the shards are called.
"""

from __future__ import annotations

import shlex
import shutil
import string
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bams3.errors import NotFoundError, UsageError
from bams3.variants.stage import NEXT

MAX_DEPTH = 1_000_000
"""Reads over a position that are looked at. With the default of bcftools, 250, those that are left
out depend on where a region begins, so calls would depend on how a request is cut."""
_ASSEMBLIES = {"GRCh37", "GRCh38", "X", "Y", "1", "2"}
"""What `bcftools call --ploidy` knows."""
_PLACES = {"reads", "bam", "reference", "bed", "region"}


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller with its parameters: all that calls depend on, but reads and reference.

    Attributes:
        name: "bcftools", "freebayes", or a command. A command writes VCF to standard output; in it
            {reads} becomes names of BAM streams, {bam} names of indexed BAM files (temporary, with
            the reads of the shard), {reference} the FASTA, {bed} the intervals (0-based), {region}
            the first of them (1-based).
        gvcf: Depths that divide blocks of a gVCF, such as "5,10,20"; empty for variants alone.
        ploidy: As `bcftools call --ploidy`: a number or an assembly; or the path of a file.
        min_depth: Only records where a sample has so many reads.
        min_alt_count: Only records where a sample has so many reads of an alternative allele.
        max_depth: Reads over a position that bcftools looks at.
        ploidy_rules: The text of that file; see `complete`.
    """

    name: str = "bcftools"
    gvcf: str = ""
    ploidy: str = ""
    min_depth: int = 0
    min_alt_count: int = 0
    max_depth: int = MAX_DEPTH
    ploidy_rules: str = ""

    def __post_init__(self) -> None:
        if self.gvcf and not all(part.isdigit() for part in self.gvcf.split(",")):
            raise UsageError(f"--gvcf {self.gvcf}: not depths", "write --gvcf 5,10,20")
        if self.gvcf and (self.min_depth or self.min_alt_count):
            raise UsageError("--gvcf keeps every site: it does not go with a least depth or count")
        if self.name not in ("bcftools", "freebayes"):
            self._check_command()

    def _check_command(self) -> None:
        try:
            named = {place for _, place, _, _ in string.Formatter().parse(self.name) if place}
        except ValueError as error:
            raise UsageError(f"--caller {self.name!r}: {error}") from error
        if named - _PLACES or not named & {"reads", "bam"}:
            raise UsageError(
                f"--caller {self.name!r}: is no caller, and no command with {{reads}} or {{bam}}",
                "write bcftools, freebayes or 'mycaller -f {reference} {bam}'",
            )
        if self.gvcf or self.ploidy:
            raise UsageError("--gvcf and --ploidy are for bcftools and freebayes")

    def complete(self) -> Caller:
        """Return it with the rules of a ploidy file instead of its name.

        So workers elsewhere have them, and calls by other rules are calls of another job.

        Raises:
            UsageError: The ploidy is neither what the caller knows, nor a file.
        """
        known = _ASSEMBLIES if self.name == "bcftools" else ()
        if not self.ploidy or self.ploidy.rstrip("?") in known:
            return self
        if self.name == "bcftools" and Path(self.ploidy).is_file():
            rules = Path(self.ploidy).read_text(errors="surrogateescape")
            return replace(self, ploidy="", ploidy_rules=rules)
        if self.name == "bcftools" or not self.ploidy.isdigit():
            raise UsageError(
                f"--ploidy {self.ploidy}: is nothing that {self.name} knows, and no file for it",
                "write 1, 2, GRCh37, GRCh38, or the name of a file as for bcftools call",
            )
        return self

    @property
    def takes_plain_bam(self) -> bool:
        """Whether it reads BAM without BGZF around it, whose checksums take time on both sides."""
        return self.name == "bcftools"

    @property
    def tags(self) -> tuple[str, ...] | None:
        """The tags of reads that it looks at; None where nobody knows.

        Of bcftools mpileup: read groups, and what adjusts or has adjusted base qualities. It reads
        NM for annotations that are not asked for here.
        """
        return ("RG", "BQ", "ZQ") if self.name == "bcftools" else None

    @property
    def needs_files(self) -> bool:
        """Whether the command wants indexed BAM files rather than streams."""
        return "{bam}" in self.name

    def version(self) -> str:
        """Return name and version of the program that will run here.

        Raises:
            NotFoundError: It is not installed.
        """
        if self.name == "bcftools":
            from pysam.version import __bcftools_version__

            return f"bcftools {__bcftools_version__}"
        program = shlex.split(self.name)[0]
        if shutil.which(program) is None:
            raise NotFoundError(f"{program}: is not installed here", "install it, or use bcftools")
        if self.name != "freebayes":
            return program
        shown = subprocess.run([program, "--version"], capture_output=True, text=True).stdout
        return f"freebayes {shown.split()[-1]}"


@dataclass(frozen=True, slots=True)
class Job:
    """What the commands of one shard refer to: names of reads, and files in their folder."""

    reads: Sequence[str]
    reference: str
    own: str
    padded: str
    ploidy: str
    region: str


def commands(caller: Caller, job: Job) -> list[list[str]]:
    """Return the commands, each reading what the one before writes; the last writes VCF (bgzip).

    What it writes are the records whose POS lies in the intervals of the file `job.own`.
    """
    if caller.name == "bcftools":
        return [_bcftools(caller, job)]
    command = _freebayes(caller, job) if caller.name == "freebayes" else _command(caller, job)
    return [command, bcftools("view", *_owned(job), *_thresholds(caller), "-Oz1")]


def bcftools(*arguments: str) -> list[str]:
    """Return the command that runs the bcftools of pysam."""
    return bcftools_pipe(arguments)


def bcftools_pipe(*commands: Sequence[str]) -> list[str]:
    """Return the command that runs several, each reading what the one before writes."""
    words = [word for command in commands for word in (NEXT, *command)]
    return [sys.executable, "-m", "bams3.variants.stage", *words[1:]]


def _bcftools(caller: Caller, job: Job) -> list[str]:
    pileup = [
        *("mpileup", "--no-version", "-d", str(caller.max_depth), "-f", job.reference),
        *("-T", job.padded, "-a", "FORMAT/AD,FORMAT/DP", "-Ou", "--", *job.reads),
    ]
    call = ["call", "--no-version", "-m", *_ploidy(caller, job)]
    owned = ["view", "--no-version", *_owned(job)]  # targets of `call` lose records
    if caller.gvcf:  # blocks are made of owned sites alone
        return bcftools_pipe(pileup, [*owned, "-Ou"], [*call, "-g", caller.gvcf, "-Oz1"])
    return bcftools_pipe(pileup, [*call, "-v", "-Ou"], [*owned, *_thresholds(caller), "-Oz1"])


def _owned(job: Job) -> list[str]:
    return ["-T", job.own, "--targets-overlap", "0"]


def _ploidy(caller: Caller, job: Job) -> list[str]:
    if caller.ploidy_rules:
        return ["--ploidy-file", job.ploidy]
    return ["--ploidy", caller.ploidy] if caller.ploidy else []


def _thresholds(caller: Caller) -> list[str]:
    if not caller.min_depth and not caller.min_alt_count:
        return []
    depth, count = caller.min_depth, caller.min_alt_count
    return ["-i", f"FMT/DP>={depth} & FMT/AD[*:1-]>={count}"]


def _freebayes(caller: Caller, job: Job) -> list[str]:
    words = ["freebayes", "-f", job.reference]
    words += ["--ploidy", caller.ploidy] if caller.ploidy else []
    words += ["--gvcf"] if caller.gvcf else []
    return [*words, *(word for name in job.reads for word in ("-b", name))]


def _command(caller: Caller, job: Job) -> list[str]:
    names = " ".join(map(shlex.quote, job.reads))
    text = caller.name.format(
        reads=names, bam=names, reference=shlex.quote(job.reference), bed=shlex.quote(job.own),
        region=shlex.quote(job.region),
    )  # fmt: skip
    shell = shutil.which("bash")
    return [shell, "-o", "pipefail", "-c", text] if shell else ["sh", "-c", text]
