"""What of a run folder is uploaded, under which keys, in which order."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from bams3.errors import UsageError
from bams3.runs.files import Exclude, list_run, prefix_of
from bams3.runs.illumina import Rules
from tests.runs.made import MARKERS, contents, make_run, write


def paths(run: Path, *patterns: str) -> list[str]:
    return [file.path for file in list_run(run, Exclude(patterns), Rules()).all_files()]


def test_list_size_sorted_first_and_last(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    listing = list_run(run, Exclude(), Rules())
    found = [file.path for file in listing.all_files()]
    assert found[:3] == ["RunInfo.xml", "RunParameters.xml", "SampleSheet.csv"]
    assert found[-3:] == list(MARKERS)
    sizes = [file.size for file in listing.files]
    assert sizes == sorted(sizes, reverse=True)
    assert {f.path: f.size for f in listing.all_files()} == {
        path: len(data) for path, data in contents(run).items()
    }


def test_the_order_is_the_same_every_time(tmp_path: Path) -> None:
    run = make_run(tmp_path, cycles=20)
    for number in range(20):
        write(run / f"same/{number}", "x")
    assert paths(run) == paths(run)
    same = [path for path in paths(run) if path.startswith("same/")]
    assert same == sorted(same)


@pytest.mark.parametrize(
    ("patterns", "gone"),
    [
        ([".*png$"], {"Thumbnail_Images/L001/C1.1/s_1_1101_a.png"}),
        ([".*log$"], {"Logs/run.log"}),
        ([".*png$", ".*log$"], {"Logs/run.log", "Thumbnail_Images/L001/C1.1/s_1_1101_a.png"}),
        (["Logs/"], {"Logs/run.log"}),
        (["/Logs/"], {"Logs/run.log"}),
        (["^Logs"], {"Logs/run.log"}),
        (["Thumbnail_Images/"], {"Thumbnail_Images/L001/C1.1/s_1_1101_a.png"}),
        ([], set()),
    ],
)
def test_exclude(tmp_path: Path, patterns: list[str], gone: set[str]) -> None:
    run = make_run(tmp_path)
    listing = list_run(run, Exclude(patterns), Rules())
    assert {*contents(run)} - {file.path for file in listing.all_files()} == gone
    assert listing.excluded == len(gone)


def test_u12_patterns_see_the_path_inside_the_run_alone(tmp_path: Path) -> None:
    """A run below a directory `Config` had no files."""
    run = make_run(tmp_path / "Config")
    write(run / "Config" / "a.xml", "x")
    assert {*contents(run)} - {*paths(run, "Config/")} == {"Config/a.xml"}


def test_patterns_that_are_none() -> None:
    with pytest.raises(UsageError, match=r"'\(a'"):
        Exclude(["b", "(a"])


def test_u9_dot_files_and_dot_directories_are_files_too(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    write(run / ".hidden", "x")
    write(run / ".dir" / ".file", "y")
    write(run / "empty.txt", "")
    assert {".hidden", ".dir/.file", "empty.txt"} <= {*paths(run)}


def test_u9_empty_directories_and_dangling_links_are_reported(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    (run / "Data" / "empty" / "deep").mkdir(parents=True)
    (run / "dangling").symlink_to("/nowhere/at/all")
    listing = list_run(run, Exclude(), Rules())
    assert listing.empty == ["Data/empty/deep"]
    assert listing.links == {"dangling": "/nowhere/at/all"}


def test_u10_links_to_directories_are_not_followed(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    before = paths(run)
    other = write(tmp_path / "other" / "secret", "x").parent
    (run / "link").symlink_to(other)
    (run / "loop").symlink_to(run)
    listing = list_run(run, Exclude(), Rules())
    assert [file.path for file in listing.all_files()] == before
    assert listing.links == {"link": str(other), "loop": str(run)}


def test_links_to_files_are_files(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    (run / "linked.txt").symlink_to(write(tmp_path / "target", "twelve bytes"))
    assert {f.path: f.size for f in list_run(run, Exclude(), Rules()).files}["linked.txt"] == 12


def test_u11_a_run_with_brackets_in_its_name(tmp_path: Path) -> None:
    run = make_run(tmp_path, "run[1] *?")
    assert {*paths(run)} == {*contents(run)}


def test_empty_directories_ignored_in_the_list_of_files(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    before = paths(run)
    (run / "empty").mkdir()
    assert paths(run) == before


def test_what_is_no_file_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path)
    os.mkfifo(run / "pipe")
    monkeypatch.chdir(run)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
    os.close(os.open(os.fsencode(run) + b"/bad\xff", os.O_CREAT))
    listing = list_run(run, Exclude(), Rules())
    assert listing.passed_over == ["pipe", "socket"]
    assert listing.failed == {"bad\\xff": "its name is not UTF-8, so that no object can have it"}


def test_missing_directory(tmp_path: Path) -> None:
    listing = list_run(tmp_path / "none", Exclude(), Rules())
    assert listing.failed == {".": "cannot be read: No such file or directory"}


@pytest.mark.parametrize(
    ("remote", "local", "prefix"),
    [
        ("/", "/seq/run1", "run1/"),
        ("/sequencer_1", "/seq/run1", "sequencer_1/run1/"),
        ("a/b/", "/seq/run1/", "a/b/run1/"),
        ("//", "/(A)+1/run1", "run1/"),
        ("", "/seq/run [1]", "run [1]/"),
    ],
)
def test_key_mapping(remote: str, local: str, prefix: str) -> None:
    assert prefix_of(remote, Path(local)) == prefix


def test_u13_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--local_path run1` gave keys `un1/...`."""
    (tmp_path / "run1").mkdir()
    monkeypatch.chdir(tmp_path)
    assert prefix_of("/", Path("run1")) == "run1/"
    monkeypatch.chdir("run1")
    assert prefix_of("/", Path(".")) == "run1/"


def test_prefixes_that_are_none() -> None:
    for remote, local in [("/a/../b", "/run"), ("/", "/")]:
        with pytest.raises(UsageError):
            prefix_of(remote, Path(local))
