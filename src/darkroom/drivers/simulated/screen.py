"""The screen of a simulated machine: a picture of its console, a block for every letter. PNG (RFC 2083)."""

import struct
import zlib
from collections.abc import Sequence
from typing import Final

#: Letters on the screen, and pixels of a letter.
COLUMNS, ROWS = 80, 25
_WIDE, _HIGH = 4, 8
_DARK, _LIGHT = b"\0", b"\xc0"
_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"


def drawn(lines: Sequence[str]) -> bytes:
    """Return the picture of the last lines, in shades of grey."""
    shown = [line[:COLUMNS].ljust(COLUMNS) for line in lines[-ROWS:]]
    shown += [" " * COLUMNS] * (ROWS - len(shown))
    pixels = b"".join(_row(line) for line in shown)
    head = struct.pack(">IIBBBBB", COLUMNS * _WIDE, ROWS * _HIGH, 8, 0, 0, 0, 0)
    return _SIGNATURE + _chunk(b"IHDR", head) + _chunk(b"IDAT", zlib.compress(pixels)) + _chunk(b"IEND", b"")


def _row(line: str) -> bytes:
    """Return the pixels of a row of letters; every line of them begins with its filter, 0 for none."""
    lit = b"".join((_DARK if letter == " " else _LIGHT) * (_WIDE - 1) + _DARK for letter in line)
    gap = _DARK * len(lit)
    return b"".join(b"\0" + (lit if 0 < number < _HIGH - 1 else gap) for number in range(_HIGH))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
