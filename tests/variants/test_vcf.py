"""Calls are found by the index that is written along with them."""

from __future__ import annotations

from pathlib import Path

import pysam
import pytest

from bams3.variants.callers import bcftools
from bams3.variants.pipes import run
from bams3.variants.vcf import indexed

LONGEST_OF_TABIX = 1 << 29


@pytest.mark.parametrize(
    ("output", "length", "kind"),
    [
        ("x.vcf.gz", LONGEST_OF_TABIX, "tbi"),
        ("x.vcf.gz", LONGEST_OF_TABIX + 1, "csi"),
        ("x.bcf", 1000, "csi"),
    ],
)
def test_the_last_base_of_a_contig_is_found(
    output: str, length: int, kind: str, tmp_path: Path
) -> None:
    lines = f"c\t{length // 2}\t.\tA\tC\t.\t.\t.\nc\t{length}\t.\tG\tT\t.\t.\t.\n"
    contig = f"##contig=<ID=c,length={length}>\n"
    (tmp_path / "x.vcf").write_text(
        f"##fileformat=VCFv4.2\n{contig}#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n{lines}"
    )
    options, index = indexed(output, [7, length])
    run([bcftools("view", *options, "x.vcf")], {}, tmp_path)
    assert index == f"{output}.{kind}"
    with pysam.VariantFile(str(tmp_path / output), index_filename=str(tmp_path / index)) as file:
        assert [record.pos for record in file.fetch("c", length - 1, length)] == [length]
