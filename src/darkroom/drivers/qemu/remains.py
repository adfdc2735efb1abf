"""What is left of machines that are none any more: folders without a readable record, processes without a folder."""

import os
from collections.abc import Iterator
from pathlib import Path

from darkroom.domain.ids import ServerId
from darkroom.drivers.base import Machine, MachineState
from darkroom.drivers.qemu.layout import Layout, is_machine
from darkroom.drivers.qemu.machines import record_of, uuid_of


def remains(layout: Layout) -> list[Machine]:
    """Return what is left of each machine. One that is just being made, or deleted, is among them for a moment."""
    folder = layout.homes.resolve()
    keys = filter(is_machine, {*_with_folder(folder), *_with_process(folder)})
    return [
        Machine(key=ServerId(key), instance_id=uuid_of(key), state=MachineState.DAMAGED)
        for key in sorted(keys)
        if record_of(layout.machine(key)) is None
    ]


def _with_folder(folder: Path) -> Iterator[str]:
    if folder.is_dir():
        yield from (home.name for home in folder.iterdir() if home.is_dir())


def _with_process(folder: Path) -> Iterator[str]:
    """Yield the keys of machines that have a process, even if its folder has been removed (proc_pid_cwd(5))."""
    for entry in os.scandir("/proc"):
        if not entry.name.isdecimal():
            continue
        try:
            home = Path(f"/proc/{entry.name}/cwd").readlink().parent
        except OSError:
            continue  # it has ended, or is another user's
        if home.parent == folder:
            yield home.name
