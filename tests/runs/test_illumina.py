"""What a run is, which platform wrote it, and when it is complete."""

from __future__ import annotations

from pathlib import Path

import pytest

from bams3.errors import InputError
from bams3.runs.illumina import MARKERS, Rules, completion, is_run, marker_rank, read_run
from tests.runs.made import make_run, run_info, set_age, write

PARAMETERS = {
    "<InstrumentType>NovaSeqXPlus</InstrumentType>": "NovaSeq X",
    "<Application>NovaSeq Control Software</Application>": "NovaSeq 6000",
    "<InstrumentType>NextSeq1000</InstrumentType>": "NextSeq 1000/2000",
    "<ApplicationName>NextSeq 1000/2000 Control Software</ApplicationName>": "NextSeq 1000/2000",
    "<Setup><ApplicationName>NextSeq Control Software</ApplicationName></Setup>": "NextSeq 500/550",
    "<Setup><ApplicationName>MiSeq Control Software</ApplicationName></Setup>": "MiSeq",
    "<InstrumentType>MiSeqi100Plus</InstrumentType>": "MiSeq i100",
    "<Setup><ApplicationName>MiniSeq Control Software</ApplicationName></Setup>": "MiniSeq",
    "<ApplicationName>iSeq Control Software</ApplicationName>": "iSeq",
    "<ApplicationName>HiSeq X Control Software</ApplicationName>": "HiSeq X/3000/4000",
    "<ApplicationName>HiSeq Control Software</ApplicationName>"
    "<ApplicationVersion>HD 3.5.0.7</ApplicationVersion>": "HiSeq X/3000/4000",
    "<ApplicationName>HiSeq Control Software</ApplicationName>"
    "<ApplicationVersion>2.2.58</ApplicationVersion>": "HiSeq 2500",
    "<ApplicationName>Something Else</ApplicationName>": "unknown",
}
SERIALS = {
    "LH00123": "NovaSeq X", "A00187": "NovaSeq 6000", "VH00384": "NextSeq 1000/2000",
    "VL00123": "NextSeq 1000/2000", "NB501234": "NextSeq 500/550", "NS500123": "NextSeq 500/550",
    "M01234": "MiSeq", "MN00123": "MiniSeq", "FS10000123": "iSeq", "D00450": "HiSeq 2500",
    "ST-E00266": "HiSeq X/3000/4000", "J00123": "HiSeq X/3000/4000", "K00123": "HiSeq X/3000/4000",
    "SL-HBB": "unknown", "": "unknown",
}  # fmt: skip
SETS = {
    "LH00123": ["CopyComplete.txt"],
    "A00187": ["CopyComplete.txt", "RTAComplete.txt", "SequenceComplete.txt"],
    "VH00384": ["CopyComplete.txt", "RTAComplete.txt"],
    "NB501234": ["RTAComplete.txt", "RunCompletionStatus.xml"],
    "M01234": ["RTAComplete.txt"],
    "MN00123": ["RTAComplete.txt", "CopyComplete.txt"],
    "FS10000123": ["RTAComplete.txt", "CopyComplete.txt"],
    "K00123": ["RTAComplete.txt", "SequencingComplete.txt"],
    "D00450": ["RTAComplete.txt"],
}


@pytest.mark.parametrize(("text", "platform"), PARAMETERS.items())
def test_the_platform_as_run_parameters_name_it(tmp_path: Path, text: str, platform: str) -> None:
    write(tmp_path / "RunInfo.xml", run_info("r", ""))
    write(tmp_path / "runParameters.xml", f"<RunParameters>{text}</RunParameters>")
    assert read_run(tmp_path).platform == platform


@pytest.mark.parametrize(("instrument", "platform"), SERIALS.items())
def test_the_platform_by_serial_number(tmp_path: Path, instrument: str, platform: str) -> None:
    write(tmp_path / "RunInfo.xml", run_info("230912_r", instrument))
    found = read_run(tmp_path)
    assert (found.platform, found.run_id, found.flowcell) == (platform, "230912_r", "HK33MDRX3")


def test_check_is_sequencing_run_dir(tmp_path: Path) -> None:
    assert is_run(make_run(tmp_path))
    (tmp_path / "other").mkdir()
    assert not is_run(tmp_path / "other")
    assert completion(tmp_path / "other", Rules()).reason == "not a run: no RunInfo.xml"


