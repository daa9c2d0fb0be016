"""Child process that runs commands of the bcftools that pysam carries, connected by pipes.

Usage: python -m bams3.variants.stage COMMAND [ARGUMENTS] [// COMMAND [ARGUMENTS]]...

pysam holds the interpreter's lock while bcftools runs, and a crash of bcftools ends the process; so
each command has one to itself. They are forks of one that has loaded pysam, which takes longer than
to call some thousand bases. They end with their parent.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from itertools import groupby

_PARENT_DEATH = 1
NEXT = "//"
"""Between commands. No argument is this: names of reads have no slash, other paths have more."""


def main(arguments: list[str]) -> int:
    """Run commands, each reading what the one before writes.

    Complaints go to standard error, and the exit code is not 0.
    """
    _end_with_parent()
    import pysam.bcftools  # noqa: F401  # before the forks, which share it

    groups = groupby(arguments, lambda word: word == NEXT)
    *others, last = [list(words) for is_next, words in groups if not is_next]
    children = [_fork(command) for command in others]
    code = _run(last)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    if killed := min(codes, default=0):
        if killed < 0:  # tell it as if it had been this process
            signal.signal(-killed, signal.SIG_DFL)
            os.kill(os.getpid(), -killed)
    return next((failed for failed in (*codes, code) if failed), 0)


def _fork(command: list[str]) -> int:
    """Start a command whose output is from now on the input of this process."""
    far, near = os.pipe()
    child = os.fork()
    if not child:
        code = 1
        try:
            _end_with_parent()
            os.dup2(near, 1)
            os.close(near)
            os.close(far)
            code = _run(command)
            sys.stderr.flush()
        finally:
            os._exit(code)
    os.dup2(far, 0)
    os.close(near)
    os.close(far)
    return child


def _run(command: list[str]) -> int:
    import pysam.bcftools
    from pysam.utils import SamtoolsError

    name, *rest = command
    try:
        getattr(pysam.bcftools, name)(*rest, catch_stdout=False)
    except SamtoolsError as error:
        text = str(error).replace("\\n", "\n")
        print(f"{name}: {text}", file=sys.stderr)
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
