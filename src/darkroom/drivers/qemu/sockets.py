"""Reaches a unix socket in a machine's folder, however long the path of that folder is (a socket's path: 107 bytes)."""

import asyncio
import os
import socket
from pathlib import Path


async def dial(folder: Path, name: str, *, limit: float) -> socket.socket:
    """Connect to the socket `name` in `folder`, within `limit` seconds. Raises OSError."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + limit
    while True:
        try:
            return _connected(folder, name)
        except BlockingIOError:
            # QEMU talks to one client at a time and its queue of callers is short.
            if loop.time() > deadline:
                raise TimeoutError(f"{name} is busy") from None
        await asyncio.sleep(0.02)


def _connected(folder: Path, name: str) -> socket.socket:
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    line.setblocking(False)
    handle = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        line.connect(f"/proc/self/fd/{handle}/{name}")
    except BaseException:
        line.close()
        raise
    finally:
        os.close(handle)
    return line
