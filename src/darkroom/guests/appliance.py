"""The helper appliance: a kernel and an initrd that run one task and power off.

It is started by QEMU with `-kernel`, `-initrd` and `kernel_command_line(task)`, and speaks on the first serial port.
Of the tasks, "probe" needs no disk and only shows that guests run on this host. "run" works on the Linux system of the
virtio disk /dev/vda, with the archive made by `task_archive` attached raw and read-only as the virtio disk /dev/vdb.
"""

import gzip
import io
import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from darkroom.guests import cpio
from darkroom.guests.locks import held, settle, workshop
from darkroom.guests.packages import KERNEL, Say, fetch, unpack
from darkroom.guests.stamps import fingerprint, is_current, stamp
from darkroom.guests.trees import GuestTree, PackageTree

Task = Literal["probe", "run"]

#: What the probe prints when a kernel and a user space run.
PROBE_OK: Final = "DARKROOM-PROBE-OK"

_PACKAGES = (KERNEL, "busybox-static")
_QUICK = (
    "console=ttyS0,115200 quiet loglevel=0 panic=-1 mitigations=off random.trust_cpu=on tsc=reliable no_timer_check "
    "nokaslr 8250.nr_uarts=1 cryptomgr.notests"
)

#: Modules loaded together, under the name that the scripts inside know them by.
_MODULES: Final[Mapping[str, tuple[str, ...]]] = {
    "virtio": ("virtio_pci", "virtio_blk"),
    "xfs": ("xfs",),
    "btrfs": ("btrfs",),
    "vfat": ("vfat", "nls_cp437", "nls_ascii", "nls_utf8"),
}

_VERDICT = re.compile(r"^DARKROOM-(?:TASK-(?P<ok>OK)|TASK-FAILED(?: (?P<reason>[^\r\n]*))?)\r?\n", re.MULTILINE)


@dataclass(frozen=True)
class Appliance:
    """The two files of the appliance."""

    kernel: Path
    initrd: Path


@dataclass(frozen=True)
class TaskVerdict:
    """How a task ended: `outcome` is "ok", "failed" (with a `reason` of one line) or "none" while nothing is known."""

    outcome: Literal["ok", "failed", "none"]
    reason: str = ""


def kernel_command_line(task: Task) -> str:
    """Return the kernel command line that makes the appliance do `task`."""
    return f"{_QUICK} darkroom.task={task}"


def task_archive(script: bytes, files: Mapping[str, bytes]) -> bytes:
    """Return a tar archive of `script`, as the executable `run`, and `files`; its size is a multiple of 512 bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in {**files, "run": script}.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o755 if name == "run" else 0o644
            tar.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def verdict(serial_text: str) -> TaskVerdict:
    """Return how the "run" task ended, judging by all that the appliance has written to its serial port so far."""
    lines = list(_VERDICT.finditer(serial_text))
    if not lines:
        return TaskVerdict("none")
    last = lines[-1]
    return TaskVerdict("ok") if last["ok"] else TaskVerdict("failed", last["reason"] or "the task gave no reason")


def build_appliance(folder: Path, *, cache: Path, say: Say = print) -> Appliance:
    """Build the appliance in `folder` from Debian packages kept in `cache`; does nothing when it is there and current.

    Raises GuestBuildError. Whatever happens, `folder` holds a whole appliance or none.
    """
    made = Appliance(folder / "appliance-kernel", folder / "appliance-initrd")
    debs = fetch(_PACKAGES, cache=cache, say=say)
    with held(folder / ".appliance.lock"):
        inputs = fingerprint(debs)
        if is_current(made.initrd, inputs) and made.kernel.exists():
            return made
        say("building the appliance")
        with workshop(folder, "appliance") as shop:
            unpack(debs, shop / "packages")
            source = PackageTree(shop / "packages")
            (shop / "initrd").write_bytes(_initrd(shop / "tree", source))
            settle(source.kernel, made.kernel)
            settle(shop / "initrd", made.initrd)
        stamp(made.initrd, inputs)
    return made


def _initrd(root: Path, source: PackageTree) -> bytes:
    tree = GuestTree(root, source)
    tree.folders("dev", "proc", "sys")
    tree.busybox()
    tree.ours("appliance", "init", "init")
    tree.ours("appliance", "run-task", "run-task", mode=0o644)
    for name, wanted in _MODULES.items():
        modules = source.modules(wanted)
        tree.text(f"modules/{name}", "".join(f"{module.name}\n" for module in modules))
        for module in modules:
            tree.copy(module, f"modules/{module.name}", mode=0o644)
    return compressed(cpio.archive(cpio.tree(root)))


def compressed(archive: bytes) -> bytes:
    """Return an initrd compressed so that equal input makes equal output (no time inside)."""
    return gzip.compress(archive, compresslevel=6, mtime=0)
