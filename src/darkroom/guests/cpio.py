"""Writes the `newc` cpio archives that the kernel unpacks as its first file system.

The format is described in the kernel's Documentation/driver-api/early-userspace/buffer-format.rst. Everything belongs
to root and carries no time, so that equal trees make equal archives.
"""

import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

#: Devices that init needs before it has mounted devtmpfs: name → (major, minor).
DEVICES = {"dev/console": (5, 1), "dev/null": (1, 3), "dev/ttyS0": (4, 64)}


class Entry(NamedTuple):
    """One file of an archive; `mode` holds its type and permissions as in `stat.st_mode`."""

    name: str
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


def archive(entries: Iterator[Entry]) -> bytes:
    """Return the archive of `entries`; a folder must come before what is in it."""
    parts = [_record(number, entry) for number, entry in enumerate(entries, start=1)]
    return b"".join([*parts, _record(0, Entry("TRAILER!!!", 0))])


def tree(root: Path, devices: Mapping[str, tuple[int, int]] = DEVICES) -> Iterator[Entry]:
    """Yield everything below `root` in a fixed order, then the character `devices`, which no ordinary user can make."""
    for path in sorted(root.rglob("*")):
        name, mode = path.relative_to(root).as_posix(), path.lstat().st_mode
        if stat.S_ISLNK(mode):
            yield Entry(name, mode, str(path.readlink()).encode())
        elif stat.S_ISREG(mode):
            yield Entry(name, mode, path.read_bytes())
        elif stat.S_ISDIR(mode):
            yield Entry(name, mode)
    for name, device in devices.items():
        yield Entry(name, stat.S_IFCHR | 0o600, device=device)


def _record(number: int, entry: Entry) -> bytes:
    name = entry.name.encode() + b"\0"
    fields = [number, entry.mode, 0, 0, 1, 0, len(entry.data), 0, 0, *entry.device, len(name), 0]
    header = b"070701" + b"".join(b"%08X" % field for field in fields) + name
    return _padded(header) + _padded(entry.data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
