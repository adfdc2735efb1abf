"""Files that are whole or not there, locks between processes, and who owns what QEMU works on."""

import asyncio
import errno
import fcntl
import os
import pwd
import shutil
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from darkroom.errors import HostFull, MachineFailed

Record = TypeVar("Record", bound=msgspec.Struct)


@dataclass(frozen=True)
class Identity:
    """An unprivileged user that QEMU runs as."""

    name: str
    uid: int
    gid: int


def identity_of(user: str) -> Identity | None:
    """Return whom to run QEMU as; None where we are not root and so can only be ourselves, or `user` is root.

    Raises MachineFailed if there is no such user.
    """
    if os.geteuid() != 0 or user in ("", "root"):
        return None
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise MachineFailed(f"There is no user {user!r} on this host to run QEMU as (setting qemu_user).") from None
    return Identity(entry.pw_name, entry.pw_uid, entry.pw_gid)


def give(path: Path, owner: Identity | None) -> None:
    """Let `path` belong to the user that QEMU runs as."""
    if owner:
        os.chown(path, owner.uid, owner.gid, follow_symlinks=False)


def make_folder(path: Path, owner: Identity | None) -> None:
    """Make a folder that only `owner` may enter."""
    path.mkdir(mode=0o700, exist_ok=True)
    give(path, owner)


def link_or_copy(source: Path, target: Path) -> None:
    """Give `source` a second name; copy it where it lies on another file system. An earlier `target` is replaced."""
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(source)
    except OSError as problem:
        # Besides other file systems: hard links to files of others may be forbidden (fs.protected_hardlinks).
        if problem.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP):
            raise
        shutil.copyfile(source, target)


def remove_tree(path: Path) -> None:
    """Remove a folder and all in it, or what is there in its place; it may be gone already."""
    with suppress(FileNotFoundError):
        try:
            path.unlink()
        except IsADirectoryError:
            shutil.rmtree(path)


@contextmanager
def entered(folder: Path) -> Iterator[Path]:
    """Give a path that leads to `folder` even if something else takes its place. Raises OSError, also for a link."""
    handle = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield Path(f"/proc/self/fd/{handle}")
    finally:
        os.close(handle)


@contextmanager
def opened_plainly(path: Path, flags: int) -> Iterator[int]:
    """Hold open a file in a folder that QEMU may write to. Raises OSError, also if it has put there what is no file.

    A link would lead elsewhere, a pipe would be waited for.
    """
    handle = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "is no regular file", str(path))
        yield handle
    finally:
        os.close(handle)


def read_plainly(path: Path, last: int) -> bytes:
    """Return the `last` bytes of a file in a folder that QEMU may write to. Raises OSError as `opened_plainly` does."""
    with opened_plainly(path, os.O_RDONLY) as handle:
        return os.pread(handle, last, max(0, os.fstat(handle).st_size - last))


def sync_folder(path: Path) -> None:
    """Make what was created, renamed or removed in the folder `path` survive a power failure."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_file(path: Path) -> None:
    """Make the content of `path` survive a power failure."""
    with opened_plainly(path, os.O_RDONLY) as handle:
        os.fsync(handle)


def write_record(path: Path, record: msgspec.Struct) -> None:
    """Write `record` as JSON, durably; whoever reads `path` sees the old record or the new one."""
    fresh = path.with_name(path.name + ".new")
    try:
        fresh.write_bytes(msgspec.json.encode(record))
        sync_file(fresh)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    sync_folder(path.parent)


def read_record(path: Path, kind: type[Record]) -> Record | None:
    """Return the record in `path`, or None if there is none. Raises ValueError if it cannot be understood."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (FileNotFoundError, NotADirectoryError):
        return None


@asynccontextmanager
async def held(lock: Path) -> AsyncIterator[None]:
    """Hold `lock` against every other call in this process or another. Raises FileNotFoundError if its folder goes.

    It is a file lock and not one of asyncio's, because calls come from several event loops.
    """
    while True:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            if _locked(handle) and _still_there(lock, handle):
                yield
                return
        finally:
            os.close(handle)
        await asyncio.sleep(0.05)


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _still_there(lock: Path, handle: int) -> bool:
    """Whether we wait for the file that has the name now, and not for one that was removed with its folder."""
    try:
        return os.path.samestat(lock.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def host_full(problem: OSError) -> HostFull | None:
    """Return the HostFull to raise if `problem` means that there is no room left."""
    if problem.errno in (errno.ENOSPC, errno.EDQUOT):
        return HostFull("The disk that holds the data folder is full.")
    return None
