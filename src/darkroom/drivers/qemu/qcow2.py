"""Reads the header of a disk image, so that nothing hostile in it is ever acted upon.

Even `qemu-img info` opens the files that a qcow2 header refers to (CVE-2024-4467), so the header is judged here first.
Layout: docs/interop/qcow2.txt of QEMU.
"""

import struct
from dataclasses import dataclass
from typing import Final, Literal

MAGIC: Final = b"QFI\xfb"

#: Bytes from the beginning of a file that `kind` and `problem` need to see.
HEAD: Final = 65536

_CORRUPT, _DATA_FILE = 1 << 1, 1 << 2
_EXTENSION_END, _EXTENSION_DATA_FILE = 0, 0x44415441

_FOREIGN: Final = {
    b"KDMV": "vmdk",
    b"COWD": "vmdk",
    b"# Disk DescriptorFile": "vmdk",
    b"vhdxfile": "vhdx",
    b"conectix": "vpc",
    b"QED\0": "qed",
    b"WithoutFreeSpace": "parallels",
}
_NAMES: Final = {"vmdk": "VMDK", "vhdx": "VHDX", "vpc": "VHD", "vdi": "VDI", "qed": "QED", "parallels": "Parallels"}


@dataclass(frozen=True)
class Foreign:
    """A disk image of a format that is not taken."""

    form: str

    def __str__(self) -> str:
        advice = f"qemu-img convert -f {self.form} -O qcow2 IN OUT.qcow2"
        return f"is a {_NAMES[self.form]} image; convert it first, for example: {advice}"


def kind(head: bytes, tail: bytes = b"") -> Literal["qcow2", "raw"] | Foreign:
    """Return what a file is, by its first bytes and (for fixed VHD images) its last 512."""
    if head.startswith(MAGIC):
        return "qcow2"
    if head[0x40:0x44] == b"\x7f\x10\xda\xbe":
        return Foreign("vdi")
    for magic, form in _FOREIGN.items():
        if head.startswith(magic):
            return Foreign(form)
    return Foreign("vpc") if tail.startswith(b"conectix") else "raw"


def is_bootable_raw(head: bytes, size: int) -> bool:
    """Whether a raw file looks like a whole disk with a boot sector (an MBR, or the protective one of a GPT)."""
    return size % 512 == 0 and head[510:512] == b"\x55\xaa"


def problem(head: bytes) -> str:
    """Say why the qcow2 file that begins with `head` is refused, or "" if nothing in its header speaks against it."""
    if len(head) < 72:
        return "is cut off within its header"
    version, backing_offset, backing_size = struct.unpack_from(">IQI", head, 4)
    (crypt_method,) = struct.unpack_from(">I", head, 32)
    if version not in (2, 3):
        return f"is qcow2 of the unknown version {version}"
    if backing_offset or backing_size:
        return "refers to a backing file; send an image that stands alone (qemu-img convert makes one)"
    if crypt_method:
        return "is encrypted"
    return _newer_problem(head) if version == 3 else _extensions_problem(head, 72)


def _newer_problem(head: bytes) -> str:
    if len(head) < 104:
        return "is cut off within its header"
    incompatible, header_length = struct.unpack_from(">Q", head, 72)[0], struct.unpack_from(">I", head, 100)[0]
    if incompatible & _DATA_FILE:
        return "keeps its data in another file; send an image that stands alone (qemu-img convert makes one)"
    if incompatible & _CORRUPT:
        return "is marked as corrupt"
    return _extensions_problem(head, header_length)


def _extensions_problem(head: bytes, at: int) -> str:
    while at + 8 <= len(head):
        extension, length = struct.unpack_from(">II", head, at)
        if extension == _EXTENSION_END:
            return ""
        if extension == _EXTENSION_DATA_FILE:
            return "keeps its data in another file; send an image that stands alone (qemu-img convert makes one)"
        at += 8 + (length + 7) // 8 * 8
    return "has a header without an end"
