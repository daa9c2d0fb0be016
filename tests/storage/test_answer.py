"""Answers over a socket, against the parser of Python's http.client."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

import pytest

from bams3.storage.answer import Answer, Broken, Reply

LONG = bytes(range(256)) * 800
ANSWERS = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"a\"\r\n\r\nhello",
    "empty": b"HTTP/1.1 200 OK\r\ncontent-length:0\r\nX-Amz-Meta-A:  b c \r\n\r\n",
    "no reason": b"HTTP/1.1 503\r\nContent-Length: 2\r\n\r\nno",
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
    b"A;x=y\r\n0123456789\r\n0\r\n\r\n",
    "trailer": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nT: 1\r\n\r\n",
    "continued": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na",
    "no content": b"HTTP/1.1 204 No Content\r\nServer: x\r\n\r\n",
    "not modified": b"HTTP/1.1 304 Not Modified\r\nETag: \"b\"\r\n\r\n",
    "closes": b"HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 1\r\n\r\na",
    "old": b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na",
    "old, kept": b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na",
    "long": b"HTTP/1.1 206 Partial\r\nContent-Length: %d\r\n\r\n" % len(LONG) + LONG,
    "latin": b"HTTP/1.1 200 OK\r\nX-Amz-Meta-N: caf\xe9\r\nContent-Length: 0\r\n\r\n",
}  # fmt: skip


@contextmanager
def sent(data: bytes, *cuts: int, stays: bool = False) -> Iterator[socket.socket]:
    """Yield a socket over which `data` comes in pieces, and which is then closed."""
    ours, theirs = socket.socketpair()

    def send() -> None:
        with suppress(BrokenPipeError):  # the reader has seen enough
            for start, end in zip((0, *cuts), (*cuts, len(data)), strict=True):
                theirs.sendall(data[start:end])
        if not stays:
            theirs.close()

    sender = threading.Thread(target=send)
    with closing(ours), closing(theirs):
        ours.settimeout(10)
        sender.start()
        yield ours
        ours.close()
        sender.join()


def read(connection: socket.socket, method: str = "GET", size: int = 0) -> Reply:
    answer, buffer, data = Answer(connection, method), memoryview(bytearray(size)), b""
    if not size:
        return answer.whole()
    while count := answer.readinto(buffer):
        data += buffer[:count]
    return answer.reply(data)


def read_by_python(data: bytes, method: str) -> Reply:
    with (
        sent(data) as connection,
        closing(http.client.HTTPResponse(connection, method=method)) as it,
    ):
        it.begin()
        headers = {name.lower(): text for name, text in it.getheaders()}
        body = it.read()
        return Reply(it.status, headers, body, it.will_close)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("name", ANSWERS)
def test_as_pythons(name: str, method: str) -> None:
    data = ANSWERS[name]
    if method == "HEAD":
        data = data[: data.index(b"\r\n\r\n", data.rindex(b"HTTP/1")) + 4]
    expected = read_by_python(ANSWERS[name], method)
    for cut in {*range(1, min(len(data), 150)), len(data)}:
        with sent(data, cut, stays=True) as connection:
            assert read(connection, method) == expected


@pytest.mark.parametrize("size", [7, 16_384, 65_536, 300_000])
def test_any_buffer(size: int) -> None:
    for name in ("long", "chunked"):
        with sent(ANSWERS[name], stays=True) as connection:
            assert read(connection, size=size).body == read_by_python(ANSWERS[name], "GET").body


@pytest.mark.parametrize("name", ["length", "chunked", "continued", "no reason", "long"])
def test_what_breaks_off_is_no_answer(name: str) -> None:
    data = ANSWERS[name]
    for end in (*range(min(len(data), 150)), len(data) - 1):
        with sent(data[:end]) as connection, pytest.raises(Broken):
            read(connection)


def test_without_a_length_the_end_is_that_of_the_connection() -> None:
    data = b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\n" + LONG
    with sent(data) as connection:
        reply = read(connection)
    assert reply.body == LONG and reply.closes


@pytest.mark.parametrize("more", [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"x", b"\0\0"])
@pytest.mark.parametrize("name", ["length", "chunked", "empty", "no content"])
def test_after_more_than_was_asked_for_the_connection_is_not_used(name: str, more: bytes) -> None:
    with sent(ANSWERS[name] + more, stays=True) as connection:
        reply = read(connection)
    assert reply.closes
    assert reply.body == read_by_python(ANSWERS[name], "GET").body


def test_a_head_with_a_body() -> None:
    with sent(ANSWERS["length"], stays=True) as connection:
        reply = read(connection, "HEAD")
    assert (reply.body, reply.closes) == (b"", True)


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x16\x03\x01\x02\x00",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nhello",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 60_000,
    ],
)
def test_no_answer(data: bytes) -> None:
    with sent(data) as connection, pytest.raises(Broken):
        read(connection)
