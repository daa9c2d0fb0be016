"""Child process that runs commands of the bcftools that pysam carries, connected by pipes.

Usage: python -m bams3.variants.stage COMMAND [ARGUMENTS] [// COMMAND [ARGUMENTS]]...

pysam holds the interpreter's lock while bcftools runs, and a crash of bcftools ends the process; so
each command has one to itself. They are forks of one that has loaded pysam, which takes long beside
a small shard. They end with their parent.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import sys
import traceback
from contextlib import suppress
from itertools import groupby
from types import ModuleType

_PARENT_DEATH = 1
_PIPE_BYTES = 1 << 20
NEXT = "//"
"""Between commands. No argument is this: names of reads have no slash, other paths have more."""


def main(arguments: list[str]) -> int:
    """Run commands, each reading what the one before writes.

    Complaints go to standard error, and the exit code is not 0.
    """
    _end_with_parent()
    from pysam import bcftools  # before the forks, which share it

    groups = groupby(arguments, lambda word: word == NEXT)
    *others, last = [list(words) for is_next, words in groups if not is_next]
    children = [_fork(bcftools, command) for command in others]
    code = _run(bcftools, last)
    os.close(0)  # so that one that still writes ends, where the last one failed
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    if -signal.SIGKILL in codes:  # as for want of memory: told as if it had been this process
        os.kill(os.getpid(), signal.SIGKILL)
    return 1 if any(codes) else code


def _fork(bcftools: ModuleType, command: list[str]) -> int:
    """Start a command whose output is from now on the input of this process."""
    far, near = os.pipe()
    _widen(near)
    child = os.fork()
    if not child:
        code = 1
        try:
            _end_with_parent()
            os.dup2(near, 1)
            os.close(near)
            os.close(far)
            code = _run(bcftools, command)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    os.dup2(far, 0)
    os.close(near)
    os.close(far)
    return child


def _widen(pipe: int) -> None:
    """Have a pipe hold more: whoever writes calls is not stopped so often."""
    with suppress(AttributeError, OSError):  # another system, or more than the user may have
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def _run(bcftools: ModuleType, command: list[str]) -> int:
    from pysam.utils import SamtoolsError

    name, *rest = command
    try:
        getattr(bcftools, name)(*rest, catch_stdout=False)
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
