"""Writes an upload to a file, keeping in mind what is needed to judge it."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from darkroom.drivers.qemu.qcow2 import HEAD

#: Bytes gathered before a thread writes them.
_BATCH: Final = 4 * 1024 * 1024


@dataclass(frozen=True)
class Received:
    """A file that has come in whole: its size in bytes, its SHA-256, its first `HEAD` and last 512 bytes."""

    size: int
    sha256: str
    head: bytes
    tail: bytes


class Upload:
    """The existing file `path`, being filled."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._digest = hashlib.sha256()

    async def take(self, chunks: AsyncIterator[bytes]) -> Received:
        """Write all chunks. Raises OSError, and whatever `chunks` raises."""
        batch = bytearray()
        with self._path.open("r+b", buffering=0) as file:
            async for chunk in chunks:
                batch += chunk
                if len(batch) >= _BATCH:
                    await self._write(file.fileno(), bytes(batch))
                    batch.clear()
            await self._write(file.fileno(), bytes(batch))
            size = os.fstat(file.fileno()).st_size
            head, tail = os.pread(file.fileno(), HEAD, 0), os.pread(file.fileno(), 512, max(0, size - 512))
        return Received(size, self._digest.hexdigest(), head, tail)

    async def _write(self, handle: int, data: bytes) -> None:
        # Shielded and waited for, so that a cancelled upload does not close the file under the thread that writes.
        work = asyncio.ensure_future(asyncio.to_thread(self._write_now, handle, data))
        try:
            await asyncio.shield(work)
        finally:
            await asyncio.wait([work])

    def _write_now(self, handle: int, data: bytes) -> None:
        self._digest.update(data)
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(handle, rest) :]
