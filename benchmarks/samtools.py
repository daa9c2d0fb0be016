"""The samtools that pysam carries, as a command: `python -m benchmarks.samtools view ...`."""

import sys

import pysam
import pysam.samtools


def main() -> None:
    """Run the subcommand in this process; standard input and output are its own."""
    name, *arguments = sys.argv[1:]
    command = getattr(pysam.samtools, {"import": "fqimport"}.get(name, name))
    try:
        if (name == "view" and "-c" not in arguments) or name == "sort":
            command(*arguments, catch_stdout=False)  # htslib writes to descriptor 1 itself
        else:
            command(*arguments, save_stdout="/dev/stdout")
    except pysam.SamtoolsError as error:
        sys.exit(f"{error}")


if __name__ == "__main__":
    main()
