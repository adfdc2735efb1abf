"""The pure parts of the guest builder, and the generalise script on a folder that plays the guest."""

import io
import os
import re
import stat
import struct
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from darkroom.guests import TaskVerdict, generalise_task, kernel_command_line, task_archive, verdict
from darkroom.guests.cpio import Entry, archive, tree
from darkroom.guests.disk import START, partition_table
from darkroom.guests.elf import needed
from darkroom.guests.locks import settle, workshop
from darkroom.guests.packages import libraries
from darkroom.guests.stamps import is_current, stamp
from darkroom.guests.trees import PackageTree, own_file


def test_an_elf_file_tells_the_libraries_it_needs() -> None:
    assert any(re.match(r"lib(c|python)[.\d]", name) for name in needed(Path(sys.executable).resolve().read_bytes()))


@pytest.mark.parametrize("data", [b"", b"#!/bin/sh\n", b"\x7fELF\x01\x01" + bytes(60)])
def test_what_is_no_64_bit_elf_file_needs_nothing(data: bytes) -> None:
    assert needed(data) == []


def test_a_cpio_archive_holds_files_links_and_devices(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/tool").write_bytes(b"abc")
    (tmp_path / "bin/tool").chmod(0o755)
    (tmp_path / "sh").symlink_to("bin/tool")

    data = archive(tree(tmp_path, {"dev": (5, 1)}))

    assert len(data) % 4 == 0
    assert data.startswith(b"070701")
    assert b"bin/tool\0" in data
    assert b"abc\0" in data
    assert b"TRAILER!!!\0" in data
    device = data[data.index(b"dev\0") - 110 :]
    assert int(device[14:22], 16) == stat.S_IFCHR | 0o600
    assert (int(device[78:86], 16), int(device[86:94], 16)) == (5, 1)


def test_equal_entries_make_equal_archives() -> None:
    entry = Entry("x", stat.S_IFREG | 0o644, b"12345")
    assert archive(iter([entry])) == archive(iter([entry]))


def test_the_partition_reaches_from_the_first_megabyte_to_the_end() -> None:
    table = partition_table(1_000_000, boot_code=b"\xeb" * 512)
    assert len(table) == 512
    assert table[:440] == b"\xeb" * 440
    assert table[446] == 0x80
    assert table[450] == 0x83
    assert struct.unpack_from("<II", table, 454) == (START, 1_000_000 - START)
    assert table[510:] == b"\x55\xaa"


@pytest.mark.parametrize("sectors", [0, START, 2**32])
def test_an_impossible_disk_size_is_refused(sectors: int) -> None:
    with pytest.raises(ValueError, match="cannot hold"):
        partition_table(sectors)


def test_only_libraries_are_followed_and_each_is_named_once() -> None:
    listing = """tool
  PreDepends: init-things
  Depends: libone
 |Depends: liblocal
  Depends: <virtual>
libone
  Depends: zlib1g
  Depends: libtwo
libtwo
  Depends: libone
init-things
  Depends: libperl
"""
    assert libraries(listing, ["tool"]) == ["tool", "libone", "liblocal", "zlib1g", "libtwo"]


def test_modules_come_in_an_order_that_loads(tmp_path: Path) -> None:
    folder = tmp_path / "lib/modules/6.1/kernel"
    folder.mkdir(parents=True)
    wishes = {"net-card": "virtio,fail_over", "virtio": "", "fail_over": "virtio"}
    for name, depends in wishes.items():
        (folder / f"{name}.ko").write_bytes(b"\x7fELF\0license=GPL\0depends=" + depends.encode() + b"\0name=x\0")
    modules = PackageTree(tmp_path).modules(["net_card", "built_in"])
    assert [module.name for module in modules] == ["virtio.ko", "fail_over.ko", "net-card.ko"]


def test_what_was_built_is_current_until_its_inputs_change(tmp_path: Path) -> None:
    made = tmp_path / "image"
    assert not is_current(made, "a")
    made.touch()
    stamp(made, "a")
    assert is_current(made, "a")
    assert not is_current(made, "b")


def test_a_task_archive_has_an_executable_run_and_whole_sectors() -> None:
    data = task_archive(b"#!/bin/sh\n", {"accounts": b"ada\n"})
    assert len(data) % 512 == 0
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert {entry.name: entry.mode for entry in tar} == {"accounts": 0o644, "run": 0o755}


def test_the_kernel_command_line_names_the_task() -> None:
    assert "darkroom.task=probe" in kernel_command_line("probe").split()
    assert "console=ttyS0,115200" in kernel_command_line("run").split()


@pytest.mark.parametrize(
    ("serial", "expected"),
    [
        ("", TaskVerdict("none")),
        ("removed /etc/x\r\n", TaskVerdict("none")),
        ("DARKROOM-TASK-O", TaskVerdict("none")),
        ("DARKROOM-TASK-OK", TaskVerdict("none")),
        (" DARKROOM-TASK-OK\r\n", TaskVerdict("none")),
        ("removed x\r\nDARKROOM-TASK-OK\r\n[ 2.1] reboot: Power down\r\n", TaskVerdict("ok")),
        ("DARKROOM-TASK-FAILED no Linux root\r\n", TaskVerdict("failed", "no Linux root")),
        ("DARKROOM-TASK-FAILED\n", TaskVerdict("failed", "the task gave no reason")),
    ],
)
def test_the_verdict_is_a_whole_line_of_its_own(serial: str, expected: TaskVerdict) -> None:
    assert verdict(serial) == expected


@pytest.mark.parametrize("name", ["", "../x", "a b", "x" * 33, "-r", "a/b", "a\nb", "$x", "*"])
def test_a_name_that_no_account_has_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not a name"):
        generalise_task([name])


class Guest:
    """A folder that plays a guest's root file system."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "sysroot"
        self.task = folder / "task"
        self.task.mkdir(parents=True)
        (self.task / "run").write_bytes(own_file("task", "generalise.sh"))
        accounts = "root:x:0:0::/root:/bin/sh\na.b:x:1000:1000::/home/a.b:/bin/sh\naxb:x:1001:1001::/home/axb:/bin/sh\n"
        self.write("etc/passwd", accounts)
        self.write("etc/shadow", "root:*:1::::::\na.b:secret:1::::::\naxb:!:1::::::\n")
        self.write("etc/group", "root:x:0:\nsudo:x:27:a.b,axb\na.b:x:1000:\naxb:x:1001:a.b\n")
        self.write("home/a.b/.ssh/authorized_keys", "ssh-ed25519 AAAA\n")
        self.write("home/axb/notes", "kept\n")

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def read(self, name: str) -> str:
        return (self.root / name).read_text()

    def generalise(self, *accounts: str) -> subprocess.CompletedProcess[str]:
        (self.task / "accounts").write_text("".join(f"{name}\n" for name in accounts))
        command = ["sh", str(self.task / "run"), str(self.root)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def guest(tmp_path: Path) -> Guest:
    return Guest(tmp_path)


def test_the_listed_account_goes_and_its_lookalike_stays(guest: Guest) -> None:
    guest.write("etc/sudoers.d/90-a.b", "a.b ALL=(ALL) NOPASSWD: ALL\n")
    guest.write("etc/shadow-", "a.b:old\n")

    done = guest.generalise("a.b")

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert guest.read("etc/passwd").splitlines()[1:] == ["axb:x:1001:1001::/home/axb:/bin/sh"]
    assert guest.read("etc/group") == "root:x:0:\nsudo:x:27:axb\naxb:x:1001:\n"
    assert "secret" not in guest.read("etc/shadow")
    assert not (guest.root / "home/a.b").exists()
    assert not (guest.root / "etc/sudoers.d/90-a.b").exists()
    assert not (guest.root / "etc/shadow-").exists()
    assert guest.read("home/axb/notes") == "kept\n"
    assert "removed /home/a.b" in done.stdout.splitlines()


def test_identity_state_and_traces_go_and_configuration_stays(guest: Guest) -> None:
    gone = [
        "etc/ssh/ssh_host_rsa_key",
        "etc/dropbear/dropbear_ed25519_host_key",
        "var/lib/dbus/machine-id",
        "var/lib/systemd/random-seed",
        "var/lib/cloud/instances/i-1/user-data.txt",
        "var/lib/dhcp/dhclient.eth0.leases",
        "etc/udev/rules.d/70-persistent-net.rules",
        "root/.ssh/authorized_keys",
        "home/axb/.bash_history",
        "var/log/syslog.1",
        "var/log/journal/0123/system.journal",
        "tmp/.hidden",
        "var/tmp/x/y",
    ]
    stays = [
        "etc/ssh/sshd_config",
        "etc/hostname",
        "var/lib/cloud/seed/nocloud/user-data",
        "etc/netplan/50-cloud-init.yaml",
    ]
    emptied = ["etc/machine-id", "var/log/nginx/access.log"]
    for name in [*gone, *stays, *emptied]:
        guest.write(name, "content\n")

    done = guest.generalise()

    assert done.returncode == 0, done.stdout + done.stderr
    assert [name for name in gone if (guest.root / name).exists()] == []
    assert [name for name in stays if guest.read(name) != "content\n"] == []
    assert [name for name in emptied if guest.read(name) != ""] == []
    assert guest.generalise().stdout == ""


def test_links_never_lead_out_of_the_guest(guest: Guest, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    precious = [outside / name for name in ("log", "tmp/x", "ssh_host_key", ".bash_history", "authorized_keys")]
    for path in precious:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("precious\n")
    for name in ("var/log", "var/tmp", "etc/ssh", "var/lib/cloud", "root/.ssh", "tmp"):
        (guest.root / name).parent.mkdir(parents=True, exist_ok=True)
        (guest.root / name).symlink_to(outside)
    (guest.root / "etc/machine-id").symlink_to("../../outside/log")
    (guest.root / "home/axb/.bash_history").symlink_to(outside / ".bash_history")
    (guest.root / "home/a.b").rename(guest.root / "home/elsewhere")
    (guest.root / "home/a.b").symlink_to(outside)

    done = guest.generalise("a.b")

    assert done.returncode == 0, done.stdout + done.stderr
    assert [path for path in precious if path.read_text() != "precious\n"] == []
    assert not (guest.root / "home/a.b").is_symlink()


def test_a_link_that_moves_a_folder_within_the_guest_is_followed(guest: Guest) -> None:
    guest.write("data/log/app.log", "line\n")
    guest.write("data/keep", "kept\n")
    (guest.root / "var").mkdir()
    (guest.root / "var/log").symlink_to("/data/log")
    (guest.root / "tmp").symlink_to("/")

    assert guest.generalise().returncode == 0
    assert guest.read("data/log/app.log") == ""
    assert guest.read("data/keep") == "kept\n"


def test_a_log_with_a_second_name_elsewhere_is_not_emptied(guest: Guest) -> None:
    (guest.root / "var/log").mkdir(parents=True)
    os.link(guest.root / "home/axb/notes", guest.root / "var/log/notes")
    assert guest.generalise().returncode == 0
    assert guest.read("home/axb/notes") == "kept\n"


@pytest.mark.parametrize("name", ["../x", "root", "a;b", "*", "-rf", "a/b", "."])
def test_the_script_too_refuses_a_hostile_name(guest: Guest, name: str) -> None:
    done = guest.generalise(name)
    assert done.returncode != 0
    assert done.stdout.startswith("failed: ")
    assert guest.read("home/axb/notes") == "kept\n"


@pytest.mark.parametrize("home", ["/etc", "/home/../etc", "/usr/lib", "/home/a.b/.."])
def test_a_home_that_is_part_of_the_system_fails_rather_than_goes(guest: Guest, home: str) -> None:
    guest.write("usr/lib/x", "x")
    guest.write("etc/passwd", f"root:x:0:0::/root:/bin/sh\na.b:x:1000:1000::{home}:/bin/sh\n")
    done = guest.generalise("a.b")
    assert done.returncode != 0
    assert "part of the system" in done.stdout
    assert (guest.root / "etc/group").exists()
    assert (guest.root / "usr/lib/x").exists()


def test_a_workshop_clears_away_what_a_killed_build_left(tmp_path: Path) -> None:
    (tmp_path / ".build-tiny-dead").mkdir()
    (tmp_path / ".build-other-alive").mkdir()
    with workshop(tmp_path, "tiny") as shop:
        (shop / "made").write_text("whole")
        settle(shop / "made", tmp_path / "made")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".build-other-alive", "made"]
