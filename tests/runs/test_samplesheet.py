"""Sample sheets: which files, which samples; what s3_upload refused and what it took."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bams3.errors import InputError
from bams3.runs.samplesheet import NAME, find_sheets, read_sheet, sample_names
from tests.runs.made import sheet, write

ACCEPTED = (
    "SAMPLESHEET.CSV SampleSheet.csv Samplesheet.csv samplesheet.csv experiment_1_samplesheet.csv "
    "experiment_2_SampleSheet.csv experiment_3-samplesheet_attempt_1.csv sample_sheet.csv "
    "sample-sheet.csv SampleSheet_bcl2fastq.csv samplesheetXcsv"
)
REJECTED = (
    "my_file.csv SampleSheet.txt samplesheet.tsv Samplesheet.xlsx samplesheet sample_1.csv "
    "SampleSheet.csv.bak"
)
V1 = sheet(["s1", "s2"])
V2 = """[Header]
FileFormatVersion,2
RunName,x

[BCLConvert_Settings]
SoftwareVersion,3.10.0

[BCLConvert_Data]
Lane,Sample_ID,Index,Index2
1,s1,ACGT,ACGT
2,s1,ACGT,ACGT
1,s2,ACGT,ACGT

[Cloud_Settings]
GeneratedVersion,1.0

