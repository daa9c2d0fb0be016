"""Local files on their way to a socket: a small span with its head in one call, else by the kernel.

The transport is passed by, which is why its buffer has to be empty. No disk is waited for here:
what is not in memory is read in a thread first.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from bams3.server.messages import FileSpan, Response

_TURN = 1 << 20
"""Bytes of a file sent before others have their turn."""
_PIECE = 256 << 10
_NOT_NOW = getattr(os, "RWF_NOWAIT", 0)
_UNSENT = 128 << 10
_NOTSENT_LOWAT = getattr(socket, "TCP_NOTSENT_LOWAT", 0)


class Owner(Protocol):
    """Whose answer it is that is sent."""

    def file_sent(self, response: Response, sent: int, complete: bool) -> None:
        """Take note that the sending is over: bytes of the span sent, and whether all were."""

    def progressed(self) -> None:
        """Take note that the client has taken some."""


@dataclass(slots=True)
class _Sending:
    """How far the sending of a file is."""

    response: Response
    descriptor: int
    start: int
    end: int
    at: int
    head: bytes = b""
    waiting: bool = False
    reading: bool = False
    fetched: int = 0


class FileSender:
    """Sends spans of files over one socket, one after the other."""

    def __init__(self, handle: int, threads: ThreadPoolExecutor, owner: Owner) -> None:
        """`handle`: the transport's, of which a duplicate is used."""
        self._loop = asyncio.get_running_loop()
        self._socket = socket.socket(fileno=os.dup(handle))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._threads, self._owner = threads, owner
        self._file: _Sending | None = None

    def send(self, response: Response, file: FileSpan, head: bytes) -> None:
        """Send the head and a span; the owner learns when it is over."""
        data = _at_once(file)
        try:
            sent = self._socket.sendmsg((head, data)) - len(head)
        except BlockingIOError:
            sent = -len(head)
        except OSError:
            return self._owner.file_sent(response, 0, False)
        if sent == file.end - file.start:
            return self._owner.file_sent(response, sent, True)
        self._file = _Sending(response, *file, at=file.start + max(0, sent))
        self._file.head = head[sent:] if sent < 0 else b""
        return self._go_on()

    def close(self) -> None:
        """Stop: the client has gone. A thread that still reads a file needs it open."""
        file, self._file = self._file, None
        if file:
            self._stop_waiting(file)
            if not file.reading:
                self._owner.file_sent(file.response, file.at - file.start, False)
        self._socket.close()

    def _go_on(self) -> None:
        """Send as much as the socket takes, at most a turn's worth."""
        file = self._file
        assert file
        try:
            while file.head:
                file.head = file.head[self._socket.send(file.head) :]
            while file.at < file.end:
                most = min(file.end - file.at, _TURN)
                if file.at >= file.fetched and not _at_hand(file.descriptor, file.at, most):
                    return self._fetch(file, most)
                count = os.sendfile(self._socket.fileno(), file.descriptor, file.at, most)
                if count == 0:
                    return self._end(False)  # the file has become shorter
                file.at += count
                self._owner.progressed()
                if count == most:
                    break
        except BlockingIOError:
            pass
        except OSError:
            return self._end(False)
        if file.at == file.end and not file.head:
            return self._end(True)
        return self._wait(file)

    def _fetch(self, file: _Sending, count: int) -> None:
        """Wait for the disk in a thread, then go on."""
        self._stop_waiting(file)

        def read() -> None:
            os.pread(file.descriptor, count, file.at)
            file.fetched = file.at + count

        def fetched(task: asyncio.Future[None]) -> None:
            file.reading = False
            if self._file is not file:
                self._owner.file_sent(file.response, file.at - file.start, False)
            elif task.exception():
                self._end(False)
            else:
                self._go_on()

        file.reading = True
        self._loop.run_in_executor(self._threads, read).add_done_callback(fetched)

    def _wait(self, file: _Sending) -> None:
        if not file.waiting:
            file.waiting = True
            self._loop.add_writer(self._socket.fileno(), self._go_on)

    def _stop_waiting(self, file: _Sending) -> None:
        if file.waiting:
            file.waiting = False
            self._loop.remove_writer(self._socket.fileno())

    def _end(self, complete: bool) -> None:
        file, self._file = self._file, None
        assert file
        self._stop_waiting(file)
        self._owner.file_sent(file.response, file.at - file.start, complete)


_SMALL = memoryview(bytearray(_PIECE))
"""Holds a small span for as long as one call takes; there is one thread that sends."""


def _at_once(file: FileSpan) -> memoryview:
    """Return the bytes of a small span if they are in memory, else nothing."""
    wanted = file.end - file.start
    if wanted > _PIECE or not _NOT_NOW:
        return _SMALL[:0]
    try:
        return _SMALL[: os.preadv(file.descriptor, [_SMALL[:wanted]], file.start, _NOT_NOW)]
    except OSError:
        return _SMALL[:0]


def _at_hand(descriptor: int, start: int, count: int) -> bool:
    """Whether the ends of a range are in memory, so that sending it will not wait for a disk."""
    if not _NOT_NOW:
        return True
    try:
        os.preadv(descriptor, [_SMALL[:1]], start + count - 1, _NOT_NOW)
        os.preadv(descriptor, [_SMALL[:1]], start, _NOT_NOW)
    except BlockingIOError:
        return False
    except OSError as error:
        return error.errno == errno.EOPNOTSUPP
    return True


def hold_back(peer: socket.socket, wanted: bool) -> None:
    """Let the kernel take little ahead of a client, or again much.

    What it has taken is made for nothing if the client leaves, as htslib does after every region.
    Bytes that are on their way do not count, so a long way takes no longer.
    """
    if _NOTSENT_LOWAT:
        with suppress(OSError):
            peer.setsockopt(socket.IPPROTO_TCP, _NOTSENT_LOWAT, _UNSENT if wanted else 0x7FFFFFFF)


def pieces_of(file: FileSpan) -> Iterator[bytes]:
    """Read a file in pieces, for connections that the kernel cannot write to by itself."""
    at = file.start
    while at < file.end:
        piece = os.pread(file.descriptor, min(_PIECE, file.end - at), at)
        if not piece:
            return
        yield piece
        at += len(piece)
