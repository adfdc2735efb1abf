"""Runs the helper guest: a kernel and an initrd from the kit that do one task on a disk and power off."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from darkroom.drivers.qemu import command, layout, process
from darkroom.drivers.qemu.command import HelperOrder
from darkroom.drivers.qemu.files import Identity, give, link_or_copy, read_plainly, remove_tree

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


async def fresh_bench(
    bench: Path, draft: Path, order: HelperOrder, kit: Kit, owner: Identity | None, *, task: bytes = b""
) -> None:
    """Make the folder `bench` anew for the helper guest, ending one that a crash of the service left there.

    It is filled as `draft`, where `owner` may put no links, and given away when nothing is left to write.
    """
    await process.end(order.uuid)
    _build(bench, draft, order, kit, owner, task)


def _build(bench: Path, draft: Path, order: HelperOrder, kit: Kit, owner: Identity | None, task: bytes) -> None:
    for left in (bench, draft):
        remove_tree(left)
    draft.mkdir(mode=0o700)
    for source in (kit.kernel, kit.initrd):
        link_or_copy(source, draft / source.name)
    if order.task:
        (draft / order.task).write_bytes(task)
        give(draft / order.task, owner)
    give(draft, owner)
    draft.rename(bench)


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
        return read_plainly(bench / layout.SERIAL_LOG, _SERIAL_READ).decode(errors="replace")
    except OSError:
        return ""
