"""Runs programs that end by themselves, such as qemu-img: bounded in time, killed when their caller is cancelled.

It stands on `subprocess` and threads, since not every event loop that calls come from (asyncio's, uvloop's) can start a
process as another user.
"""

import asyncio
import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from darkroom.drivers.qemu.files import Identity
from darkroom.errors import QemuMissing

#: Programs and the Debian or Ubuntu package that brings them.
PACKAGES: Final = {"qemu-system-x86_64": "qemu-system-x86", "qemu-img": "qemu-utils"}
ENVIRONMENT: Final = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "HOME": "/"}


class ProgramFailed(Exception):
    """A program ended with an error, or took too long; the message is what it said."""


def missing(program: str) -> QemuMissing:
    """Return the error for a program that is not installed."""
    package = PACKAGES.get(program, program)
    return QemuMissing(f"{program} is not installed on this host: install the package {package}.")


def drop_to(owner: Identity | None, groups: Sequence[int] = ()) -> dict[str, Any]:
    """Return the arguments of `subprocess.Popen` that make the new process run as `owner`."""
    return {"user": owner.uid, "group": owner.gid, "extra_groups": list(groups)} if owner else {}


async def run(
    command: Sequence[str],
    *,
    folder: Path,
    owner: Identity | None,
    limit: float,
    pass_fds: Sequence[int] = (),
    on_output: Callable[[bytes], None] | None = None,
) -> bytes:
    """Run `command` in `folder` as `owner` and return its output; `on_output` sees it in a thread as it comes.

    Raises ProgramFailed, and QemuMissing if the program is not there.
    """
    process = _begin(command, folder, owner, pass_fds)
    talk = asyncio.ensure_future(asyncio.to_thread(_hear_out, process, on_output))
    try:
        async with asyncio.timeout(limit):
            output, complaint = await asyncio.shield(talk)
    except TimeoutError:
        raise ProgramFailed(f"{command[0]} took longer than {limit:.0f} s") from None
    finally:
        process.kill()
        await asyncio.wait([talk])
    if process.returncode != 0:
        raise ProgramFailed(complaint or f"{command[0]} ended with status {process.returncode}")
    return output


def _begin(
    command: Sequence[str], folder: Path, owner: Identity | None, pass_fds: Sequence[int]
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=pass_fds,
            **drop_to(owner),
        )
    except FileNotFoundError:
        if not folder.is_dir():
            raise
        raise missing(command[0]) from None


def _hear_out(process: subprocess.Popen[bytes], on_output: Callable[[bytes], None] | None) -> tuple[bytes, str]:
    with process:
        output = _listen(process, on_output) if on_output else b""
        rest, complaint = process.communicate()
        return output + rest, " ".join(complaint.decode(errors="replace").split())[-1000:]


def _listen(process: subprocess.Popen[bytes], on_output: Callable[[bytes], None]) -> bytes:
    """Read to the end of the output. What is complained of meanwhile must fit a pipe's buffer, as qemu-img's does."""
    assert process.stdout is not None
    heard = b""
    while piece := os.read(process.stdout.fileno(), 65536):
        heard = (heard + piece)[-65536:]
        on_output(piece)
    return heard
