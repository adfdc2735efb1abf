"""The helper guest's folder: made anew, filled where QEMU can put no links, left behind by nobody."""

import asyncio
from pathlib import Path

import pytest

from darkroom.domain.ids import JobId, ServerId
from darkroom.drivers.qemu import helper
from darkroom.drivers.qemu.command import HelperOrder
from darkroom.drivers.qemu.compute import QemuCompute
from darkroom.drivers.qemu.files import identity_of
from darkroom.drivers.qemu.helper import Kit
from darkroom.drivers.qemu.layout import Layout, MachinePlace

ORDER = HelperOrder(
    name="helper", uuid="none", accelerator="tcg", kernel="appliance-kernel", initrd="appliance-initrd",
    command_line="", task="task.tar",
)  # fmt: skip


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    for name in ("appliance-kernel", "appliance-initrd"):
        (tmp_path / name).write_text(name)
    return Kit(tmp_path)


@pytest.fixture
def place(tmp_path: Path) -> MachinePlace:
    place = Layout(tmp_path).machine("1")
    place.vm.mkdir(parents=True)
    return place


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder that QEMU's user may not write to, with a file in it."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "task.tar").write_text("precious")
    return folder


def fresh_bench(place: MachinePlace, kit: Kit) -> None:
    owner = identity_of("nobody")
    asyncio.run(helper.fresh_bench(place.bench("7"), place.draft("7"), ORDER, kit, owner, task=b"task"))


def assert_whole(place: MachinePlace) -> None:
    bench = place.bench("7")
    assert not bench.is_symlink()
    assert sorted(path.name for path in bench.iterdir()) == ["appliance-initrd", "appliance-kernel", "task.tar"]
    assert (bench / "task.tar").read_bytes() == b"task"
    assert not place.draft("7").exists()


def test_the_bench_is_filled_and_then_given_to_the_user_that_qemu_runs_as(place: MachinePlace, kit: Kit) -> None:
    fresh_bench(place, kit)
    assert_whole(place)
    if owner := identity_of("nobody"):
        assert {path.stat().st_uid for path in (place.bench("7"), place.bench("7") / "task.tar")} == {owner.uid}


@pytest.mark.parametrize("what", ["bench", "task"])
def test_links_that_qemu_plants_while_the_bench_is_made_lead_nowhere(
    place: MachinePlace, kit: Kit, elsewhere: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    bench, copy = place.bench("7"), helper.link_or_copy

    def plant_and_copy(source: Path, target: Path) -> None:
        if what == "task" and not (bench / "task.tar").is_symlink():
            bench.mkdir(exist_ok=True)
            (bench / "task.tar").symlink_to(elsewhere / "task.tar")
        elif what == "bench" and not bench.is_symlink():
            if bench.exists():
                bench.rename(bench.with_name("away"))
            bench.symlink_to(elsewhere)
        copy(source, target)

    monkeypatch.setattr(helper, "link_or_copy", plant_and_copy)
    with pytest.raises(OSError):
        fresh_bench(place, kit)
    assert [path.read_text() for path in elsewhere.iterdir()] == ["precious"]
    monkeypatch.undo()
    fresh_bench(place, kit)
    assert_whole(place)


def test_what_lies_in_place_of_the_bench_goes(place: MachinePlace, kit: Kit, elsewhere: Path) -> None:
    place.bench("7").symlink_to(elsewhere)
    fresh_bench(place, kit)
    assert_whole(place)
    assert (elsewhere / "task.tar").read_text() == "precious"


def test_a_bench_that_a_crash_left_half_filled_is_begun_anew(place: MachinePlace, kit: Kit) -> None:
    place.draft("7").mkdir()
    (place.draft("7") / "half").touch()
    fresh_bench(place, kit)
    assert_whole(place)


def test_a_bench_that_a_crash_left_half_filled_is_discarded(place: MachinePlace, kit: Kit) -> None:
    place.draft("7").mkdir()
    assert place.captures() == ["7"]
    asyncio.run(QemuCompute(kit.folder, kit.folder).discard(ServerId("1"), JobId("7")))
    assert place.captures() == []
