"""Decides between KVM and emulation by trying: there are hosts where /dev/kvm is there and no guest ever runs on it."""

import os
import stat
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec

from darkroom.drivers.qemu import helper, process
from darkroom.drivers.qemu.command import HelperOrder
from darkroom.drivers.qemu.files import Identity, held, read_record, write_record
from darkroom.drivers.qemu.helper import Kit
from darkroom.guests.appliance import PROBE_OK, kernel_command_line

#: Seconds that the trial guest gets; under KVM it needs less than one, emulated about three.
PATIENCE: Final = 10.0
_KVM = Path("/dev/kvm")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Accelerator:
    """What QEMU runs guests by, "kvm" or "tcg", and a sentence on why."""

    name: str
    reason: str


class _Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a trial showed, for as long as the host is not booted anew."""

    boot_id: str
    user: str
    name: str
    reason: str


def kvm_groups(owner: Identity | None) -> list[int]:
    """Return the supplementary groups by which `owner` may open /dev/kvm; never root's."""
    try:
        group = _KVM.stat().st_gid
    except OSError:
        return []
    return [group] if owner and group != 0 else []


def closed_because(owner: Identity | None) -> str:
    """Say why QEMU cannot open /dev/kvm when it runs as `owner`, or "" if it can."""
    try:
        state = _KVM.stat()
    except OSError:
        return "this host has no /dev/kvm"
    if owner is None:
        return "" if os.access(_KVM, os.R_OK | os.W_OK) else "/dev/kvm may not be opened by this user"
    needed = stat.S_IROTH | stat.S_IWOTH
    by_group = stat.S_IRGRP | stat.S_IWGRP if kvm_groups(owner) or state.st_gid == owner.gid else 0
    by_user = stat.S_IRUSR | stat.S_IWUSR if state.st_uid == owner.uid else 0
    if any(bits and state.st_mode & bits == bits for bits in (needed, by_group, by_user)):
        return ""
    return f"/dev/kvm may not be opened by the user {owner.name} that QEMU runs as"


async def choose(
    setting: Literal["auto", "kvm", "tcg"], kit: Kit, cache: Path, owner: Identity | None, *, patience: float = PATIENCE
) -> Accelerator:
    """Return what to run guests by. With "auto" a trial guest decides; its verdict is kept in the file `cache`.

    Raises QemuMissing.
    """
    if setting != "auto":
        return Accelerator(setting, "the settings say so")
    if reason := closed_because(owner):
        return Accelerator("tcg", reason)
    if not kit.is_there:
        return Accelerator("tcg", f"KVM cannot be tried without the helper guest, which is not in {kit.folder}")
    async with held(cache.with_suffix(".lock")):
        user = owner.name if owner else ""
        boot_id = _boot_id()
        known = read_record(cache, _Verdict)
        if known is None or (known.boot_id, known.user) != (boot_id, user):
            found = await _trial(kit, cache.parent, owner, patience)
            known = _Verdict(boot_id=boot_id, user=user, name=found.name, reason=found.reason)
            write_record(cache, known)
        return Accelerator(known.name, known.reason)


def _boot_id() -> str:
    return _BOOT_ID.read_text().strip()


async def _trial(kit: Kit, near: Path, owner: Identity | None, patience: float) -> Accelerator:
    with tempfile.TemporaryDirectory(prefix=".trial-", dir=near, ignore_cleanup_errors=True) as folder:
        bench = Path(folder) / "bench"
        # The user that QEMU runs as is handed the folder open and needs no way to it from above.
        order = HelperOrder(
            name="darkroom-trial",
            uuid=str(uuid.uuid4()),
            accelerator="kvm",
            kernel=kit.kernel.name,
            initrd=kit.initrd.name,
            command_line=kernel_command_line("probe"),
        )
        await helper.fresh_bench(bench, Path(folder) / "draft", order, kit, owner)
        text = await helper.run(
            bench, order, owner, kvm_groups(owner), limit=patience, is_done=lambda console: PROBE_OK in console
        )
        if PROBE_OK in text:
            return Accelerator("kvm", "a trial guest ran on it")
        said = process.complaint(bench) or f"it did not come up within {patience:.0f} s"
        return Accelerator("tcg", f"a trial guest did not run on KVM: {said}")
