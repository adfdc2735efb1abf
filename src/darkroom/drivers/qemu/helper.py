"""Runs the helper guest: a kernel and an initrd from the kit that do one task on a disk and power off."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from darkroom.drivers.qemu import command, layout, process
from darkroom.drivers.qemu.command import HelperOrder
from darkroom.drivers.qemu.files import Identity, link_or_copy, make_folder, remove_tree

_SERIAL_READ = 256 * 1024


@dataclass(frozen=True)
class Kit:
    """The folder that holds the helper guest."""

    folder: Path

    @property
    def kernel(self) -> Path:
        return self.folder / "appliance-kernel"

    @property
    def initrd(self) -> Path:
        return self.folder / "appliance-initrd"

    @property
    def is_there(self) -> bool:
        return self.kernel.is_file() and self.initrd.is_file()


async def fresh_bench(bench: Path, uuid: str, kit: Kit, owner: Identity | None) -> None:
    """Make the folder `bench` anew for the helper guest `uuid`, ending one that a crash of the service left there."""
    await process.end(uuid)
    remove_tree(bench)
    make_folder(bench, owner)
    for source in (kit.kernel, kit.initrd):
        link_or_copy(source, bench / source.name)


async def run(
    bench: Path,
    order: HelperOrder,
    owner: Identity | None,
    groups: Sequence[int],
    *,
    limit: float,
    is_done: Callable[[str], bool],
) -> str:
    """Run the helper guest in `bench` until it ends, `is_done` says so of its console, or `limit` seconds are over.

    Returns what its console shows. The guest has ended then, whatever happened.
    """
    deadline = time.monotonic() + limit
    try:
        child = process.spawn(command.helper(order), bench, owner, groups)
        while True:
            ended = child.poll() is not None
            text = console(bench)
            if ended or is_done(text) or time.monotonic() > deadline:
                return text
            await asyncio.sleep(0.05)
    finally:
        await process.end(order.uuid)


def console(bench: Path) -> str:
    """Return what the guest in `bench` has written to its serial port."""
    try:
        return process.read_plainly(bench / layout.SERIAL_LOG, _SERIAL_READ).decode(errors="replace")
    except OSError:
        return ""
