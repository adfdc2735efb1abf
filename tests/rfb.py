"""As much of an RFB client (RFC 6143) as looking at a screen needs."""

import struct
from collections.abc import Callable


class Viewer:
    """Knows raw rectangles, of four bytes for a pixel. `read` returns the next bytes, none at the end of the line."""

    def __init__(self, read: Callable[[], bytes], send: Callable[[bytes], object]) -> None:
        self._read, self._send = read, send
        self._rest = b""

    def need(self, count: int) -> bytes:
        while len(self._rest) < count:
            piece = self._read()
            assert piece, "the screen ended"
            self._rest += piece
        piece, self._rest = self._rest[:count], self._rest[count:]
        return piece

    def greet(self, *, shared: bool = True) -> tuple[int, int, str]:
        """Begin; return width, height and name of the screen."""
        assert self.need(12) == b"RFB 003.008\n"
        self._send(b"RFB 003.008\n")
        assert 1 in self.need(self.need(1)[0])
        self._send(b"\x01")
        assert self.need(4) == bytes(4)
        self._send(bytes([shared]))
        self.width, self.height, length = struct.unpack(">HH16xI", self.need(24))
        name = self.need(length).decode()
        self._send(struct.pack(">BxHi", 2, 1, 0))
        return self.width, self.height, name

    def look(self, *, incremental: bool = False) -> list[tuple[int, int, int, int, bytes]]:
        """Ask for the whole screen; return the rectangles that come: left, top, width, height, pixels."""
        self._send(struct.pack(">BBHHHH", 3, incremental, 0, 0, self.width, self.height))
        kind, count = struct.unpack(">BxH", self.need(4))
        assert kind == 0
        found = []
        for _ in range(count):
            left, top, width, height, encoding = struct.unpack(">4Hi", self.need(12))
            assert encoding == 0
            found.append((left, top, width, height, self.need(width * height * 4)))
        return found

    def press(self, key: int) -> None:
        for down in (1, 0):
            self._send(struct.pack(">BBxxI", 4, down, key))

    def click(self, x: int, y: int) -> None:
        for buttons in (1, 0):
            self._send(struct.pack(">BBHH", 5, buttons, x, y))

    def pixels_as(self, bits: int, form: bytes) -> None:
        """Ask for another format of pixels: what follows `bits` in it, 15 bytes."""
        self._send(struct.pack(">BxxxB", 0, bits) + form)


def colours(pixels: bytes) -> set[bytes]:
    return {pixels[at : at + 4] for at in range(0, len(pixels), 4)}
