"""HTTP on the wire: limits, slow and vanishing clients, keep-alive, TLS."""

from __future__ import annotations

import os
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bams3.server.limits import Limits
from tests.server.conftest import CONTENT, LARGE
from tests.server.running import Running, everything, serving

QUICK = replace(Limits(), head_time=0.6, body_time=0.6, idle_time=1.0, stall_time=1.0)
GET = b"GET /files/r/x.bam HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture(scope="module")
def quick(folder: Path) -> Iterator[Running]:
    with serving(("r", str(folder)), limits=QUICK) as running:
        yield running


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def test_keep_alive_and_pipelining(local: Running) -> None:
    wanted = GET + b"Range: bytes=%d-%d\r\n\r\n"
    last = GET + b"Connection: close\r\n\r\n"
    found = local.raw(wanted % (0, 9) + wanted % (10, 19) + last)
    assert found.count(b"HTTP/1.1 206") == 2 and found.count(b"HTTP/1.1 200") == 1
    assert [part[:10] for part in found.split(b"\r\n\r\n")[1:]] == [
        CONTENT[:10], CONTENT[10:20], CONTENT[:10],
    ]  # fmt: skip


def test_requests_ahead_are_bounded(local: Running) -> None:
    """What is under way is answered; who asks for too much at once is not heard any more."""
    found = local.raw((GET + b"\r\n") * 40)
    assert 1 <= found.count(b"HTTP/1.1 200") <= 17


