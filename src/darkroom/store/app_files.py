"""The files of applications: `<folder>/<record id>`, each there whole or not at all, and never written again."""

import asyncio
import errno
import hashlib
import os
import re
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from darkroom.domain.ids import RecordId
from darkroom.errors import AttachFailed, HostFull, InvalidParameter, TooLarge

_CHUNK: Final = 1024 * 1024
_SAFE: Final = re.compile(r"\d+", re.ASCII)


class FileFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A stored file: its size in bytes, its SHA-256 in hexadecimal."""

    size: int
    sha256: str


class AppFiles:
    """Keeps the files in `folder`; none may be longer than `limit` bytes."""

    def __init__(self, folder: Path, *, limit: int) -> None:
        self._folder, self._limit = folder, limit

    def sweep(self, *, older_than: float = 0) -> None:
        """Make the folder, if there is none, and remove what a process that died has left half written.

        What was written to within so many seconds stays: somebody may be at work on it.
        """
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for part in self._folder.glob(".*.part"):
            with suppress(FileNotFoundError):
                if part.stat().st_mtime <= time.time() - older_than:
                    part.unlink()

    def check(self, size: int) -> None:
        """Raise TooLarge if a file of that size is not taken."""
        if size > self._limit:
            raise TooLarge(f"An application's file may have at most {self._limit} bytes (setting app_size_limit).")

    async def receive(self, record_id: RecordId, chunks: AsyncIterator[bytes]) -> FileFacts:
        """Store a file. Raises TooLarge, HostFull, and InvalidParameter for an empty one; leaves nothing then."""
        # Where many processes share the folder, none sweeps it and so makes it when it starts.
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        place = self._place(record_id)
        part = place.with_name(f".{place.name}.{secrets.token_hex(4)}.part")
        try:
            with part.open("xb") as file:
                facts = await self._fill(file, chunks)
                await asyncio.to_thread(_settle, file)
            part.replace(place)
            _sync(self._folder)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise HostFull("The disk that holds the data folder is full.") from error
            raise
        finally:
            part.unlink(missing_ok=True)
        return facts

    async def read(self, record_id: RecordId) -> AsyncIterator[bytes]:
        """Yield the bytes of a file. Raises AttachFailed if it has gone."""
        try:
            file = self._place(record_id).open("rb")
        except FileNotFoundError:
            raise AttachFailed(f"The file of the application record {record_id} has gone.") from None
        with file:
            while chunk := await asyncio.to_thread(file.read, _CHUNK):
                yield chunk

    def remove(self, record_id: RecordId) -> None:
        """Remove a file; it may have gone already."""
        self._place(record_id).unlink(missing_ok=True)

    async def _fill(self, file: BinaryIO, chunks: AsyncIterator[bytes]) -> FileFacts:
        size, digest = 0, hashlib.sha256()
        async for chunk in chunks:
            size += len(chunk)
            self.check(size)
            digest.update(chunk)
            await asyncio.to_thread(file.write, chunk)
        if not size:
            raise InvalidParameter("file", "it is empty")
        return FileFacts(size=size, sha256=digest.hexdigest())

    def _place(self, record_id: RecordId) -> Path:
        if not _SAFE.fullmatch(record_id):
            raise ValueError(f"{record_id!r} is no record's id")
        return self._folder / record_id


def _settle(file: BinaryIO) -> None:
    """Make the file final, and its bytes outlive a loss of power."""
    file.flush()
    os.fchmod(file.fileno(), 0o444)
    os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
