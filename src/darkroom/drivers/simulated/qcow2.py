"""As much of the qcow2 format as pretending needs (QEMU's specification, docs/interop/qcow2).

A captured image is a true qcow2 file of an empty disk, which `qemu-img` takes. The simulated guest rides behind its
last cluster, where a header extension of ours points; so an image that was exported and uploaded again keeps its files.
"""

import struct
from os import SEEK_END
from typing import BinaryIO

from darkroom.drivers.qemu.qcow2 import MAGIC

_CLUSTER_BITS = 16
_CLUSTER = 1 << _CLUSTER_BITS
#: Bytes of the header in version 3 of the format.
_HEADER = 104
#: Type of the header extension that says where the guest is: offset and length, 8 bytes each.
_GUEST_EXTENSION = 0x44524B47
_GUEST_LIMIT = 1 << 26


def virtual_size(head: bytes) -> int | None:
    """Return the size of the disk in the qcow2 file that begins so; None if it is no qcow2 file."""
    if not head.startswith(MAGIC):
        return None
    size: int = struct.unpack_from(">Q", head, 24)[0]
    return size


def disk_with_guest(virtual_size: int, guest: bytes) -> bytes:
    """Return a qcow2 file of an empty disk of so many bytes, with a guest behind it."""
    l1_entries = -(-virtual_size // (_CLUSTER * _CLUSTER // 8))
    l1_clusters = max(1, -(-l1_entries * 8 // _CLUSTER))
    clusters = 3 + l1_clusters  # the header, the refcount table, one refcount block, the L1 table
    header = struct.pack(
        ">4sIQIIQIIQQIIQQQQII",
        *(MAGIC, 3, 0, 0, _CLUSTER_BITS, virtual_size, 0),
        *(l1_entries, 3 * _CLUSTER, _CLUSTER, 1, 0, 0),
        *(0, 0, 0, 4, _HEADER),
    )
    extension = struct.pack(">IIQQQ", _GUEST_EXTENSION, 16, clusters * _CLUSTER, len(guest), 0)
    refcount_table = struct.pack(">Q", 2 * _CLUSTER)
    refcount_block = struct.pack(">H", 1) * clusters
    pieces = (header + extension, refcount_table, refcount_block)
    return b"".join(piece.ljust(_CLUSTER, b"\0") for piece in pieces) + bytes(l1_clusters * _CLUSTER) + guest


def guest_in(file: BinaryIO) -> bytes | None:
    """Return the guest that rides in a qcow2 file of ours, if it is one."""
    head = file.read(_HEADER + 24)
    if len(head) < _HEADER + 24 or not head.startswith(MAGIC):
        return None
    kind, length, offset, size = struct.unpack_from(">IIQQ", head, _HEADER)
    # The file may be anybody's upload, so the extension may say anything.
    if (kind, length) != (_GUEST_EXTENSION, 16) or size > _GUEST_LIMIT or offset > file.seek(0, SEEK_END):
        return None
    file.seek(offset)
    return file.read(size)
