"""Makes a disk that boots by BIOS: an MBR, GRUB's core behind it, and one ext4 partition. No loop device, no mount."""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from darkroom.guests.commands import run
from darkroom.guests.errors import GuestBuildError
from darkroom.guests.trees import PackageTree

SECTOR = 512
#: Where the partition begins, in sectors; the megabyte before it is for GRUB's core.
START = 2048

_BOOT_CODE = 440
_TABLE = 446
_LINUX = 0x83
_MODULES = ("biosdisk", "part_msdos", "ext2", "linux16", "boot")


@dataclass(frozen=True)
class Toolbox:
    """Runs programs out of unpacked packages by their own loader and libraries, so that the host needs none of them."""

    tree: PackageTree

    def run(self, program: str, *arguments: str | Path) -> str:
        """Run a program and return what it wrote; raises GuestBuildError when it fails."""
        folders = [self.tree.root / name / "x86_64-linux-gnu" for name in ("lib", "usr/lib")]
        libraries = ":".join(str(folder) for folder in folders)
        environment = {"MKE2FS_CONFIG": str(self.tree.file("etc/mke2fs.conf"))}
        return run(
            [self.tree.loader, "--library-path", libraries, self.tree.file(program), *arguments], env=environment
        )


def partition_table(sectors: int, boot_code: bytes = b"") -> bytes:
    """Return the MBR of a disk of `sectors` sectors: one active Linux partition from START to the end."""
    if not START < sectors <= 0xFFFFFFFF:
        raise ValueError(f"a disk of {sectors} sectors cannot hold this partition table")
    # The cylinder/head/sector fields say "look at the other numbers", as all tools write them today.
    entry = struct.pack("<B3sB3sII", 0x80, b"\xfe\xff\xff", _LINUX, b"\xfe\xff\xff", START, sectors - START)
    return boot_code[:_BOOT_CODE].ljust(_TABLE, b"\0") + entry + bytes(48) + b"\x55\xaa"


def make_disk(disk: Path, *, size: int, content: Path, grub_config: str, tools: Toolbox) -> None:
    """Make the raw, sparse `disk` of `size` bytes, whose root file system holds the files below `content`.

    GRUB runs `grub_config` and nothing else. All files belong to root, whoever builds.
    """
    with disk.open("wb") as file:
        file.truncate(size)
    _file_system(disk, size, content, tools)
    core = _grub_core(disk.with_name("grub"), grub_config, tools)
    boot_code = tools.tree.file("usr/lib/grub/i386-pc/boot.img").read_bytes()
    with disk.open("r+b") as file:
        file.write(partition_table(size // SECTOR, boot_code) + core)


def _file_system(disk: Path, size: int, content: Path, tools: Toolbox) -> None:
    offset = START * SECTOR
    layout = ["-t", "ext4", "-L", "root", "-b", "4096", "-i", "32768", "-m", "1", "-J", "size=16"]
    extended = f"offset={offset},root_owner=0:0,lazy_itable_init=1,lazy_journal_init=1,nodiscard"
    blocks = f"{(size - offset) // 1024}k"
    tools.run("sbin/mke2fs", "-q", "-F", *layout, "-E", extended, "-d", content, disk, blocks)
    if os.geteuid() != 0:
        orders = disk.with_name("owners")
        orders.write_text("".join(_ownership(content)))
        tools.run("sbin/debugfs", "-w", "-f", orders, f"{disk}?offset={offset}")


def _ownership(content: Path) -> Iterator[str]:
    """Yield debugfs's commands that give everything to root."""
    for path in content.rglob("*"):
        name = path.relative_to(content).as_posix()
        yield f'sif "/{name}" uid 0\nsif "/{name}" gid 0\n'


def _grub_core(scratch: Path, config: str, tools: Toolbox) -> bytes:
    scratch.mkdir()
    (scratch / "grub.cfg").write_text(config)
    modules = tools.tree.file("usr/lib/grub/i386-pc/boot.img").parent
    output = scratch / "core.img"
    platform = ["-O", "i386-pc", "-p", "(hd0,msdos1)/boot/grub"]
    tools.run("usr/bin/grub-mkimage", *platform, "-d", modules, "-c", scratch / "grub.cfg", "-o", output, *_MODULES)
    core = output.read_bytes()
    if len(core) > (START - 1) * SECTOR:
        raise GuestBuildError(f"GRUB's core has {len(core)} bytes and does not fit before the partition.")
    return core
