"""Reaches a unix socket in a machine's folder, however long the path of that folder is (a socket's path: 107 bytes)."""

import asyncio
import os
import socket
import threading
from pathlib import Path

# Lines belong to the process, not to an event loop: the next call may come from another one.
_left_open: dict[tuple[Path, str], socket.socket] = {}
_left_open_guard = threading.Lock()


async def dial(folder: Path, name: str, *, limit: float) -> socket.socket:
    """Connect to the socket `name` in `folder`, within `limit` seconds. Raises OSError.

    A line that was left open is taken up again; what came in on it meanwhile is still there to be read.
    """
    if line := _taken_up(folder, name):
        return line
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


def leave_open(line: socket.socket, folder: Path, name: str, *, seconds: float) -> None:
    """Let the next caller of this process who dials `name` in `folder` have `line`, even if it is closed now.

    After so many seconds it ends. Until then the socket is busy to other processes.
    """
    try:
        spare = line.dup()
    except OSError:
        return  # the other end has closed it
    with _left_open_guard:
        former = _left_open.get((folder, name))
        _left_open[folder, name] = spare
    if former:
        former.close()
    asyncio.get_running_loop().call_later(seconds, _hang_up, folder, name, spare)


def _hang_up(folder: Path, name: str, line: socket.socket) -> None:
    with _left_open_guard:
        if _left_open.get((folder, name)) is not line:
            return
        del _left_open[folder, name]
    line.close()


def _taken_up(folder: Path, name: str) -> socket.socket | None:
    with _left_open_guard:
        line = _left_open.pop((folder, name), None)
    if line and _is_broken(line):
        line.close()
        return None
    return line


def _is_broken(line: socket.socket) -> bool:
    try:
        return not line.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True


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
