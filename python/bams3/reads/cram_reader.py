"""Child process of `convert`: CRAM on standard input or at a path, uncompressed BAM on stdout.

Usage: python -m bams3.reads.cram_reader PATH|- [REFERENCE]
"""

from __future__ import annotations

import sys


def main(arguments: list[str]) -> int:
    """Run `samtools view -u`; errors go to stderr, and the exit code is not 0."""
    import pysam.samtools
    from pysam.utils import SamtoolsError

    source, *reference = arguments
    options = ["-u", "--no-PG", *(["-T", reference[0]] if reference else []), source]
    try:
        pysam.samtools.view(*options, catch_stdout=False)
    except SamtoolsError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
