"""The simulated screen: as much of an RFB server (RFC 6143) as a viewer needs to see a picture, and to see it change.

It shows bars of colour. A key that is pressed draws a square at the bottom, a button of the mouse one where it points.
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Final, Literal, NamedTuple

from darkroom.drivers.lines import SocketChannel

WIDTH: Final = 320
HEIGHT: Final = 200
VERSION: Final = b"RFB 003.008\n"

_COLOURS: Final = [
    *((255, 255, 255), (255, 255, 0), (0, 255, 255), (0, 255, 0), (255, 0, 255), (255, 0, 0), (0, 0, 255), (0, 0, 0))
]
_SQUARE: Final = 8
_FORMAT: Final = struct.Struct(">BBBBHHHBBB3x")
_NATIVE: Final = _FORMAT.pack(32, 24, 0, 1, 255, 255, 255, 16, 8, 0)
_MOST_TEXT: Final = 1 << 20
#: Seconds between two looks whether the machine still runs.
_PULSE: Final = 0.5


class _Garbage(Exception):
    """What the viewer says is not RFB, or not of a kind that is known here."""


class Box(NamedTuple):
    """A part of the screen: its left upper corner, and the one right below, which does not belong to it."""

    left: int
    top: int
    right: int
    bottom: int

    def within(self, other: "Box") -> "Box":
        """Return what both have in common; it may be empty."""
        left, top = max(self.left, other.left), max(self.top, other.top)
        right, bottom = min(self.right, other.right), min(self.bottom, other.bottom)
        return Box(left, top, max(left, right), max(top, bottom))

    def around(self, other: "Box") -> "Box":
        return Box(
            *(min(self.left, other.left), min(self.top, other.top)),
            *(max(self.right, other.right), max(self.bottom, other.bottom)),
        )

    @property
    def is_empty(self) -> bool:
        return self.left >= self.right or self.top >= self.bottom


class SimulatedScreen(SocketChannel):
    """A Channel to a screen of its own, which is there as long as the machine `runs`."""

    _server: asyncio.Task[None]

    @classmethod
    async def showing(cls, name: str, runs: Callable[[], bool]) -> "SimulatedScreen":
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setblocking(False)
        screen = cls(*await asyncio.open_unix_connection(sock=ours))
        session = _Session(*await asyncio.open_unix_connection(sock=theirs))
        screen._server = asyncio.create_task(session.serve(name, runs))
        return screen

    async def aclose(self) -> None:
        self._server.cancel()
        await asyncio.gather(self._server, return_exceptions=True)
        await super().aclose()


class _Session:
    """One viewer's session: its picture, the form it wants pixels in, and what it has asked for."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        bar = WIDTH // len(_COLOURS)
        self._picture = bytearray(bytes(x // bar for x in range(WIDTH)) * HEIGHT)
        self._pixels = _pixels(_NATIVE)
        self._changed, self._wanted = Box(0, 0, 0, 0), Box(0, 0, 0, 0)
        self._keys = 0

    async def serve(self, name: str, runs: Callable[[], bool]) -> None:
        try:
            await self._greet(name)
            while runs():
                try:
                    async with asyncio.timeout(_PULSE):
                        kind = await self._reader.readexactly(1)
                except TimeoutError:
                    continue
                await self._heed(kind[0])
        except (_Garbage, asyncio.IncompleteReadError, OSError):
            pass
        finally:
            self._writer.close()

    async def _greet(self, name: str) -> None:
        self._writer.write(VERSION)
        if await self._reader.readexactly(12) != VERSION:
            raise _Garbage
        self._writer.write(b"\x01\x01")  # one kind of security: none
        if await self._reader.readexactly(1) != b"\x01":
            raise _Garbage
        self._writer.write(bytes(4))
        await self._reader.readexactly(1)
        title = name.encode()
        self._writer.write(struct.pack(">HH16sI", WIDTH, HEIGHT, _NATIVE, len(title)) + title)

    async def _heed(self, kind: int) -> None:
        """Read the rest of a message of this kind, and do what it says."""
        if kind == 0:
            self._pixels = _pixels((await self._reader.readexactly(19))[3:])
        elif kind == 2:
            (count,) = struct.unpack(">xH", await self._reader.readexactly(3))
            await self._reader.readexactly(4 * count)  # raw is what every viewer takes
        elif kind == 3:
            incremental, left, top, width, height = struct.unpack(">BHHHH", await self._reader.readexactly(9))
            self._wanted = Box(left, top, left + width, top + height).within(Box(0, 0, WIDTH, HEIGHT))
            if not incremental:
                self._change(self._wanted)
        elif kind == 4:
            down, _key = struct.unpack(">BxxI", await self._reader.readexactly(7))
            if down:
                self._draw(self._keys * _SQUARE % WIDTH, HEIGHT - _SQUARE, self._keys // 2)
                self._keys += 1
        elif kind == 5:
            buttons, x, y = struct.unpack(">BHH", await self._reader.readexactly(5))
            if buttons:
                self._draw(x, y, 0)
        elif kind == 6:
            (length,) = struct.unpack(">xxxI", await self._reader.readexactly(7))
            if length > _MOST_TEXT:
                raise _Garbage
            await self._reader.readexactly(length)
        else:
            raise _Garbage
        await self._update()

    def _draw(self, x: int, y: int, colour: int) -> None:
        square = Box(x, y, x + _SQUARE, y + _SQUARE).within(Box(0, 0, WIDTH, HEIGHT))
        for row in range(square.top, square.bottom):
            at = row * WIDTH
            self._picture[at + square.left : at + square.right] = bytes([colour % 8]) * (square.right - square.left)
        self._change(square)

    def _change(self, part: Box) -> None:
        self._changed = part if self._changed.is_empty else self._changed.around(part)

    async def _update(self) -> None:
        """Send what has changed of the part that is asked for; if there is nothing, the viewer waits until there is."""
        part = self._changed.within(self._wanted)
        if part.is_empty:
            return
        self._wanted = Box(0, 0, 0, 0)
        if part == self._changed:
            self._changed = Box(0, 0, 0, 0)
        rows = (
            self._picture[row * WIDTH + part.left : row * WIDTH + part.right] for row in range(part.top, part.bottom)
        )
        pixels = b"".join(self._pixels[colour] for row in rows for colour in row)
        place = (part.left, part.top, part.right - part.left, part.bottom - part.top)
        self._writer.write(struct.pack(">BxH4Hi", 0, 1, *place, 0) + pixels)
        await self._writer.drain()


def _pixels(form: bytes) -> list[bytes]:
    """Return each colour as a pixel of the format that a viewer asks for (RFC 6143, section 7.4)."""
    bits, _depth, big_endian, true_colour, *rest = _FORMAT.unpack(form)
    sizes, shifts = rest[:3], rest[3:]
    if bits not in (8, 16, 32) or not true_colour or max(shifts) >= bits:
        raise _Garbage
    order: Literal["big", "little"] = "big" if big_endian else "little"
    mask = (1 << bits) - 1
    values = (
        sum(part * most // 255 << shift for part, most, shift in zip(colour, sizes, shifts, strict=True))
        for colour in _COLOURS
    )
    return [(value & mask).to_bytes(bits // 8, order) for value in values]
