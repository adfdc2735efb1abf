"""qemu-img, run as QEMU's unprivileged user, always told the format and never left to guess it."""

import os
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from darkroom.drivers.qemu import programs
from darkroom.drivers.qemu.files import Identity, entered
from darkroom.drivers.qemu.programs import ProgramFailed

Answer = TypeVar("Answer")

_PERCENT = re.compile(rb"\((\d+(?:\.\d+)?)/100%\)")

#: Seconds for questions about an image, and for copying one.
_QUICK, _LONG = 300.0, 24 * 3600.0


@dataclass(frozen=True)
class QemuImg:
    """Works on files in a folder, by names relative to it; raises ProgramFailed with what qemu-img said."""

    owner: Identity | None

    async def info(self, folder: Path, name: str, *, form: str = "qcow2") -> dict[str, Any]:
        """Return what `qemu-img info` tells of one file, its backing file not opened."""
        words = ["info", "--output=json", "-f", form, name]
        return await self._ask(words, folder, dict[str, Any])

    async def chain(self, folder: Path, name: str) -> list[dict[str, Any]]:
        """Return what `qemu-img info` tells of one of our own files and of all below it."""
        # -U: a layer that a running machine has open for writing may be asked about, too.
        words = ["info", "-U", "--backing-chain", "--output=json", "-f", "qcow2", name]
        return await self._ask(words, folder, list[dict[str, Any]])

    async def check(self, folder: Path, name: str) -> None:
        """Raise ProgramFailed if the qcow2 file is inconsistent."""
        await self._run(["check", "-q", "-f", "qcow2", name], folder)

    async def create(self, folder: Path, name: str, *, backing: str, size: int = 0) -> None:
        """Make an empty copy-on-write layer over the qcow2 file `backing`, of its size or of `size` bytes.

        It has its name once it is whole. An earlier file of that name is replaced, and one is not disturbed by a
        qemu-img that outlived its service: hence a name of its own until then.
        """
        fresh = f"{name}.{secrets.token_hex(4)}.new"
        words = ["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", backing, fresh]
        with entered(folder) as inside:
            try:
                await self._run(words + ([str(size)] if size else []), inside)
                (inside / fresh).rename(inside / name)
            finally:
                (inside / fresh).unlink(missing_ok=True)

    async def convert(
        self, folder: Path, name: str, target: Path, *, form: str = "qcow2", percent: Callable[[float], None]
    ) -> None:
        """Copy the disk in `name`, with all below it, into the existing file `target` as qcow2 without backing file.

        `percent` is called from a thread. The target's folder is handed over open, because its parents may be closed to
        the user that qemu-img runs as.
        """
        handle = os.open(target.parent, os.O_PATH | os.O_DIRECTORY)
        try:
            place = f"/proc/self/fd/{handle}/{target.name}"
            # Writing out of order with four requests in flight reaches the speed of dd; in order it does not.
            words = ["convert", "-p", "-W", "-m", "4", "-f", form, "-O", "qcow2", name, place]
            await programs.run(
                ["qemu-img", *words],
                folder=folder,
                owner=self.owner,
                limit=_LONG,
                pass_fds=[handle],
                on_output=lambda piece: _tell(piece, percent),
            )
        finally:
            os.close(handle)

    async def _run(self, words: list[str], folder: Path) -> bytes:
        return await programs.run(["qemu-img", *words], folder=folder, owner=self.owner, limit=_QUICK)

    async def _ask(self, words: list[str], folder: Path, kind: type[Answer]) -> Answer:
        try:
            return msgspec.json.decode(await self._run(words, folder), type=kind)
        except msgspec.DecodeError as problem:
            raise ProgramFailed(f"qemu-img said what is no JSON: {problem}") from problem


def _tell(piece: bytes, percent: Callable[[float], None]) -> None:
    found = _PERCENT.findall(piece)
    if found:
        percent(float(found[-1]))