def test_http_1_0_closes(local: Running) -> None:
    found = local.raw(b"GET /files/r/x.bam HTTP/1.0\r\nHost: localhost\r\n\r\n")
    assert found.endswith(CONTENT)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (b"nonsense\r\n\r\n", 400),
        (GET + b"No colon\r\n\r\n", 400),
        (GET + b"Host: other\r\n\r\n", 400),
        (GET + b"A: " + b"a" * 20_000 + b"\r\n\r\n", 431),
        (GET + b"".join(b"H%d: x\r\n" % n for n in range(100)) + b"\r\n", 431),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
        (GET + b"Content-Length: 2000000\r\n\r\n", 413),
        (GET + b"Content-Length: 99999999999999999999999\r\n\r\n", 400),
        (GET + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n12345", 400),
        (GET + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (GET + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (GET + b"Transfer-Encoding: chunked\r\n\r\n" + b"ffff\r\n" + b"a" * 0xFFFF, 408),
        (b"GET /files/r/x.bam HTTP/1.1\r\n\r\n", 421),
        (b"GET http://evil.example/files/r/x.bam HTTP/1.1\r\nHost: localhost\r\n\r\n", 421),
        (b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    ],
)  # fmt: skip
def test_what_is_no_good_request(quick: Running, request_: bytes, expected: int) -> None:
    with quick.connect() as client:
        client.sendall(request_)
        client.settimeout(10)
        found = client.recv(4096)
        assert status(found) == expected
        assert b'{"error":' in found or b'{"error":' in everything(client)


def test_a_body_in_chunks_is_bounded(quick: Running) -> None:
    with quick.connect() as client:
        client.sendall(GET + b"Transfer-Encoding: chunked\r\n\r\n")
        found = b""
        try:
            for _ in range(40):
                client.sendall(b"10000\r\n" + b"a" * 0x10000 + b"\r\n")
        except OSError:
            pass
        found = everything(client)
        assert not found or status(found) == 413
    assert quick.ask("/healthz").status == 200


def test_absolute_form(local: Running) -> None:
    found = local.raw(
        b"GET http://localhost/files/r/x.bam HTTP/1.1\r\nHost: localhost\r\n"
        b"Connection: close\r\n\r\n"
    )
    assert found.endswith(CONTENT)


def test_an_upgrade_is_not_taken(local: Running) -> None:
    found = local.raw(GET + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
    assert status(found) == 200 and found.endswith(CONTENT)


@pytest.mark.parametrize("request_", [GET + b"Connection: close\r\n\r\n", b"no HTTP\r\n\r\n"])
def test_headers_of_every_answer(local: Running, request_: bytes) -> None:
    head = local.raw(request_).partition(b"\r\n\r\n")[0].split(b"\r\n")
    for line in (
        b"X-Content-Type-Options: nosniff", b"Referrer-Policy: no-referrer",
        b"Cross-Origin-Opener-Policy: same-origin", b"Vary: Origin, Authorization",
    ):  # fmt: skip
        assert head.count(line) == 1
    assert sum(line.startswith(b"Date: ") for line in head) == 1


def test_continue_does_not_break_into_an_answer(local: Running) -> None:
    later = GET + b"Expect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\nab"
    found = local.raw(GET + b"\r\n" + later)
    assert found.count(b"HTTP/1.1 200") == 2 and b"100 Continue" not in found


# ---- slow clients --------------------------------------------------------------------------------
def test_a_slow_head_ends(quick: Running) -> None:
    with quick.connect() as client:
        started = time.monotonic()
        answer = b""
        client.settimeout(0.2)
        for byte in GET * 3:
            try:
                client.sendall(bytes([byte]))
                answer = client.recv(1000)
                break
            except TimeoutError:
                continue
        assert status(answer) == 408
        assert time.monotonic() - started < 5


def test_a_slow_body_ends(quick: Running) -> None:
    with quick.connect() as client:
        client.sendall(GET + b"Content-Length: 1000\r\n\r\nabc")
        assert status(client.recv(1000)) == 408


def test_silence_ends(quick: Running) -> None:
    with quick.connect() as client:
        client.settimeout(5)
        assert client.recv(10) == b""
    with quick.connect() as client:
        client.settimeout(5)
        client.sendall(GET + b"\r\n")
        while client.recv(1 << 16):
            pass


def test_a_client_that_takes_nothing_is_cut_off(tmp_path: Path) -> None:
    with open(tmp_path / "x.bam", "wb") as file:
        file.truncate(200 << 20)
    with serving(("r", str(tmp_path)), limits=QUICK) as server, server.connect() as client:
        client.sendall(GET + b"\r\n")
        assert client.recv(10)
        assert server.connections == 1
        end = time.monotonic() + 10
        while server.connections and time.monotonic() < end:
            time.sleep(0.05)
        assert server.connections == 0
        with pytest.raises(ConnectionResetError):
            while client.recv(1 << 20):
                pass


def test_vanished_clients_leave_no_open_file(folder: Path) -> None:
    with serving(("r", str(folder))) as server:
        server.ask("/healthz")
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(30):
            client = server.connect()
            client.sendall(b"GET /files/r/large.bam HTTP/1.1\r\nHost: localhost\r\n\r\n")
            client.recv(10)
            client.close()
        end = time.monotonic() + 10
        while server.connections and time.monotonic() < end:
            time.sleep(0.05)
        assert server.connections == 0
        assert len(os.listdir("/proc/self/fd")) <= before


def test_too_many_connections(folder: Path) -> None:
    few = replace(Limits(), connections=8)
    with serving(("r", str(folder)), limits=few) as server:
        clients = [server.connect() for _ in range(8)]
        time.sleep(0.2)
        with server.connect() as one_more:
            assert status(one_more.recv(1000)) == 503
        for client in clients:
            client.close()
        time.sleep(0.2)
        assert server.ask("/files/r/x.bam").body == CONTENT


def test_large_files_go_out_whole_to_slow_readers(tmp_path: Path) -> None:
    data = LARGE * 8
    (tmp_path / "x.bam").write_bytes(data)
    with serving(("r", str(tmp_path))) as server, server.connect() as client:
        client.sendall(GET + b"Connection: close\r\n\r\n")
        time.sleep(0.3)
        found = b""
        while piece := client.recv(1 << 20):
            found += piece
            time.sleep(0.005)
        assert found.partition(b"\r\n\r\n")[2] == data


# ---- TLS -----------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    place = tmp_path_factory.mktemp("tls")
    cert, key = str(place / "cert.pem"), str(place / "key.pem")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-keyout", key, "-out", cert, "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    return cert, key


def test_tls(folder: Path, certificate: tuple[str, str]) -> None:
    cert, key = certificate
    context = ssl.create_default_context(cafile=cert)
    with serving(("r", str(folder)), tls_cert=cert, tls_key=key) as server:
        assert server.url.startswith("https://")
        for span in (b"", b"Range: bytes=5-2999990\r\n"):
            with (
                server.connect() as plain,
                context.wrap_socket(plain, server_hostname="localhost") as client,
            ):
                client.sendall(
                    b"GET /files/r/large.bam HTTP/1.1\r\nHost: localhost\r\n"
                    b"Connection: close\r\n" + span + b"\r\n"
                )
                body = everything(client).partition(b"\r\n\r\n")[2]
            assert body == (LARGE[5:2999991] if span else LARGE)
