"""Reading forward through bytes."""

from __future__ import annotations


class Corrupt(ValueError):
    """The data contradicts the format."""


class Cursor:
    """A position in bytes; taking more than there is raises Corrupt."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    def take(self, count: int) -> bytes:
        start = self.position
        self.position += count
        if count < 0 or self.position > len(self.data):
            raise Corrupt(f"{count} bytes wanted, {len(self.data) - start} left")
        return self.data[start : self.position]

    def byte(self) -> int:
        return self.take(1)[0]

    def fixed(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def varint(self) -> int:
        """LEB128: seven bits a byte, lowest first."""
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 127) << shift
            if byte < 128:
                break
            shift += 7
        if value >> 64:
            raise Corrupt("a varint of more than 64 bits")
        return value

    def uint7(self) -> int:
        """The integer of CRAMcodecs: seven bits a byte, highest first."""
        value = 0
        while True:
            byte = self.byte()
            value = value << 7 | byte & 127
            if byte < 128:
                return value

    def rest(self) -> bytes:
        return self.take(len(self.data) - self.position)

    def left(self) -> int:
        return len(self.data) - self.position

    def finish(self) -> None:
        if self.left():
            raise Corrupt(f"{self.left()} bytes too many")
