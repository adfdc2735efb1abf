"""The little that must be known of ELF files: which shared libraries a program asks for (System V gABI, chapter 5)."""

import struct
from collections.abc import Iterator

_PT_LOAD, _PT_DYNAMIC = 1, 2
_DT_NULL, _DT_NEEDED, _DT_STRTAB = 0, 1, 5
_Segment = tuple[int, int, int, int]  # type, offset in the file, address in memory, bytes in the file


def needed(data: bytes) -> list[str]:
    """Return the names of the shared libraries that a 64-bit little-endian ELF file asks for, in its order.

    A static program, and anything that is not such a file, asks for none.
    """
    if data[:6] != b"\x7fELF\x02\x01":
        return []
    segments = list(_segments(data))
    entries = [entry for segment in segments if segment[0] == _PT_DYNAMIC for entry in _dynamic(data, segment)]
    table = next((value for tag, value in entries if tag == _DT_STRTAB), None)
    if table is None:
        return []
    strings = _file_offset(segments, table)
    return [_string(data, strings + value) for tag, value in entries if tag == _DT_NEEDED]


def _segments(data: bytes) -> Iterator[_Segment]:
    (start,) = struct.unpack_from("<Q", data, 0x20)
    size, count = struct.unpack_from("<HH", data, 0x36)
    for index in range(count):
        kind, _flags, offset, address, _physical, length = struct.unpack_from("<IIQQQQ", data, start + index * size)
        yield kind, offset, address, length


def _dynamic(data: bytes, segment: _Segment) -> Iterator[tuple[int, int]]:
    _kind, offset, _address, length = segment
    for at in range(offset, offset + length, 16):
        tag, value = struct.unpack_from("<qQ", data, at)
        if tag == _DT_NULL:
            return
        yield tag, value


def _file_offset(segments: list[_Segment], address: int) -> int:
    for kind, offset, start, length in segments:
        if kind == _PT_LOAD and start <= address < start + length:
            return offset + address - start
    raise ValueError(f"no part of the file is loaded at address {address:#x}")


def _string(data: bytes, offset: int) -> str:
    return data[offset : data.index(b"\0", offset)].decode()
