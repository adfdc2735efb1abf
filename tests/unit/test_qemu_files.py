"""Records, locks, hard links, and what accelerator is chosen without trying."""

import asyncio
import os
from pathlib import Path

import msgspec
import pytest

from darkroom.drivers.qemu import accel, files
from darkroom.drivers.qemu.files import Identity, held, read_record, write_record
from darkroom.drivers.qemu.helper import Kit
from darkroom.drivers.qemu.layout import Layout, next_disk
from darkroom.errors import HostFull, MachineFailed


class Note(msgspec.Struct):
    text: str


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert read_record(tmp_path / "note", Note) is None
    write_record(tmp_path / "note", Note("one"))
    write_record(tmp_path / "note", Note("two"))
    assert read_record(tmp_path / "note", Note) == Note("two")
    assert [path.name for path in tmp_path.iterdir()] == ["note"]


def test_one_at_a_time_holds_a_lock(tmp_path: Path) -> None:
    inside: list[int] = []

    async def worker(number: int) -> None:
        async with held(tmp_path / "lock"):
            inside.append(number)
            await asyncio.sleep(0.01)
            assert inside[-1] == number

    async def scene() -> None:
        await asyncio.gather(*(worker(number) for number in range(5)))

    asyncio.run(scene())
    assert sorted(inside) == [0, 1, 2, 3, 4]


def test_whoever_waits_for_the_lock_of_a_removed_folder_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "machine"
    folder.mkdir()

    async def wait() -> None:
        async with held(folder / "lock"):
            pass

    async def scene() -> None:
        async with held(folder / "lock"):
            waiting = asyncio.create_task(wait())
            await asyncio.sleep(0.02)
            files.remove_tree(folder)
        with pytest.raises(FileNotFoundError):
            await waiting

    asyncio.run(scene())


def test_a_linked_file_outlives_its_first_name(tmp_path: Path) -> None:
    (tmp_path / "image").write_text("disk")
    files.link_or_copy(tmp_path / "image", tmp_path / "base")
    assert (tmp_path / "base").samefile(tmp_path / "image")
    (tmp_path / "image").unlink()
    assert (tmp_path / "base").read_text() == "disk"


def test_a_full_disk_is_told_apart() -> None:
    assert isinstance(files.host_full(OSError(28, "No space left on device")), HostFull)
    assert files.host_full(OSError(13, "Permission denied")) is None


@pytest.mark.parametrize("name", ["../x", "", ".", "a/b", "a\0b", "x" * 200])
def test_no_name_leads_out_of_the_data_folder(name: str) -> None:
    with pytest.raises(ValueError):
        Layout(Path("/data")).machine(name)


def test_layers_are_counted() -> None:
    assert next_disk("disk-0.qcow2") == "disk-1.qcow2"
    assert next_disk("disk-9.qcow2") == "disk-10.qcow2"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may choose")
def test_an_unknown_user_for_qemu_is_told() -> None:
    assert files.identity_of("root") is None
    with pytest.raises(MachineFailed, match="qemu_user"):
        files.identity_of("no-such-user")


def choose(setting: str, folder: Path, owner: Identity | None = None) -> accel.Accelerator:
    return asyncio.run(accel.choose(setting, Kit(folder), folder / "verdict.json", owner))  # type: ignore[arg-type]


def test_settings_are_obeyed_untried(tmp_path: Path) -> None:
    assert choose("kvm", tmp_path).name == "kvm"
    assert choose("tcg", tmp_path).name == "tcg"


def test_without_kvm_or_a_way_to_try_it_guests_are_emulated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = tmp_path / "kvm"
    monkeypatch.setattr(accel, "_KVM", device)
    assert "no /dev/kvm" in choose("auto", tmp_path).reason
    device.touch(0o600)
    stranger = Identity("stranger", 54321, 54321)
    assert "may not be opened by the user stranger" in choose("auto", tmp_path, stranger).reason
    found = choose("auto", tmp_path)
    assert found.name == "tcg"
    assert "helper guest" in found.reason


def test_a_verdict_is_kept_until_the_host_boots_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trials: list[str] = []

    async def trial(*_: object) -> accel.Accelerator:
        trials.append("tried")
        return accel.Accelerator("kvm", "it ran")

    monkeypatch.setattr(accel, "_trial", trial)
    monkeypatch.setattr(accel, "closed_because", lambda _: "")
    for name in ("appliance-kernel", "appliance-initrd"):
        (tmp_path / name).touch()
    assert choose("auto", tmp_path) == choose("auto", tmp_path) == accel.Accelerator("kvm", "it ran")
    assert len(trials) == 1
    monkeypatch.setattr(accel, "_boot_id", lambda: "another boot")
    choose("auto", tmp_path)
    assert len(trials) == 2
