"""Processes: started, found again, ended, and killed with their callers. `sh` stands for QEMU."""

import asyncio
import errno
import os
import threading
import time
import uuid
from pathlib import Path

import pytest

from darkroom.drivers.qemu import process, programs
from darkroom.drivers.qemu.programs import ProgramFailed
from darkroom.errors import QemuMissing


def spawn(folder: Path, mark: str, script: str = "read nothing <fifo") -> int:
    if not (folder / "fifo").exists():
        os.mkfifo(folder / "fifo")
    return process.spawn(["sh", "-c", script, "sh", "-uuid", mark, ""], folder, None, []).pid


def test_a_process_is_found_by_its_folder_and_by_its_uuid_until_it_has_ended(tmp_path: Path) -> None:
    mark = str(uuid.uuid4())
    assert not process.lives(tmp_path)
    pid = spawn(tmp_path, mark)
    assert process.lives(tmp_path)
    assert list(process.bearers(mark)) == [pid]
    asyncio.run(process.end(mark))
    assert not process.lives(tmp_path)
    assert not Path(f"/proc/{pid}").exists()


def test_a_process_that_will_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_POLITE", 0.2)
    mark = str(uuid.uuid4())
    spawn(tmp_path, mark, "trap '' TERM; read nothing <fifo")
    time.sleep(0.1)
    assert list(process.bearers(mark))
    asyncio.run(process.end(mark))
    assert not list(process.bearers(mark))
    assert not process.lives(tmp_path)


def test_a_zombie_does_not_count_as_alive_and_is_reaped(tmp_path: Path) -> None:
    pid = spawn(tmp_path, "x", "exit 3")
    deadline = time.monotonic() + 5
    while process.lives(tmp_path):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.05)
    process.reap()
    assert not Path(f"/proc/{pid}").exists()


def test_two_processes_cannot_live_in_one_folder(tmp_path: Path) -> None:
    mark = str(uuid.uuid4())
    spawn(tmp_path, mark)
    try:
        with pytest.raises(OSError):
            spawn(tmp_path, mark)
    finally:
        asyncio.run(process.end(mark))
    assert not process.lives(tmp_path)


def plant(path: Path, what: str) -> None:
    match what:
        case "pipe":
            os.mkfifo(path)
        case "link":
            path.symlink_to("/etc/hostname")
        case "folder":
            path.mkdir()


@pytest.mark.parametrize("what", ["pipe", "link", "folder"])
def test_nothing_lives_by_what_is_no_file(tmp_path: Path, what: str) -> None:
    plant(tmp_path / "alive", what)
    told: list[bool] = []
    looking = threading.Thread(target=lambda: told.append(process.lives(tmp_path)), daemon=True)
    looking.start()
    looking.join(10)
    assert told == [False]


def test_that_too_many_files_are_open_tells_nothing_of_a_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(OSError, match="Too many"):
        process.lives(tmp_path)


@pytest.mark.parametrize("what", ["pipe", "link", "second name"])
def test_the_log_is_a_new_file_whatever_had_its_name(tmp_path: Path, what: str) -> None:
    (tmp_path / "image").write_text("disk")
    plant(tmp_path / "qemu.log", what)
    if what == "second name":
        (tmp_path / "qemu.log").hardlink_to(tmp_path / "image")
    process.spawn(["sh", "-c", "echo one >&2"], tmp_path, None, []).wait()
    assert (process.complaint(tmp_path), (tmp_path / "image").read_text()) == ("one", "disk")


def test_a_process_that_cannot_be_started_does_not_count_as_alive(tmp_path: Path) -> None:
    (tmp_path / "qemu.log").mkdir()
    with pytest.raises(OSError):
        spawn(tmp_path, "x")
    assert not process.lives(tmp_path)


def test_no_process_is_started_where_a_link_leads(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "bench").symlink_to("elsewhere")
    with pytest.raises(NotADirectoryError):
        process.spawn(["true"], tmp_path / "bench", None, [])
    assert not list((tmp_path / "elsewhere").iterdir())


def test_what_a_process_complained_of_is_told_in_one_line(tmp_path: Path) -> None:
    process.spawn(["sh", "-c", "echo one >&2; echo two >&2"], tmp_path, None, []).wait()
    assert process.complaint(tmp_path) == "one / two"


def run(script: str, limit: float = 10) -> bytes:
    return asyncio.run(programs.run(["sh", "-c", script], folder=Path("/"), owner=None, limit=limit))


def test_a_program_gives_its_output_or_its_complaint() -> None:
    assert run("echo yes") == b"yes\n"
    with pytest.raises(ProgramFailed, match="no luck"):
        run("echo no luck >&2; exit 1")


def test_a_program_that_takes_too_long_is_killed() -> None:
    began = time.monotonic()
    with pytest.raises(ProgramFailed, match="longer"):
        run("exec sleep 30", limit=0.2)
    assert time.monotonic() - began < 5


def test_a_program_is_killed_with_the_task_that_waits_for_it(tmp_path: Path) -> None:
    async def scene() -> None:
        command = ["sh", "-c", "echo $$ >pid; exec sleep 30"]
        task = asyncio.create_task(programs.run(command, folder=tmp_path, owner=None, limit=60))
        while not (tmp_path / "pid").exists():
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scene())
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()


def test_output_is_heard_as_it_comes(tmp_path: Path) -> None:
    heard: list[bytes] = []
    command = ["sh", "-c", "echo a; sleep 0.1; echo b"]
    asyncio.run(programs.run(command, folder=tmp_path, owner=None, limit=9, on_output=heard.append))
    assert heard == [b"a\n", b"b\n"]


def test_a_missing_program_is_told_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(QemuMissing, match="qemu-utils"):
        raise programs.missing("qemu-img")
    with pytest.raises(QemuMissing):
        asyncio.run(programs.run(["no-such-program"], folder=Path("/"), owner=None, limit=1))
