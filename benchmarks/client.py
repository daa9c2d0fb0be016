"""A client that stays open: a region on each line of standard input, the number of reads back."""

import sys


def main() -> None:
    """Open what the arguments say, `bams3 URL` or `pysam URL`, at the first region."""
    kind, url = sys.argv[1:]
    count = None
    for line in sys.stdin:
        count = count or {"bams3": _bams3, "pysam": _pysam}[kind](url)
        print(count(line.strip()), flush=True)


def _bams3(url: str):
    import bams3

    dataset = bams3.open(url)
    return lambda region: sum(1 for _ in dataset.query(region))


def _pysam(url: str):
    import pysam

    reads = pysam.AlignmentFile(url)
    return lambda region: sum(1 for _ in reads.fetch(region=region))


if __name__ == "__main__":
    main()
