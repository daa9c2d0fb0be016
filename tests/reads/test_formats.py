"""SAM, BAM and BGZF of the core, held against samtools (through pysam)."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pysam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bams3 import _core
from bams3.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("BAMS3_TEST_DATA", ROOT / "../shared/data"))

# What samtools accepts and bams3 does not, and why.
REFUSED = {
    "aux.fail-f4.sam": "is not a number",  # samtools reads "e" as 0
    "aux.fail-i4.sam": "is not a number",  # samtools drops what follows the digits
    "example_btag.sam": "is not a number",  # the same
    "seq.fail1.sam": "no base",  # samtools turns any character into N
    "seq.fail2.sam": "no base",
    "rname.fail9.sam": "names no contig",  # samtools makes such reads unmapped
    "rname.fail10.sam": "names no contig",
    "rnext.fail9.sam": "names no contig",
    "rnext.fail10.sam": "names no contig",
    "visibleData.sam": "names no contig",
    "ce_5.tmp.cram.sam": "is no length",  # spaces instead of tabs in @SQ
}
BEYOND_BAM = "is outside the allowed range"  # positions of 64 bits fit into SAM alone


def corpus() -> list[object]:
    files = sorted(path for path in DATA.rglob("*") if path.suffix in (".sam", ".bam"))
    skip = pytest.mark.skip(reason=f"no test data in {DATA}: set BAMS3_TEST_DATA")
    return [pytest.param(path, id=str(path.relative_to(DATA))) for path in files] or [
        pytest.param(DATA, marks=skip)
    ]


def view(source: Path, target: Path, *options: str) -> bytes | None:
    """Return what samtools view writes, None if it fails."""
    try:
        pysam.samtools.view("--no-PG", *options, "-o", str(target), str(source), catch_stdout=False)
    except pysam.SamtoolsError:
        return None
    return target.read_bytes()


def parse(data: bytes) -> tuple[_core.Header, _core.Records]:
    if data[:2] == b"\x1f\x8b":
        data = _core.bgzf_inflate(data)
    if data[:4] == b"BAM\x01":
        parsed = _core.bam_header(data)
        assert parsed is not None
        header, length = parsed
        assert _core.bam_complete(data[length:]) == len(data) - length
        return header, _core.parse_bam(data[length:], header, 1)
    length = _core.sam_header_length(data, True)
    assert length is not None
    header = _core.Header(data[:length])
    return header, _core.parse_sam(data[length:], header, data.count(b"\n", 0, length) + 1)


def as_samtools_writes(sam: bytes, folder: Path) -> bytes | None:
    """Return the records of the BAM file that samtools makes of SAM text; None if it fails."""
    (folder / "in.sam").write_bytes(sam)
    bam = view(folder / "in.sam", folder / "out.bam", "-b")
    if bam is None:
        return None
    inflated = _core.bgzf_inflate(bam)
    parsed = _core.bam_header(inflated)
    assert parsed is not None
    return inflated[parsed[1] :]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    before = pysam.set_verbosity(0)
    yield
    pysam.set_verbosity(before)


@pytest.mark.parametrize("path", corpus())
def test_file_as_samtools(path: Path, tmp_path: Path) -> None:
    expected = view(path, tmp_path / "out.sam")
    data = path.read_bytes()
    if not data.strip():
        pytest.skip("an empty file: no records")
    if expected is None:
        with pytest.raises(InputError):
            parse(data)
        return
    try:
        header, records = parse(data)
    except InputError as error:
        assert REFUSED.get(path.name, BEYOND_BAM) in str(error)
        return
    assert path.name not in REFUSED
    assert _core.format_sam(records.data, header) == expected
    assert _core.records_digest(records.data) == records.digest
    assert records.count == expected.count(b"\n")
    check_bytes(path, records, tmp_path)


def check_bytes(path: Path, records: _core.Records, folder: Path) -> None:
    """Compare record bytes with BAM that samtools writes: of the text, and of a BAM file."""
    sam = view(path, folder / "headed.sam", "-h")
    assert sam is not None
    # samtools keeps the NULs after a header, and cannot read all that it writes.
    if b"\0" not in sam and (written := as_samtools_writes(sam, folder)) is not None:
        assert parse(sam)[1].data == written
    if path.suffix == ".bam" and (bam := view(path, folder / "copy.bam", "-b")):
        copy = parse(bam)[1]
        assert (copy.data, copy.digest) == (records.data, records.digest)


# ---- generated records ----------------------------------------------------------------------

CONTIGS = ["chr1", "chr2", "HLA-A*01:01"]
HEADER = "@HD\tVN:1.6\n" + "".join(f"@SQ\tSN:{name}\tLN:2000000000\n" for name in CONTIGS)
PRINTABLE = st.characters(min_codepoint=33, max_codepoint=126)
NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="@"))
POSITIONS = st.integers(0, 2**31 - 1) | st.integers(0, 300)
BASES = "=ACMGRSVTWYHKDBN"
LIMITS = {"c": 7, "C": 8, "s": 15, "S": 16, "i": 31, "I": 32}


def numbers(kind: str) -> st.SearchStrategy[str]:
    if kind == "f":
        wide = st.floats(width=32).map(repr) | st.floats(-1e6, 1e6).map(lambda x: f"{x:.4g}")
        return wide | st.sampled_from(["1.", ".5", "-0.0", "INF", "-nan", "1e-46", "4e+38"])
    low = -(2 ** LIMITS[kind]) if kind.islower() else 0
    edges = st.sampled_from([0, 1, 2 ** LIMITS[kind] - 1, low])
    return (st.integers(low, 2 ** LIMITS[kind] - 1) | edges).map(str)


def arrays(kind: str) -> st.SearchStrategy[str]:
    # Elements of another type too: samtools then widens the array.
    kinds = [kind] if kind == "f" else [kind, kind, *LIMITS]
    elements = st.sampled_from(kinds).flatmap(lambda other: st.lists(numbers(other), max_size=9))
    return elements.map(lambda values: "B:" + ",".join([kind, *values]))


def values() -> st.SearchStrategy[str]:
    return st.one_of(
        st.characters(min_codepoint=32, max_codepoint=126).map(lambda text: f"A:{text}"),
        (numbers("i") | numbers("I")).map(lambda text: f"i:{text}"),
        numbers("f").map(lambda text: f"f:{text}"),
        numbers("f").map(lambda text: f"d:{text}"),
        st.text(st.characters(min_codepoint=32, max_codepoint=126)).map(lambda text: f"Z:{text}"),
        st.binary(max_size=9).map(lambda data: f"H:{data.hex().upper()}"),
        st.sampled_from("cCsSiIf").flatmap(arrays),
    )


TAGS = st.lists(
    st.tuples(st.from_regex(r"[A-Za-z][A-Za-z0-9]", fullmatch=True), values()).map(":".join),
    max_size=6,
)


@st.composite
def alignments(draw: st.DrawFn) -> tuple[str, str, str]:
    """Return CIGAR, SEQ and QUAL that fit together."""
    ops = draw(st.lists(st.tuples(st.integers(0, 60), st.sampled_from("MIDNSHP=XB")), max_size=9))
    length = sum(size for size, op in ops if op in "MIS=X") if ops else draw(st.integers(1, 99))
    cigar = "".join(f"{size}{op}" for size, op in ops) or "*"
    if length == 0 or draw(st.integers(0, 9)) == 0:
        return cigar, "*", "*"
    alphabet = draw(st.sampled_from([BASES, "ACGT", BASES.lower() + "uUxX.0123jz"]))
    bases = draw(st.text(alphabet, min_size=length, max_size=length))
    quality = draw(st.text(PRINTABLE, min_size=length, max_size=length) | st.just("*"))
    return cigar, bases, quality


@st.composite
def lines(draw: st.DrawFn) -> str:
    cigar, bases, quality = draw(alignments())
    name = draw(NAMES | st.just("n" * 254) | st.just("*"))[:254]
    flag = draw(st.integers(0, 65535).map(str) | st.sampled_from(["0x63", "017"]))
    contig, mate = st.sampled_from([*CONTIGS, "*"]), st.sampled_from([*CONTIGS, "*", "="])
    place = [draw(contig), str(draw(POSITIONS)), str(draw(st.integers(0, 255))), cigar]
    length = draw(st.integers(-(2**31), 2**31 - 1))
    pair = [draw(mate), str(draw(POSITIONS)), str(length), bases, quality]
    return "\t".join([name, flag, *place, *pair, *draw(TAGS)])


@settings(max_examples=400, deadline=None)
@given(st.lists(lines(), min_size=1, max_size=5))
def test_generated_records(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    folder = tmp_path_factory.mktemp("generated")
    sam = (HEADER + "\n".join(texts) + "\n").encode()
    header, records = parse(sam)
    assert records.data == as_samtools_writes(sam, folder)
    assert _core.format_sam(records.data, header) == view(folder / "out.bam", folder / "out.sam")
    again = _core.parse_bam(records.data, header, 1)
    assert (again.data, again.count, again.digest) == (records.data, len(texts), records.digest)


def test_long_cigar_as_samtools(tmp_path: Path) -> None:
    cigar, bases = "1M1I" * 40_000, "A" * 80_000
    tags = "XA:A:x\tXB:B:c,1"
    sam = f"{HEADER}r\t0\tchr1\t5\t9\t{cigar}\t*\t0\t0\t{bases}\t*\t{tags}\n".encode()
    header, records = parse(sam)
    assert records.data == as_samtools_writes(sam, tmp_path)
    assert _core.format_sam(records.data, header) == sam[len(HEADER) :]


# ---- damage ---------------------------------------------------------------------------------


def damaged(data: bytes, count: int) -> Iterator[bytes]:
    chance = random.Random(11)
    for _ in range(count):
        bad = bytearray(data[: chance.choice([len(data), chance.randrange(len(data))])])
        for _ in range(chance.randrange(4)):
            if bad:
                bad[chance.randrange(len(bad))] ^= 1 << chance.randrange(8)
        yield bytes(bad)


@pytest.mark.parametrize("name", ["htslib/test/ce#1000.sam", "samtools/test/mpileup/overlap.bam"])
def test_damage_is_an_error_or_canonical(name: str) -> None:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"no {path}: set BAMS3_TEST_DATA")
    header, records = parse(path.read_bytes())
    for bad in damaged(records.data[:20_000], 3000):
        try:
            again = _core.parse_bam(bad, header, 1)
        except InputError:
            continue
        _core.format_sam(again.data, header)
        assert _core.parse_bam(again.data, header, 1).digest == again.digest


def test_damaged_bgzf_is_refused_or_harmless() -> None:
    data = random.Random(3).randbytes(100_000)
    refused = 0
    for bad in damaged(_core.bgzf_deflate(data, 6), 500):
        try:
            # A flip may hit a time stamp, a cut may fall between blocks.
            assert data.startswith(_core.bgzf_inflate(bad))
        except InputError as error:
            assert "at byte" in str(error)
            refused += 1
    assert refused > 300


def test_errors_name_line_and_field() -> None:
    header = _core.Header(HEADER.encode())
    with pytest.raises(InputError, match=r'line 12: RNAME "chrQ" names no contig'):
        _core.parse_sam(b"r\t0\tchrQ\t1\t1\t*\t*\t0\t0\t*\t*\n", header, 12)
    with pytest.raises(InputError, match="record 4"):
        _core.parse_bam(b"\x20\0\0\0" + b"\0" * 31, header, 4)
