"""Channels that more than one driver has: a socket, and a file that somebody writes on."""

import asyncio
import fcntl
import os
import socket
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Final

#: Bytes that are read at a time.
PIECE: Final = 64 * 1024
#: Seconds between two looks at a file for what is new in it, and at a machine for whether it still runs.
LOOK: Final = 0.03


class SocketChannel:
    """A Channel over a connected socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def over(cls, line: socket.socket) -> "SocketChannel":
        """Return a channel over a connected unix socket."""
        return cls(*await asyncio.open_unix_connection(sock=line))

    async def read(self) -> bytes:
        try:
            return await self._reader.read(PIECE)
        except OSError:  # whoever ended the line had not read all of it
            return b""

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    @property
    def unsent(self) -> bool:
        """Whether the other side has yet to take some of what was written."""
        if self._writer.transport.get_write_buffer_size():
            return True
        waiting = fcntl.ioctl(self._writer.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
        return any(waiting)

    async def aclose(self) -> None:
        # Closing would wait until the other side has taken all, which it may never do.
        self._writer.transport.abort()


class FileFollower:
    """Reads what somebody else appends to a file, which may be cut short at its front.

    `past` are the last bytes that were in it before, so many at most, from the first whole line of these.
    """

    def __init__(self, path: Path, *, past: int) -> None:
        """Begin at the end of the file. Raises OSError."""
        # The folder may belong to somebody who puts another kind of file there.
        self._handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        self._at = self._size()
        begin = max(0, self._at - past)
        last = os.pread(self._handle, self._at - begin, begin)
        self.past = last[last.find(b"\n") + 1 :] if begin else last

    async def read(self, goes_on: Callable[[], bool]) -> bytes:
        """Return the next bytes as soon as there are some; none if there are none and it does not go on."""
        while True:
            ending = not goes_on()  # asked first: what was written before the end is still read
            size = self._size()
            if size < self._at:
                # Whoever cuts the file empties it, then writes back what it keeps, which has been read.
                await asyncio.sleep(LOOK)
                self._at = self._size()
            elif data := os.pread(self._handle, PIECE, self._at):
                self._at += len(data)
                return data
            elif ending:
                return b""
            else:
                await asyncio.sleep(LOOK)

    def close(self) -> None:
        os.close(self._handle)

    def _size(self) -> int:
        return os.fstat(self._handle).st_size
