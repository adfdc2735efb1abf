"""Locks between processes, and files that are either whole or not there."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def held(lock: Path) -> Iterator[None]:
    """Hold the lock file `lock`, waiting for whoever has it; the kernel lets go of it when the process dies."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def workshop(near: Path, purpose: str) -> Iterator[Path]:
    """Give a scratch folder in the folder `near`, so that results can be renamed into place, and remove it afterwards.

    The caller holds the lock for `purpose`: what an earlier process left behind when it was killed is removed too.
    """
    for left in near.glob(f".build-{purpose}-*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f".build-{purpose}-", dir=near, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def settle(made: Path, place: Path) -> None:
    """Move `made` to `place` in one stroke, its bytes safely on the disk."""
    with made.open("rb") as file:
        os.fsync(file.fileno())
    made.replace(place)