[Cloud_Data]
Sample_ID,ProjectName,LibraryName
s1,p,l
s3,p,l
"""


def lines(text: str) -> list[str]:
    return text.split("\n")


@pytest.mark.parametrize("name", [*ACCEPTED.split(), "sample sheet.csv"])
def test_samplesheet_names_that_match(name: str) -> None:
    assert NAME.match(name)


@pytest.mark.parametrize("name", REJECTED.split())
def test_samplesheet_names_that_do_not_match(name: str) -> None:
    assert not NAME.match(name)


def test_only_files_in_the_root_are_sheets(tmp_path: Path) -> None:
    write(tmp_path / "SampleSheet.csv", V1)
    write(tmp_path / "Data" / "samplesheet.csv", V2)
    (tmp_path / "samplesheet.dir.csv").mkdir()
    assert find_sheets(tmp_path) == [tmp_path / "SampleSheet.csv"]


def test_two_equal_samplesheets(tmp_path: Path) -> None:
    for name, text in [("a", V1), ("b", V1 + "\n\n\n"), ("c", "\ufeff" + V1), ("d", V1 + "\r\n")]:
        write(tmp_path / f"{name}_samplesheet.csv", text)
    write(tmp_path / "e_samplesheet.csv", V1.replace("\n", "\r\n"))
    assert sample_names(read_sheet(tmp_path)) == ["s1", "s2"]


def test_two_different_samplesheets(tmp_path: Path) -> None:
    write(tmp_path / "a_samplesheet.csv", V1)
    write(tmp_path / "b_samplesheet.csv", V1 + "s3,s3,A1,ACGT\n")
    with pytest.raises(InputError, match=r"differ: a_samplesheet.csv, b_samplesheet.csv"):
        read_sheet(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"PK\0\1", None])
def test_no_usable_samplesheet(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        write(tmp_path / "SampleSheet.csv", content)
    with pytest.raises(InputError, match="sheet"):
        read_sheet(tmp_path)


def test_names_parsed() -> None:
    assert sample_names(lines(V1)) == ["s1", "s2"]


def test_no_sample_id_line() -> None:
    with pytest.raises(InputError, match="no column Sample_ID"):
        sample_names(["[Data]", "Name,index", "s1,ACGT"])


def test_two_sample_id_lines() -> None:
    with pytest.raises(InputError, match="two lines"):
        sample_names(["[Data]", "Sample_ID,index", "s1,ACGT", "Sample_ID,index", "s2,ACGT"])


def test_no_samples() -> None:
    with pytest.raises(InputError, match="names no sample"):
        sample_names(["[Data]", "Sample_ID,index", ",,", "", "[Other]", "s1,x"])


FAILED_ONCE = {
    "lane first": (V2.split("[Cloud_Settings]")[0], ["s1", "s2"]),
    "several sections": (V2, ["s1", "s2", "s3"]),
    "byte order mark": ("\ufeffSample_ID,index\ns1,A\ns2,C\n", ["s1", "s2"]),
    "blank and comma-only lines": (V1 + ",,,\n\n,,,\n", ["s1", "s2"]),
    "a section after the data": (V1 + "\n[Settings]\nAdapter,ACGT\n", ["s1", "s2"]),
    "trailing newlines": (V1 + "\n\n\n\n", ["s1", "s2"]),
    "commas after sections": (V1.replace("]", "],,,"), ["s1", "s2"]),
    "quoted": ('"Lane","Sample_ID"\n1,"s1"\n2,"s, 2"\n', ["s1", "s, 2"]),
    "old heading": ("[Data]\nFCID,Lane,SampleID,index\nH,1,s1,A\nH,2,s2,C\n", ["s1", "s2"]),
    "old line ends": (V1.replace("\n", "\r"), ["s1", "s2"]),
    "not UTF-8": (V1.replace("IEMFileVersion,4", "Investigator,Jos\xe9"), ["s1", "s2"]),
    "a stray quote": (V1.replace("IEMFileVersion", '"IEMFileVersion'), ["s1", "s2"]),
}


@pytest.mark.parametrize(("text", "names"), FAILED_ONCE.values(), ids=FAILED_ONCE)
def test_sheets_that_must_work(tmp_path: Path, text: str, names: list[str]) -> None:
    data = text.encode("latin-1") if "\xe9" in text else text.encode()
    write(tmp_path / "SampleSheet.csv", data)
    assert sample_names(read_sheet(tmp_path)) == names


_SAMPLE = st.text(
    st.characters(
        codec="utf-8", exclude_categories=["Cc", "Zs", "Zl", "Zp"], exclude_characters="["
    ),
    min_size=1,
    max_size=12,
).filter(lambda name: name not in ("Sample_ID", "SampleID") and name.strip() == name)


@given(
    samples=st.lists(_SAMPLE, min_size=1, max_size=8, unique=True),
    column=st.integers(0, 3),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    mark=st.booleans(),
    tail=st.sampled_from(["", "\n\n\n", ",,,\n", "\n[Settings]\nAdapter,AC\n"]),
    twice=st.booleans(),
)
def test_any_sheet(
    tmp_path_factory: pytest.TempPathFactory,
    samples: list[str], column: int, end: str, mark: bool, tail: str, twice: bool,
) -> None:  # fmt: skip
    """What `csv` writes comes back, wherever the column stands."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for section in ["[BCLConvert_Data]", "[Cloud_Data]"][: 1 + twice]:
        out.write(f"{section}\n")
        for name in ["Sample_ID", *samples]:
            writer.writerow(["1"] * column + [name, "x"])
    text = (out.getvalue() + tail).replace("\n", end)
    run = tmp_path_factory.mktemp("run")
    write(run / "SampleSheet.csv", text.encode("utf-8-sig" if mark else "utf-8"))
    assert sample_names(read_sheet(run)) == samples


@given(st.binary(max_size=300))
def test_any_bytes_give_names_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    run = tmp_path_factory.mktemp("run")
    write(run / "SampleSheet.csv", b"Sample_ID,x\n" + data)
    try:
        assert sample_names(read_sheet(run))
    except InputError as error:
        assert error.message


def test_real_sheets(shared_data: Path) -> None:
    """Of published sheets all that have a table with a heading give samples."""
    read = 0
    for path in (shared_data / "runfolders").glob("**/*amplesheet*.csv"):
        read += _read_real(path)
    for path in (shared_data / "runfolders").glob("**/SampleSheet*.csv"):
        read += _read_real(path)
    assert read > 25


def _read_real(path: Path) -> int:
    text = path.read_text(encoding="utf-8-sig")
    if "Sample_ID" not in text and "SampleID" not in text:
        return 0
    heading = next(line for line in text.splitlines() if "Sample_ID" in line or "SampleID" in line)
    if "Sample_ID" not in heading.replace('"', "").split(",") and "SampleID" not in heading:
        return 0
    assert sample_names(text.splitlines())
    return 1
