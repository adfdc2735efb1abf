"""Uploads to the folder of images, friendly and hostile, judged by the real qemu-img."""

import asyncio
import hashlib
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from darkroom.domain.ids import ImageId
from darkroom.drivers.base import ImageFacts
from darkroom.drivers.qemu import images
from darkroom.drivers.qemu.compute import QemuCompute
from darkroom.drivers.qemu.images import FolderImageStore
from darkroom.errors import HostFull, ImageDamaged, InvalidParameter

IMAGE = ImageId("0f2d8f0e-6a46-4a52-9c0b-6b8f6c0f7d11")
BOOT_SECTOR = bytes(510) + b"\x55\xaa"


@pytest.fixture
def store(tmp_path: Path) -> FolderImageStore:
    return QemuCompute(tmp_path / "data", tmp_path / "kit").image_store


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A raw disk that could boot."""
    path = tmp_path / "disk.raw"
    path.write_bytes(BOOT_SECTOR + os.urandom(1024 * 1024) + bytes(1024 * 1024))
    return path


def qemu_img(*words: str | Path) -> None:
    subprocess.run(["qemu-img", *map(str, words)], check=True, stdout=subprocess.DEVNULL)


def converted(source: Path, form: str, *options: str) -> Path:
    target = source.with_suffix(f".{form}")
    qemu_img("convert", "-f", "raw", "-O", form, *options, source, target)
    return target


async def pieces(data: bytes, size: int = 100_000) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


def receive(store: FolderImageStore, data: bytes) -> ImageFacts:
    return asyncio.run(store.receive(IMAGE, pieces(data)))


async def content(store: FolderImageStore) -> bytes:
    return b"".join([chunk async for chunk in store.read(IMAGE)])


def left(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "data" / "images").iterdir())


def assert_refused(store: FolderImageStore, tmp_path: Path, data: bytes, said: str) -> None:
    with pytest.raises(InvalidParameter, match=said):
        receive(store, data)
    assert left(tmp_path) == []
    assert asyncio.run(store.facts(IMAGE)) is None


def test_a_qcow2_file_is_kept_byte_for_byte(store: FolderImageStore, disk: Path, tmp_path: Path) -> None:
    data = converted(disk, "qcow2").read_bytes()
    facts = receive(store, data)
    assert facts == ImageFacts(
        size=len(data), virtual_size=disk.stat().st_size, sha256=hashlib.sha256(data).hexdigest()
    )
    assert asyncio.run(content(store)) == data
    assert asyncio.run(store.facts(IMAGE)) == facts
    assert left(tmp_path) == [f"{IMAGE}.json", f"{IMAGE}.qcow2"]
    assert (tmp_path / "data" / "images" / f"{IMAGE}.qcow2").stat().st_mode & 0o777 == 0o444


def test_a_raw_disk_becomes_qcow2(store: FolderImageStore, disk: Path, tmp_path: Path) -> None:
    facts = receive(store, disk.read_bytes())
    stored = tmp_path / "data" / "images" / f"{IMAGE}.qcow2"
    assert facts.virtual_size == disk.stat().st_size
    assert facts.sha256 == hashlib.sha256(stored.read_bytes()).hexdigest()
    qemu_img("compare", "-f", "raw", "-F", "qcow2", disk, stored)


def test_a_removed_image_is_gone(store: FolderImageStore, disk: Path, tmp_path: Path) -> None:
    receive(store, disk.read_bytes())
    for _ in range(2):
        asyncio.run(store.remove(IMAGE))
    assert left(tmp_path) == []
    with pytest.raises(ImageDamaged):
        asyncio.run(content(store))


@pytest.mark.parametrize("data", [b"hello", bytes(4096), BOOT_SECTOR + b"x", os.urandom(2048)])
def test_what_is_no_disk_is_refused(store: FolderImageStore, tmp_path: Path, data: bytes) -> None:
    assert_refused(store, tmp_path, data, "neither qcow2 nor a raw bootable disk")


def test_an_empty_file_is_refused(store: FolderImageStore, tmp_path: Path) -> None:
    assert_refused(store, tmp_path, b"", "empty")


@pytest.mark.parametrize(("form", "name"), [("vmdk", "VMDK"), ("vpc", "VHD"), ("vdi", "VDI"), ("vhdx", "VHDX")])
def test_foreign_formats_are_refused_with_advice(
    store: FolderImageStore, disk: Path, tmp_path: Path, form: str, name: str
) -> None:
    assert_refused(store, tmp_path, converted(disk, form).read_bytes(), f"is a {name} image")


def test_a_backing_file_is_never_opened(store: FolderImageStore, tmp_path: Path) -> None:
    evil = tmp_path / "evil.qcow2"
    qemu_img("create", "-f", "qcow2", "-u", "-b", "/etc/shadow", "-F", "raw", evil, "1M")
    assert_refused(store, tmp_path, evil.read_bytes(), "backing file")


def test_an_external_data_file_is_never_opened(store: FolderImageStore, disk: Path, tmp_path: Path) -> None:
    option = f"data_file={tmp_path / 'elsewhere'},data_file_raw=on"
    assert_refused(store, tmp_path, converted(disk, "qcow2", "-o", option).read_bytes(), "another file")


@pytest.mark.parametrize("method", [1, 2], ids=["AES", "LUKS"])
def test_an_encrypted_image_is_refused(store: FolderImageStore, disk: Path, tmp_path: Path, method: int) -> None:
    data = bytearray(converted(disk, "qcow2").read_bytes())
    data[32:36] = method.to_bytes(4, "big")  # crypt_method of the header
    assert_refused(store, tmp_path, bytes(data), "encrypted")


def test_an_inconsistent_image_is_refused(store: FolderImageStore, disk: Path, tmp_path: Path) -> None:
    data = bytearray(converted(disk, "qcow2").read_bytes())
    data[3 * 65536 : 3 * 65536 + 8] = b"\x80\x00\x00\x7f\xff\xff\x00\x00"
    assert_refused(store, tmp_path, bytes(data), "damaged|cannot be read")


def test_a_truncated_image_is_refused(store: FolderImageStore, disk: Path, tmp_path: Path) -> None:
    data = converted(disk, "qcow2").read_bytes()
    assert_refused(store, tmp_path, data[: len(data) // 2 // 512 * 512], "damaged|cannot be read")


def test_a_disk_of_absurd_size_is_refused(store: FolderImageStore, tmp_path: Path) -> None:
    huge = tmp_path / "huge.qcow2"
    qemu_img("create", "-f", "qcow2", "-o", "cluster_size=2M", huge, "100T")
    assert_refused(store, tmp_path, huge.read_bytes(), "bytes; at most")


def test_an_upload_that_breaks_off_leaves_nothing(store: FolderImageStore, disk: Path, tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield disk.read_bytes()
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        asyncio.run(store.receive(IMAGE, broken()))
    assert left(tmp_path) == []


def test_a_cancelled_upload_leaves_nothing(store: FolderImageStore, disk: Path, tmp_path: Path) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield disk.read_bytes()
            await asyncio.sleep(0.01)

    async def scene() -> None:
        upload = asyncio.create_task(store.receive(IMAGE, endless()))
        await asyncio.sleep(0.3)
        assert [name.endswith(".partial") for name in left(tmp_path)] == [True]
        upload.cancel()
        with pytest.raises(asyncio.CancelledError):
            await upload

    asyncio.run(scene())
    assert left(tmp_path) == []


def test_a_full_disk_is_told_and_leaves_nothing(
    store: FolderImageStore, disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("darkroom.drivers.qemu.uploads.Upload._write_now", full)
    with pytest.raises(HostFull):
        receive(store, disk.read_bytes())
    assert left(tmp_path) == []


def test_two_loops_may_store_at_the_same_time(store: FolderImageStore, disk: Path, tmp_path: Path) -> None:
    async def both() -> list[ImageFacts]:
        ids = [ImageId("a"), ImageId("b")]
        work = [asyncio.to_thread(asyncio.run, store.receive(image, pieces(disk.read_bytes()))) for image in ids]
        return await asyncio.gather(*work)

    first, second = asyncio.run(both())
    assert first.virtual_size == second.virtual_size


def test_a_digest_ends_with_the_task_that_wants_it(tmp_path: Path) -> None:
    big = tmp_path / "big"
    with big.open("wb") as file:
        file.truncate(20 * 1024**3)

    async def scene() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await images.digest(big)

    asyncio.run(scene())
