"""A machine's serial console: its last lines, fit for people, and the bound on what it may fill of the disk."""

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Final

from darkroom.drivers.qemu import layout
from darkroom.drivers.qemu.files import opened_plainly, read_plainly

#: A log longer than `MOST` bytes is cut down to its newest `KEPT`.
MOST: Final = 1024 * 1024
KEPT: Final = 512 * 1024

# ECMA-48: control sequences, then operating system commands up to their end, then other escapes.
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]?")


def tail(folder: Path, lines: int) -> list[str]:
    """Return the last `lines` lines that are not blank, printable and without escape sequences."""
    try:
        data = read_plainly(folder / layout.SERIAL_LOG, max(64 * 1024, lines * 256))
    except OSError:
        return []
    kept = [line for line in readable(data) if line]
    return kept[-lines:] if lines > 0 else []


def readable(data: bytes) -> list[str]:
    """Return the lines of terminal output as printable text; of a line rewritten in place, what it was last."""
    text = _ESCAPES.sub("", data.decode(errors="replace"))
    return [_printable(line.rstrip("\r").rpartition("\r")[2]) for line in text.split("\n")]


def _printable(line: str) -> str:
    kept = (sign for sign in line if sign == "\t" or (sign.isprintable() and sign != "\N{REPLACEMENT CHARACTER}"))
    return "".join(kept).expandtabs().rstrip()


def told(folder: Path, lines: int = 20) -> str:
    """Return the end of an error message: the last lines of the console."""
    last = tail(folder, lines)
    return " Last lines of the serial console:\n" + "\n".join(last) if last else " The serial console shows nothing."


def trim(folder: Path) -> None:
    """Cut the log down if it has grown too long.

    QEMU appends (O_APPEND), so it goes on writing at the new end; a line it writes in the midst of this may get lost.
    A file with a second name is let be: QEMU can give the log's name to its base image, which is every machine's.
    """
    with suppress(OSError), opened_plainly(folder / layout.SERIAL_LOG, os.O_RDWR | os.O_APPEND) as handle:
        state = os.fstat(handle)
        if state.st_size > MOST and state.st_nlink == 1:
            newest = os.pread(handle, KEPT, state.st_size - KEPT)
            os.ftruncate(handle, 0)
            os.write(handle, newest)
