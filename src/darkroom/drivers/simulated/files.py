"""Small JSON files as records: each is there whole or not at all, and a lock file keeps writers apart."""

import fcntl
import hashlib
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, TypeVar
from urllib.parse import quote, unquote

import msgspec

#: Bytes up to which text is kept as it is.
_SHORT = 64 * 1024

Record = TypeVar("Record", bound=msgspec.Struct)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep every other thread and process that locks the same file waiting. For moments only, never over an await."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = part_beside(path)
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def part_beside(path: Path) -> Path:
    """Return a new hidden name in the same folder, for what is not whole yet."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")


def parts_beside(path: Path) -> list[Path]:
    """Return what earlier writers of this file left behind when they died."""
    beginning = f".{path.name}."
    return [part for part in path.parent.glob(".*.part") if part.name.startswith(beginning)]


def sync(path: Path) -> None:
    """Make a file's bytes, or a folder's names, outlive a loss of power."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


async def abridged(chunks: AsyncIterator[bytes], size: int) -> str:
    """Return short text as it is, of all else size and digest. Raises ValueError unless there are `size` bytes."""
    head, count, digest = b"", 0, hashlib.sha256()
    async for chunk in chunks:
        head += chunk[: _SHORT - len(head)]
        count += len(chunk)
        digest.update(chunk)
    if count != size:
        raise ValueError(f"a file of {size} bytes was announced, and {count} came")
    try:
        return head.decode() if count == len(head) else f"{count} bytes, SHA-256 {digest.hexdigest()}\n"
    except UnicodeDecodeError:
        return f"{count} bytes, SHA-256 {digest.hexdigest()}\n"


def file_name(name: str) -> str:
    """Spell any name so that it is one plain file name: nothing leads out of the folder."""
    return quote(name, safe="")


class Records(Generic[Record]):
    """The records of one kind in a folder, one JSON file each."""

    def __init__(self, folder: Path, kind: type[Record]) -> None:
        self._folder, self._kind = folder, kind

    def get(self, name: str) -> Record | None:
        return self._read(self._path(name))

    def names(self) -> list[str]:
        """Return the names of all records, in their order."""
        return sorted(unquote(path.stem) for path in self._folder.glob("*.json"))

    def all(self) -> list[Record]:
        """Return every record, in the order of their names."""
        found = (self.get(name) for name in self.names())
        return [record for record in found if record is not None]

    def put(self, name: str, record: Record) -> None:
        write_whole(self._path(name), msgspec.json.format(msgspec.json.encode(record)))

    def drop(self, name: str) -> None:
        self._path(name).unlink(missing_ok=True)
        self.sweep(name)

    def sweep(self, name: str) -> None:
        """Remove what writers of a record left behind when they died. Nobody may be writing it."""
        for part in parts_beside(self._path(name)):
            part.unlink(missing_ok=True)

    def sweep_all(self) -> None:
        """Remove what writers of any record left behind when they died. Nobody may be writing one."""
        for part in self._folder.glob(".*.part"):
            part.unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._folder / f"{file_name(name)}.json"

    def _read(self, path: Path) -> Record | None:
        try:
            return msgspec.json.decode(path.read_bytes(), type=self._kind)
        except FileNotFoundError:
            return None
