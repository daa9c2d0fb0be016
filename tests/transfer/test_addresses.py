"""What the names of sources and destinations mean: S3AM's rules, with their exit codes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bams3.errors import Bams3Error, InputError
from bams3.transfer.addresses import (
    FilePath,
    Remote,
    S3Object,
    Standard,
    base_name,
    parse_download_target,
    parse_object,
    parse_s3,
    parse_source,
    parse_upload_target,
)
from bams3.transfer.tree import local_path

NAMES = ["a", "a b", "a#b", "a?b", "a%20b", "a%b", "ä ö.bam", "~x", "a+b&c=d", "日本"]


@pytest.mark.parametrize("form", ["file:", "file://", "file://localhost"])
def test_scenario_1_forms_of_file_addresses(form: str) -> None:
    assert parse_source(f"{form}/tmp/x/y") == FilePath("/tmp/x/y")


def test_file_addresses_are_decoded_and_paths_are_not() -> None:
    assert parse_source("file:///tmp/a%20b%25") == FilePath("/tmp/a b%")
    for name in NAMES:
        assert parse_source(f"/tmp/{name}") == FilePath(f"/tmp/{name}")
        assert parse_source(name) == FilePath(os.path.abspath(name))


NO_SOURCES = "file://tmp/x file://host/tmp/x file:x file: file:// gopher://h/x a:b S3:x:y http://"
NO_SOURCES += " https:///x http://h:port/x azure://b/k"


@pytest.mark.parametrize("text", ["", *NO_SOURCES.split()])
def test_scenario_2_and_others_that_are_no_sources(text: str) -> None:
    assert code_of(parse_source, text) == (7 if text.startswith("S3") else 5)


def test_scenario_3_absolute_and_relative_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_source("x") == parse_source("./x") == parse_source(f"{tmp_path}/x")
    assert parse_source("./a:b") == FilePath(f"{tmp_path}/a:b")
    assert parse_source("-") == Standard()


@pytest.mark.parametrize("text", ["s3:b/k", "s3://", "s3:///k", "s3://b", "s3:/b/k"])
def test_malformed_s3_addresses(text: str) -> None:
    assert code_of(parse_source, text) == 7
    assert code_of(parse_s3, text) == 7
    assert code_of(lambda t: parse_upload_target(t, FilePath("/x")), text) == 7


def test_t9_keys_are_literal() -> None:
    for name in NAMES:
        assert parse_s3(f"s3://b/d/{name}") == S3Object("b", f"d/{name}")
        assert str(parse_s3(f"s3://b/d/{name}")) == f"s3://b/d/{name}"
    assert parse_s3("s3://b//k/") == S3Object("b", "/k/")
    assert parse_s3("s3://b.c/") == S3Object("b.c", "")
    assert code_of(parse_s3, "s3://b/" + "ä" * 513) == 7
    assert parse_s3("s3://b/" + "ä" * 512).key == "ä" * 512


def test_t9_empty_names_are_errors_not_crashes() -> None:
    assert code_of(parse_source, "") == 5
    assert code_of(lambda t: parse_upload_target(t, FilePath("/x")), "") == 6
    assert code_of(lambda t: parse_download_target(t, S3Object("b", "k")), "") == 6


def test_upload_targets_take_the_source_s_name() -> None:
    source = parse_source("/d/f g#.bam")
    assert parse_upload_target("s3://b/", source) == S3Object("b", "f g#.bam")
    assert parse_upload_target("s3://b/p/", source) == S3Object("b", "p/f g#.bam")
    assert parse_upload_target("s3://b/p", source) == S3Object("b", "p")
    web = parse_source("http://h/d/a%20b.bam?sig=1#x")
    assert parse_upload_target("s3://b/p/", web) == S3Object("b", "p/a b.bam")
    other = parse_source("s3://c/d/a%20b")
    assert parse_upload_target("s3://b/p/", other) == S3Object("b", "p/a%20b")
    for text in ("x", "/x", "http://h/x", "file:/x"):
        assert code_of(lambda t: parse_upload_target(t, source), text) == 6
    for nameless in (Standard(), Remote("http://h/"), S3Object("b", "d/")):
        assert code_of(lambda t, s=nameless: parse_upload_target(t, s), "s3://b/p/") == 6


def test_download_targets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = S3Object("b", "d/k#%20.bam")
    (tmp_path / "folder").mkdir()
    inside = FilePath(f"{tmp_path}/folder/k#%20.bam")
    for text in ("folder", "folder/", "./folder", f"{tmp_path}/folder", f"file:{tmp_path}/folder"):
        assert parse_download_target(text, source) == inside
    assert parse_download_target("./", source) == FilePath(f"{tmp_path}/k#%20.bam")  # T16
    assert parse_download_target("x", source) == FilePath(f"{tmp_path}/x")
    assert parse_download_target("-", source) == Standard()
    for text in ("x.partial", "x.progress", "s3://b/x", "ftp://h/x"):
        assert code_of(lambda t: parse_download_target(t, source), text) == 6
    assert code_of(lambda t: parse_download_target(t, source), "file://host/x") == 5
    for key in ("", "d/", "d/..", "."):
        assert code_of(lambda t, k=key: parse_download_target(t, S3Object("b", k)), "folder/") == 6


def test_one_object_is_neither_a_bucket_nor_a_folder() -> None:
    assert parse_object("s3://b/d/k") == S3Object("b", "d/k")
    for text in ("s3://b/", "s3://b/d/"):
        assert code_of(parse_object, text) == 6


def test_names_for_people_hide_what_grants_access() -> None:
    assert str(Remote("ftp://me:secret@h:21/x")) == "ftp://h:21/x"
    assert str(Remote("https://h/x?X-Amz-Signature=secret")) == "https://h/x"
    assert base_name(Remote("ftp://h/a/b%23c")) == "b#c"


def code_of(act: object, text: str) -> int:
    with pytest.raises(Bams3Error) as caught:
        act(text)  # type: ignore[operator]
    return caught.value.exit_code


@pytest.mark.parametrize("name", ["../x", "a/../../x", "a//x", "./x", "/x", "a/.", "..", "", "a\0"])
def test_names_that_lead_out_of_the_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a name for a file below"):
        local_path(tmp_path, name)
    assert local_path(tmp_path, "a/..b/c") == tmp_path / "a" / "..b" / "c"
