"""One QEMU process: started in its folder, found again there after a restart of the service, ended for sure.

Whether it lives is told by a lock on the file `alive`, which is taken for QEMU before it starts and which the kernel
gives up when it ends. A process id proves nothing: it may belong to a zombie, or by now to somebody else. (QEMU's own
pidfile would do as well, but cannot be made where QEMU's user may not enter the parents of its folder.)
"""

import asyncio
import errno
import fcntl
import os
import select
import signal
import struct
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from darkroom.drivers.qemu import layout, programs
from darkroom.drivers.qemu.files import Identity, entered, opened_plainly, read_plainly

#: Seconds that a QEMU process gets to end after SIGTERM, and after SIGKILL.
_POLITE, _FORCED = 5.0, 10.0
_FLOCK: Final = "hhqqi4x"  # struct flock of 64-bit Linux: type, whence, start, length, pid
_WHOLE_FILE: Final = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)

# Children belong to the process, not to a driver object: whoever comes by reaps them.
_children: list[tuple[subprocess.Popen[bytes], Sequence[str]]] = []
_children_guard = threading.Lock()


class Undying(Exception):
    """A QEMU process is still there after SIGKILL."""


def spawn(
    command: Sequence[str], folder: Path, owner: Identity | None, groups: Sequence[int]
) -> subprocess.Popen[bytes]:
    """Start QEMU in `folder` as `owner`; it lives on when this service ends. What it complains of goes to qemu.log.

    `-daemonize` is not used because it leaves the folder, to which all paths are relative. Raises QemuMissing, and
    OSError if another process lives in `folder`.
    """
    with ExitStack() as stack:
        inside = stack.enter_context(entered(folder))
        alive = _taken(inside / layout.ALIVE)
        stack.callback(os.close, alive)
        log = _fresh(inside / layout.QEMU_LOG)
        stack.callback(os.close, log)
        try:
            child = subprocess.Popen(
                command,
                cwd=inside,
                env=programs.ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=[alive],
                **programs.drop_to(owner, groups),
            )
        except FileNotFoundError:
            if not folder.is_dir():
                raise
            raise programs.missing(command[0]) from None
    with _children_guard:
        _children.append((child, command))
    return child


def reap() -> None:
    """Let the kernel forget those of our children that have ended."""
    with _children_guard:
        _children[:] = [entry for entry in _children if entry[0].poll() is None]


def complaint(folder: Path) -> str:
    """Return what QEMU last complained of, in one line."""
    with suppress(OSError):
        text = read_plainly(folder / layout.QEMU_LOG, 4096).decode(errors="replace")
        # That we ended it ourselves is no news.
        lines = [line.strip() for line in text.splitlines() if "terminating on signal" not in line]
        return " / ".join(line for line in lines[-5:] if line)
    return ""


def why_ended(folder: Path) -> str:
    """Say why the QEMU process that lived in `folder` does so no more, as far as its traces tell."""
    with suppress(OSError):
        # The log is made anew at each start, which is the last change of a process that never complained.
        if (folder / layout.QEMU_LOG).stat().st_mtime < _boot_time():
            return "the host was booted anew"
    return complaint(folder) or "QEMU ended without a word"


def _boot_time() -> float:
    """Return when the host was booted, in seconds since the Unix epoch (proc_stat(5))."""
    for line in Path("/proc/stat").read_text(encoding="ascii").splitlines():
        if line.startswith("btime "):
            return float(line.split()[1])
    return 0.0


def lives(folder: Path) -> bool:
    """Whether a QEMU process lives in `folder`."""
    try:
        with opened_plainly(folder / layout.ALIVE, os.O_RDONLY) as handle:
            answer = fcntl.fcntl(handle, fcntl.F_OFD_GETLK, _WHOLE_FILE)
    except OSError as problem:
        if problem.errno in (errno.EMFILE, errno.ENFILE):
            raise  # that too many files are open says nothing of the process
        return False
    return bool(struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK)


def _taken(path: Path) -> int:
    """Return `path` opened and locked. The lock goes to whoever inherits the open file (fcntl(2), OFD)."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.fcntl(handle, fcntl.F_OFD_SETLK, _WHOLE_FILE)
    except BaseException:
        os.close(handle)
        raise
    return handle


def _fresh(path: Path) -> int:
    """Return a new file `path` opened. What had its name may be a second name of a file that QEMU can only read."""
    path.unlink(missing_ok=True)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)


def bearers(uuid: str) -> Iterator[int]:
    """Yield the ids of all processes that were started as the machine `uuid`, whatever has become of their folder."""
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal() and _bears(int(entry.name), uuid):
            yield int(entry.name)


def _bears(pid: int, uuid: str) -> bool:
    # The kernel shows no command line yet for a moment after a process has been started.
    if any(child.pid == pid and uuid in command for child, command in list(_children)):
        return True
    try:
        return b"\0-uuid\0" + uuid.encode() + b"\0" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


async def end(uuid: str) -> None:
    """End every process of the machine `uuid`: SIGTERM lets QEMU write back and close its disks; then SIGKILL.

    Raises Undying.
    """
    for pid in list(bearers(uuid)):
        with _handle(pid, uuid) as handle:
            if handle is None or await _signalled(handle, signal.SIGTERM, _POLITE):
                continue
            if not await _signalled(handle, signal.SIGKILL, _FORCED):
                raise Undying(f"process {pid} is still there {_FORCED:.0f} s after SIGKILL")
    reap()


async def wait_for_end(uuid: str, limit: float) -> bool:
    """Wait until no process of the machine `uuid` is left, at most `limit` seconds; return whether that is so."""
    for pid in list(bearers(uuid)):
        with _handle(pid, uuid) as handle:
            if handle is not None and not await _ended(handle, limit):
                return False
    reap()
    return True


@contextmanager
def _handle(pid: int, uuid: str) -> Iterator[int | None]:
    """Hold on to a process, so that its id cannot pass to another; None if it is gone or is not the machine's."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        yield None
        return
    try:
        yield handle if _bears(pid, uuid) else None
    finally:
        os.close(handle)


async def _signalled(handle: int, number: signal.Signals, limit: float) -> bool:
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(handle, number)
    return await _ended(handle, limit)


async def _ended(handle: int, limit: float) -> bool:
    pause, left = 0.01, limit
    while not select.select([handle], [], [], 0)[0]:
        if left <= 0:
            return False
        await asyncio.sleep(pause)
        left, pause = left - pause, min(pause * 1.5, 0.2)
    return True
