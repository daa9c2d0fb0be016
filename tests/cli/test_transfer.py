"""bams3 transfer: many objects, streams, events, attributes, and what goes wrong."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.cli.run import Done, bams3_
from tests.servers.files import FileServer
from tests.transfer import s3

DATA = random.Random(8).randbytes(12 << 20)
NAMES = ["a.bcl", "b#%.bcl", "d/c d.txt", "d/e/f.bcl", "d/empty", "ä/日.txt"]


@pytest.fixture
def bucket(real_s3: str) -> str:
    return real_s3.removeprefix("s3://")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in NAMES:
        path = tmp_path / "run" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"" if name.endswith("empty") else name.encode() * 1000)
    return tmp_path / "run"


def transfer(*arguments: str | Path, stdin: bytes = b"") -> Done:
    return bams3_("transfer", *arguments, stdin=stdin)


def ok(*arguments: str | Path, stdin: bytes = b"") -> Done:
    done = transfer(*arguments, stdin=stdin)
    assert done.code == 0, done.err
    return done


def keys(bucket: str, prefix: str = "") -> list[str]:
    found = s3.client().list_objects_v2(Bucket=bucket, Prefix=prefix)
    return sorted(each["Key"] for each in found.get("Contents", []))


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def events(done: Done) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.out.splitlines()]


# ---- many ----------------------------------------------------------------------------------------
def test_a_folder_up_across_and_down(bucket: str, folder: Path, tmp_path: Path) -> None:
    done = ok("upload", "--recursive", folder, f"s3://{bucket}/runs/1")
    assert "6 objects, 0 skipped, 0 failed" in done.err
    assert keys(bucket) == sorted(f"runs/1/{name}" for name in NAMES)
    ok("copy", "--recursive", f"s3://{bucket}/runs/1/", f"s3://{bucket}/copy/")
    ok("download", "--recursive", f"s3://{bucket}/copy", tmp_path / "back")
    assert files(tmp_path / "back") == files(folder)


@pytest.mark.parametrize(
    ("flags", "taken"),
    [
        (["--include", "*.bcl"], ["a.bcl", "b#%.bcl", "d/e/f.bcl"]),
        (["--exclude", "d/*"], ["a.bcl", "b#%.bcl", "ä/日.txt"]),
        (["--include", "*.bcl", "--include", "*.txt", "--exclude", "d/*.txt"],
         ["a.bcl", "b#%.bcl", "d/e/f.bcl", "ä/日.txt"]),
    ],
)  # fmt: skip
def test_include_and_exclude(
    bucket: str, folder: Path, tmp_path: Path, flags: list[str], taken: list[str]
) -> None:
    ok("upload", "--recursive", folder, f"s3://{bucket}/", *flags)
    assert keys(bucket) == sorted(taken)
    ok("upload", "--recursive", folder, f"s3://{bucket}/all/")
    ok("download", "--recursive", f"s3://{bucket}/all/", tmp_path / "back", *flags)
    assert sorted(files(tmp_path / "back")) == sorted(taken)


def test_identical_ones_are_skipped(bucket: str, folder: Path) -> None:
    command = ("upload", "--recursive", folder, f"s3://{bucket}/", "--exists", "skip-identical")
    ok(*command)
    (folder / "a.bcl").write_bytes(b"other")
    done = ok(*command)
    assert "1 object, 5 skipped, 0 failed" in done.err
    assert s3.content(bucket, "a.bcl") == b"other"


def test_what_cannot_go_up_is_told_and_the_rest_goes(bucket: str, folder: Path) -> None:
    (folder / "dangling").symlink_to("nowhere")
    (folder / "linked").symlink_to(folder / "d")
    os.mkfifo(folder / "pipe")
    done = transfer("upload", "--recursive", folder, f"s3://{bucket}/")
    assert done.code == 1
    assert "3 of 9 objects failed" in done.err
    for name in ("dangling", "linked", "pipe"):
        assert f"{folder}/{name}" in done.err
    assert keys(bucket) == sorted(NAMES)


def test_names_that_lead_out_of_the_folder(bucket: str, tmp_path: Path) -> None:
    client = s3.client()
    client.put_object(Bucket=bucket, Key="p/good", Body=b"x")
    for number, key in enumerate(("p/a/./b", "p/..hidden")):
        client.put_object(Bucket=bucket, Key=key, Body=str(number).encode())
    done = transfer("download", "--recursive", f"s3://{bucket}/p/", tmp_path / "in" / "folder")
    assert (tmp_path / "in" / "folder" / "good").read_bytes() == b"x"
    assert {path.name for path in (tmp_path / "in").iterdir()} == {"folder"}
    assert done.code in (0, 1)


def test_several_sources(bucket: str, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x")
    ok("upload", "--recursive", folder, tmp_path / "x", f"s3://{bucket}/p/")
    assert keys(bucket) == sorted(["p/x", *(f"p/run/{name}" for name in NAMES)])
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x").write_bytes(b"y")
    both = transfer("upload", tmp_path / "x", tmp_path / "other" / "x", f"s3://{bucket}/q/")
    assert both.code == 2 and "both" in both.err
    assert transfer("upload", tmp_path / "x", folder, f"s3://{bucket}/q").code == 2
    assert keys(bucket, "q") == []


def test_nothing_there_is_no_success(bucket: str, tmp_path: Path) -> None:
    assert transfer("download", "--recursive", f"s3://{bucket}/none/", tmp_path / "x").code == 1


# ---- streams, events, attributes -----------------------------------------------------------------
def test_standard_input_and_output(bucket: str) -> None:
    ok("upload", "-", f"s3://{bucket}/k", stdin=DATA)
    assert s3.content(bucket, "k") == DATA
    assert ok("download", f"s3://{bucket}/k", "-", "--part-size", "5M").out == DATA
    nameless = transfer("upload", "-", f"s3://{bucket}/", stdin=DATA)
    assert nameless.code == 6


@pytest.mark.parametrize("ranges", [True, False])
def test_from_a_web_server(bucket: str, ranges: bool) -> None:
    with FileServer(ranges=ranges) as web:
        web.files["/d/a b.bin"] = DATA
        ok("upload", f"{web.url}/d/a%20b.bin", f"s3://{bucket}/p/")
    assert s3.content(bucket, "p/a b.bin") == DATA


@pytest.mark.parametrize("ranges", [True, False])
def test_a_web_file_that_changes_midway_is_never_an_object(bucket: str, ranges: bool) -> None:
    with FileServer(ranges=ranges) as web:
        web.files["/a"] = DATA
        web.before[3 if ranges else 2] = lambda: web.replace("/a", DATA[::-1], '"v2"')
        done = transfer("upload", f"{web.url}/a", f"s3://{bucket}/a", "--part-size", "5M")
    assert done.code == 1 and "changed" in done.err, done.err
    assert keys(bucket) == []


def test_a_file_that_shrinks_while_it_is_read(bucket: str, tmp_path: Path) -> None:
    path = tmp_path / "shrinks"
    path.write_bytes(DATA * 4)
    shrink = threading.Timer(0.3, lambda: os.truncate(path, 100))
    shrink.start()
    done = transfer("upload", path, f"s3://{bucket}/k", "--limit-rate", "20M", "--part-size", "5M")
    shrink.join()
    assert done.code == 1 and ("changed" in done.err or "shorter" in done.err), done.err
    assert keys(bucket) == []


def test_events(bucket: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(DATA)
    done = ok("upload", tmp_path / "x", f"s3://{bucket}/k", "--json", "--part-size", "5M")
    found = events(done)
    assert done.err == ""
    assert sorted(e["number"] for e in found if e["event"] == "part") == [1, 2, 3]
    [last] = [e for e in found if e["event"] == "done"]
    assert (last["size"], last["parts"], last["destination"]) == (len(DATA), 3, f"s3://{bucket}/k")
    assert (found[-1]["event"], found[-1]["files"], found[-1]["bytes"]) == ("summary", 1, len(DATA))
    again = transfer("upload", tmp_path / "x", f"s3://{bucket}/k", "--json")
    assert again.code == 3
    [error] = events(again)
    assert (error["kind"], error["exit_code"]) == ("object-exists", 3)
    skipped = ok("upload", tmp_path / "x", f"s3://{bucket}/k", "--json", "--exists", "skip")
    assert [e["event"] for e in events(skipped)] == ["skipped", "summary"]


def test_attributes(bucket: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x")
    ok(
        "upload", tmp_path / "x", f"s3://{bucket}/k", "--metadata", "Lab=A b", "--tags", "t=u v",
        "--content-type", "text/x-a", "--cache-control", "no-cache",
    )  # fmt: skip
    ok("copy", f"s3://{bucket}/k", f"s3://{bucket}/c", "--metadata", "more=1")
    client = s3.client()
    for key, more in (("k", {}), ("c", {"more": "1"})):
        head = client.head_object(Bucket=bucket, Key=key)
        assert (head["ContentType"], head["CacheControl"]) == ("text/x-a", "no-cache")
        metadata = {name: text for name, text in head["Metadata"].items() if name != "mtime"}
        assert metadata == {"lab": "A b"} | more
        tags = client.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]
        assert tags == [{"Key": "t", "Value": "u v"}]


def test_a_dry_run_changes_nothing(bucket: str, folder: Path, tmp_path: Path) -> None:
    s3.begin(bucket, "k", [b"x"])
    whole = ok("upload", "--recursive", folder, f"s3://{bucket}/", "--dry-run")
    assert f"would have uploaded s3://{bucket}/ä/日.txt: " in whole.err
    assert "6 objects to do, 0 skipped, 0 failed; nothing was done" in whole.err
    one = ok("upload", folder / "a.bcl", f"s3://{bucket}/k", "--dry-run", "--force")
    assert one.err == f"would have uploaded s3://{bucket}/k: 4.9 KiB\n"
    [told, total] = events(
        ok("upload", folder / "a.bcl", f"s3://{bucket}/k2", "--dry-run", "--json")
    )
    assert (told["event"], total["files"], total["skipped"]) == ("planned", 0, 0)
    assert (keys(bucket), len(s3.uploads(bucket))) == ([], 1)
    s3.client().put_object(Bucket=bucket, Key="p/k", Body=b"x")
    ok("download", f"s3://{bucket}/p/k", tmp_path / "new", "--dry-run")
    ok("download", "--recursive", f"s3://{bucket}/p/", tmp_path / "new", "--dry-run")
    assert not (tmp_path / "new").exists()


def test_verify_and_cancel(bucket: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(DATA)
    ok("upload", tmp_path / "x", f"s3://{bucket}/k")
    assert b"ok: " in ok("verify", tmp_path / "x", f"s3://{bucket}/k").out
    same = json.loads(ok("verify", tmp_path / "x", f"s3://{bucket}/k", "--json").out)
    assert same["downloaded"] == 0
    (tmp_path / "x").write_bytes(DATA[:-1] + b"!")
    assert transfer("verify", tmp_path / "x", f"s3://{bucket}/k").code == 1
    s3.begin(bucket, "u", [b"x"])
    assert b"s3://" in ok("cancel", f"s3://{bucket}/u", "--dry-run").out
    assert ok("cancel", "--prefix", f"s3://{bucket}/", "--older-than", "1h").out == b""
    assert json.loads(ok("cancel", f"s3://{bucket}/u", "--json").out)["url"].endswith("/u")
    assert s3.uploads(bucket) == []


def test_verify_several_files(bucket: str, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).write_bytes(name.encode() * 1000)
    files = [tmp_path / name for name in ("a", "b", "c")]
    ok("upload", *files, f"s3://{bucket}/p/")
    done = ok("verify", *files, f"s3://{bucket}/p/")
    lines = done.out.decode().splitlines()
    assert [line.partition(":")[0] for line in lines] == ["ok"] * 3
    assert [line.split()[3] for line in lines] == [f"s3://{bucket}/p/{n}:" for n in "abc"]
    assert "3 of 3 files verified, 0 bytes downloaded" in done.err
    (tmp_path / "b").write_bytes(b"b" * 999 + b"!")
    s3.client().delete_object(Bucket=bucket, Key="p/c")
    done = transfer("verify", *files, f"s3://{bucket}/p/")
    assert done.code == 1
    assert done.out.decode().count("ok: ") == 1
    assert f"{tmp_path / 'b'} and s3://{bucket}/p/b differ" in done.err
    assert f"s3://{bucket}/p/c: does not exist" in done.err
    assert "2 of 3 files are not what is there" in done.err
    done = transfer("verify", *files, f"s3://{bucket}/p/", "--json")
    told = [json.loads(line) for line in done.out.splitlines()]
    assert [one["same"] for one in told] == [True, False, False]
    assert [one.get("exit_code") for one in told] == [None, 1, 1]


def test_verify_a_folder(bucket: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "deep").mkdir(parents=True)
    (run / "a").write_bytes(b"a")
    (run / "deep" / "b").write_bytes(b"")
    (run / "c.tmp").write_bytes(b"c")
    ok("upload", "--recursive", run, f"s3://{bucket}/run/", "--exclude", "*.tmp")
    done = ok("verify", "--recursive", run, f"s3://{bucket}/run/", "--exclude", "*.tmp")
    assert f"s3://{bucket}/run/deep/b" in done.out.decode()
    assert "2 of 2 files verified" in done.err
    assert transfer("verify", "--recursive", run, f"s3://{bucket}/run/").code == 1
    (run / "link").symlink_to("nowhere")
    done = transfer("verify", "--recursive", run, f"s3://{bucket}/run/", "--include", "link")
    assert done.code == 1 and "a link to nothing" in done.err
    assert transfer("verify", run, f"s3://{bucket}/run/").code == 2
    assert transfer("verify", run / "a", f"s3://{bucket}/run/", "--include", "*").code == 2
    assert transfer("verify", run / "a", run / "c.tmp", f"s3://{bucket}/run").code == 2


# ---- what goes wrong -----------------------------------------------------------------------------
def test_bad_calls_are_told_with_their_codes(tmp_path: Path, fake_s3: object) -> None:
    (tmp_path / "x").write_bytes(b"x")
    x, key = tmp_path / "x", "s3://bucket/k"
    (tmp_path / "short").write_bytes(b"short")
    for code, *arguments in (
        (2, "upload", x),
        (2, "upload", tmp_path, key),
        (2, "upload", x, key, "--resume", "--force"),
        (2, "upload", x, key, "--part-size", "1M"),
        (2, "upload", x, key, "--part-size", "lots"),
        (2, "upload", x, key, "--include", "*"),
        (2, "upload", x, key, "--src-sse-key-file", tmp_path / "short", "--sse-key-is-master"),
        (2, "upload", x, key, "--metadata", "novalue"),
        (2, "cancel", key, "--older-than", "soon"),
        (2, "generate-sse-key", x),
        (5, "upload", "gopher://x/y", key),
        (5, "upload", "", key),
        (6, "upload", x, "http://bucket/k"),
        (6, "download", key, tmp_path / "x.partial"),
        (6, "cancel", "s3://bucket/"),
        (7, "upload", x, "s3://bucket"),
        (7, "download", "s3:///k", x),
        (9, "verify", key, "--checksum", "crc7"),
        (10, "upload", x, key, "--sse-key-file", tmp_path / "short"),
        (10, "upload", x, key, "--sse-key-base64", "???"),
        (1, "upload", x, key, "--sse-key-file", tmp_path / "none"),
        (1, "upload", tmp_path / "none", key),
        (1, "download", "s3://bucket/none", tmp_path / "y"),
    ):
        done = transfer(*arguments)  # type: ignore[arg-type]
        if "--src-sse-key-file" in arguments:
            assert done.code in (2, 10)
            continue
        assert done.code == code, f"{arguments}: {done.code} {done.err}"
        assert "rror: " in done.err and "Traceback" not in done.err
    assert not (tmp_path / "y").exists()


@pytest.fixture
def program() -> list[str]:
    return [sys.executable, "-c", "import sys; from bams3.cli.s3am import main; main()"]


def test_exit_codes_of_the_real_process(bucket: str, tmp_path: Path, program: list[str]) -> None:
    (tmp_path / "x").write_bytes(DATA)
    (tmp_path / ".z.progress").write_bytes(b"\0")
    (tmp_path / ".z.partial").write_bytes(b"\0")
    client = s3.client()
    client.put_object(Bucket=bucket, Key="there", Body=b"x")
    s3.begin(bucket, "one", [DATA[: 6 << 20]])
    for _ in range(2):
        s3.begin(bucket, "two", [DATA[: 6 << 20]])
    x, at = str(tmp_path / "x"), f"s3://{bucket}"
    for code, arguments in (
        (0, ["upload", x, f"{at}/new"]),
        (0, ["upload", x, f"{at}/there", "--exists=skip"]),
        (0, ["--help"]),
        (0, ["--version"]),
        (1, ["download", f"{at}/none", f"{x}.down"]),
        (1, ["verify", "/not/s3"]),
        (2, ["upload", "--help"]),
        (2, ["upload", x, at, "--resume", "--force"]),
        (3, ["upload", x, f"{at}/there"]),
        (4, ["upload", x, f"{at}/one"]),
        (5, ["upload", "file://elsewhere/x", f"{at}/k"]),
        (6, ["upload", x, "/k"]),
        (7, ["upload", x, at]),
        (8, ["upload", x, f"{at}/one", "--resume", "--part-size=5M"]),
        (9, ["verify", f"{at}/there", "--checksum=nope"]),
        (10, ["upload", x, f"{at}/k", "--sse-key=short"]),
        (11, ["download", f"{at}/there", x]),
        (12, ["download", f"{at}/there", str(tmp_path / "z")]),
        (13, ["upload", x, f"{at}/two", "--resume"]),
    ):
        done = subprocess.run([*program, *arguments], capture_output=True, text=True)
        assert done.returncode == code, f"{arguments}: {done.returncode} {done.stderr}"
        assert "Traceback" not in done.stderr
        if code > 2:
            assert done.stderr.startswith("error: ")
    assert (tmp_path / "x").read_bytes() == DATA
    version = subprocess.run([*program, "--version"], capture_output=True, text=True)
    assert version.stdout == "2.1.0a1\n"
    both = subprocess.run([*program, "--help"], capture_output=True, text=True)
    assert "usage: s3am" in both.stdout and "usage: s3am upload" in both.stderr


def test_a_closed_pipe_is_quiet(bucket: str) -> None:
    s3.client().put_object(Bucket=bucket, Key="k", Body=DATA)
    code = "import sys; from bams3.cli import main; main()"
    command = [sys.executable, "-c", code, "transfer", "download", f"s3://{bucket}/k", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout and process.stderr
        process.stdout.read(1000)
        process.stdout.close()
        error = process.stderr.read()
        assert process.wait(30) == 0, error
    assert b"Traceback" not in error


def test_help_is_fast_and_has_examples() -> None:
    for command in ("upload", "download", "copy", "cancel", "verify", "generate-sse-key"):
        text = ok(command, "--help").out.decode()
        assert f"bams3 transfer {command}" in text
    lazy = "import sys, bams3.cli; print([m for m in sys.modules if 'transfer.' in m])"
    loaded = subprocess.run([sys.executable, "-c", lazy], capture_output=True, text=True).stdout
    assert loaded == "[]\n"
    heavy = (
        "import sys, bams3.cli; print({'pycurl', 'obstore', 'botocore', 'rich'} & {*sys.modules})"
    )
    loaded = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True).stdout
    assert loaded == "set()\n"
