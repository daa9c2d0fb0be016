"""`bams3 serve` as a process: its link, its end, its refusals."""

from __future__ import annotations

import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

from tests.cli.run import bams3_


def test_it_prints_a_link_and_ends_politely(tmp_path: Path) -> None:
    (tmp_path / "x.bam").write_bytes(b"data")
    words = [sys.executable, "-c", "from bams3.cli import main; main()", "serve"]
    words += [f"r={tmp_path}", "--port", "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        assert process.stdout
        url = process.stdout.readline().decode().strip()
        with urllib.request.urlopen(f"{url}files/r/x.bam", timeout=10) as answer:
            assert answer.read() == b"data"
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_refusals(tmp_path: Path) -> None:
    (tmp_path / "server.toml").write_text("port = 1\n")
    for words, code, text in (
        (["x=/nonexistent"], 1, "there is no such folder"),
        (["--config", "/nonexistent"], 1, "no such configuration file"),
        (["--config", tmp_path / "server.toml"], 2, "nothing to serve"),
        ([tmp_path, "--config", tmp_path / "server.toml"], 2, "give what to serve"),
        ([f"a={tmp_path}", f"a={tmp_path}"], 2, "two roots are named a"),
        ([tmp_path, "--listen", "0.0.0.0"], 2, "--public --public"),
        ([tmp_path, "--listen", "0.0.0.0", "--public"], 2, "no encryption"),
        ([tmp_path, "--listen", "1.2.3.4", "--public", "--public"], 2, "choose another --port"),
        ([f"a/b={tmp_path}/x", "--port", "0"], 1, "there is no such folder"),
    ):
        done = bams3_("serve", *words)
        assert (done.code, text in done.err) == (code, True), done.err
