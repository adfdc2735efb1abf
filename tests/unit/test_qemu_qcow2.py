"""What the headers of uploaded disk images are refused for."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkroom.drivers.qemu import qcow2

END = struct.pack(">II", 0, 0)
DATA_FILE = struct.pack(">II", 0x44415441, 8) + b"/etc/psk"


def header(
    version: int = 3, backing: int = 0, backing_size: int = 0, crypt: int = 0, incompatible: int = 0, rest: bytes = END
) -> bytes:
    start = struct.pack(">4sIQIIQI", b"QFI\xfb", version, backing, backing_size, 16, 1 << 30, crypt)
    start += struct.pack(">IQQIIQ", 1, 0, 0, 1, 0, 0)
    if version == 3:
        start += struct.pack(">QQQII", incompatible, 0, 0, 4, 104)
    return start + rest + bytes(512)


@pytest.mark.parametrize("version", [2, 3])
def test_an_image_that_stands_alone_is_taken(version: int) -> None:
    assert qcow2.kind(header(version)) == "qcow2"
    assert qcow2.problem(header(version)) == ""


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (header(version=4), "unknown version 4"),
        (header(backing=600, backing_size=11), "backing file"),
        (header(version=2, backing=600), "backing file"),
        (header(backing_size=11), "backing file"),
        (header(crypt=2), "encrypted"),
        (header(incompatible=4), "another file"),
        (header(rest=DATA_FILE + END), "another file"),
        (header(version=2, rest=DATA_FILE + END), "another file"),
        (header(incompatible=2), "corrupt"),
        (header()[:71], "cut off"),
        (header()[:90], "cut off"),
        (header(rest=struct.pack(">II", 7, 1 << 31)), "without an end"),
    ],
)
def test_what_is_refused_is_told(head: bytes, said: str) -> None:
    assert said in qcow2.problem(head)


@pytest.mark.parametrize(
    ("head", "tail", "form"),
    [
        (b"KDMV" + bytes(600), b"", "vmdk"),
        (b"# Disk DescriptorFile\n", b"", "vmdk"),
        (b"conectix" + bytes(600), b"", "vpc"),
        (bytes(600), b"conectix" + bytes(504), "vpc"),
        (b"vhdxfile" + bytes(600), b"", "vhdx"),
        (bytes(0x40) + b"\x7f\x10\xda\xbe", b"", "vdi"),
    ],
)
def test_foreign_formats_are_named_with_the_command_that_converts_them(head: bytes, tail: bytes, form: str) -> None:
    assert f"qemu-img convert -f {form} -O qcow2" in str(qcow2.kind(head, tail))


def test_a_raw_disk_needs_a_boot_sector_and_whole_sectors() -> None:
    sector = bytes(510) + b"\x55\xaa"
    assert qcow2.kind(sector) == "raw"
    assert qcow2.is_bootable_raw(sector, 1024)
    assert not qcow2.is_bootable_raw(sector, 1000)
    assert not qcow2.is_bootable_raw(bytes(512), 1024)
    assert not qcow2.is_bootable_raw(b"", 0)


@given(st.binary(max_size=300))
def test_no_header_breaks_the_judgement(rest: bytes) -> None:
    qcow2.problem(b"QFI\xfb" + rest)
    qcow2.kind(rest, rest[-512:])
