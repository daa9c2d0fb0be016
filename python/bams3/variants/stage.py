"""Child process that runs one command of the bcftools that pysam carries.

Usage: python -m bams3.variants.stage COMMAND [ARGUMENTS]

pysam holds the interpreter's lock while bcftools runs, and a crash of bcftools ends the process; so
each command has one to itself. It ends with its parent.
"""

from __future__ import annotations

import ctypes
import signal
import sys

_PARENT_DEATH = 1


def main(arguments: list[str]) -> int:
    """Run the command; complaints go to standard error, and the exit code is not 0."""
    _end_with_parent()
    import pysam.bcftools
    from pysam.utils import SamtoolsError

    name, *rest = arguments
    try:
        getattr(pysam.bcftools, name)(*rest, catch_stdout=False)
    except SamtoolsError as error:
        print(str(error).replace("\\n", "\n"), file=sys.stderr)
        return 1
    return 0


def _end_with_parent() -> None:
    """Have Linux kill this process when the one that started it is gone."""
    try:
        ctypes.CDLL(None).prctl(_PARENT_DEATH, signal.SIGKILL, 0, 0, 0)
    except (AttributeError, OSError, TypeError):
        return  # another system: the pipes end, and so does the command


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