@pytest.mark.parametrize("marker", ["CopyComplete.txt", "RTAComplete.txt", "RTAComplete.xml"])
def test_check_termination_file_exists(tmp_path: Path, marker: str) -> None:
    """Of an unknown instrument each of the three is enough, as it was."""
    run = make_run(tmp_path, instrument="XX1", markers=[])
    assert not completion(run, Rules()).complete
    write(run / marker, "")
    assert completion(run, Rules()).complete


@pytest.mark.parametrize(("instrument", "markers"), SETS.items())
def test_all_markers_of_a_platform_are_needed(
    tmp_path: Path, instrument: str, markers: list[str]
) -> None:
    run = make_run(tmp_path, instrument=instrument, markers=[])
    for marker in markers:
        found = completion(run, Rules())
        assert not found.complete and marker in found.reason
        write(run / marker, "")
    assert completion(run, Rules()).complete


def test_markers_must_settle(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    set_age(run, 100)
    assert completion(run, Rules(settle=50)).complete
    found = completion(run, Rules(settle=200))
    assert not found.complete
    assert found.reason == "complete (NovaSeq 6000), but must settle for 100 s more"
    write(run / "CopyComplete.txt", "again")
    assert not completion(run, Rules(settle=50)).complete


def test_markers_can_be_configured(tmp_path: Path) -> None:
    run = make_run(tmp_path, instrument="M01234", markers=["RTAComplete.txt"])
    rules = Rules({"MiSeq": ("RTAComplete.txt", "Done.txt|Finished.txt")})
    assert completion(run, rules).reason == "incomplete (MiSeq): waits for Done.txt or Finished.txt"
    write(run / "Finished.txt", "")
    assert completion(run, rules).complete
    assert marker_rank("Finished.txt", rules) == 1
    assert marker_rank("Finished.txt", Rules()) == 0


def test_every_needed_file_goes_up_as_a_marker() -> None:
    names = {name for needed in MARKERS.values() for marker in needed for name in marker.split("|")}
    ranks = {name: marker_rank(name, Rules()) for name in names}
    assert all(ranks.values())
    assert max(ranks, key=ranks.__getitem__) == "CopyComplete.txt"
    assert marker_rank("Data/CopyComplete.txt", Rules()) == 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<RunInfo><Run Id='x'>",
        "no xml",
        '<!DOCTYPE a [<!ENTITY b "c">]><RunInfo>&b;</RunInfo>',
        '<!DOCTYPE a SYSTEM "file:///etc/passwd"><RunInfo/>',
    ],
)
def test_a_run_whose_xml_cannot_be_read_is_not_complete(tmp_path: Path, text: str) -> None:
    run = make_run(tmp_path)
    write(run / "RunInfo.xml", text)
    with pytest.raises(InputError, match=r"RunInfo\.xml"):
        read_run(run)
    found = completion(run, Rules())
    assert not found.complete and "RunInfo.xml" in found.reason


def test_huge_xml_is_refused(tmp_path: Path) -> None:
    with open(tmp_path / "RunInfo.xml", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(InputError, match="cannot be genuine"):
        read_run(tmp_path)


def test_real_runs(shared_data: Path) -> None:
    """The instruments of published run folders, by their serial numbers and their parameters."""
    found = {}
    for path in shared_data.glob("**/RunInfo.xml"):
        about = read_run(path.parent)
        found[about.instrument] = about.platform
    expected = {
        "A00302": "NovaSeq 6000", "A01052": "NovaSeq 6000", "A00834": "NovaSeq 6000",
        "A00689": "NovaSeq 6000", "A00187": "NovaSeq 6000", "VH00384": "NextSeq 1000/2000",
        "VH00848": "NextSeq 1000/2000", "ST-E00214": "HiSeq X/3000/4000",
        "ST-E00269": "HiSeq X/3000/4000", "ST-E00266": "HiSeq X/3000/4000",
        "D00118": "HiSeq 2500", "D00410": "HiSeq 2500", "D00450": "HiSeq 2500",
    }  # fmt: skip
    assert expected.items() <= found.items()
