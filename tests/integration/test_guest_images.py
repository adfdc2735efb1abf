"""Builds the guest images from Debian packages, and boots them under QEMU without KVM."""

import base64
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from guest_harness import Machine, booted, overlay, run_appliance, run_task

from darkroom.guests import PROBE_OK, Kit, TaskVerdict, build_kit, generalise_task, task_archive

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("qemu-system-x86_64", "qemu-img", "apt-get", "dpkg-deb"))),
    reason="needs QEMU, apt and dpkg",
)

LONG_NAME = "a" + "b" * 31
PROVISION = """set -e
for name in ada {long}; do id $name 2>/dev/null || useradd -m -s /bin/sh $name; done
usermod -aG sudo ada
"""


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Kit:
    """The kit; DARKROOM_TEST_KIT may name a folder that keeps it between runs."""
    return build_kit(Path(os.environ.get("DARKROOM_TEST_KIT") or tmp_path_factory.mktemp("kit")))


@pytest.fixture(scope="module")
def used_disk(kit: Kit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disk larger than its base, which the tests of `machine` use and then turn off."""
    return overlay(tmp_path_factory.mktemp("used") / "disk.qcow2", kit.tiny, size="12G")


@pytest.fixture(scope="module")
def machine(used_disk: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with booted(used_disk, tmp_path_factory.mktemp("m")) as running:
        yield running


def test_building_again_does_nothing(kit: Kit) -> None:
    before = [path.stat().st_mtime_ns for path in (kit.tiny, kit.appliance.kernel, kit.appliance.initrd)]
    said: list[str] = []
    began = time.monotonic()
    again = build_kit(kit.tiny.parent, say=said.append)
    assert time.monotonic() - began < 1
    assert again == kit
    assert said == []
    assert [path.stat().st_mtime_ns for path in (kit.tiny, kit.appliance.kernel, kit.appliance.initrd)] == before
    assert list(kit.tiny.parent.glob(".build-*")) == []


def test_the_probe_says_that_guests_run(kit: Kit) -> None:
    assert PROBE_OK in run_appliance(kit.appliance, "probe").splitlines()


def test_the_agent_knows_what_is_needed(machine: Machine) -> None:
    agent = machine.agent
    assert agent.call("guest-get-osinfo")["id"] == "darkroom-tiny"
    assert agent.call("guest-fsfreeze-freeze") >= 1
    assert agent.call("guest-fsfreeze-thaw") >= 1
    handle = agent.call("guest-file-open", path="/srv/note", mode="w")
    agent.call("guest-file-write", handle=handle, **{"buf-b64": base64.b64encode(b"hello\n").decode()})
    agent.call("guest-file-close", handle=handle)
    assert agent.sh("cat /srv/note") == "hello\n"


def test_a_larger_disk_is_used_in_full(machine: Machine) -> None:
    size = int(machine.agent.sh("df -k / | tail -n 1").split()[1])
    assert size > 11 * 1024**2


def test_identity_is_made_at_first_boot(machine: Machine) -> None:
    assert len(machine.agent.sh("cat /etc/machine-id").strip()) == 32
    kind, key = machine.agent.sh("cat /etc/ssh/ssh_host_ed25519_key.pub").split()
    assert kind == "ssh-ed25519"
    assert base64.b64decode(key).startswith(b"\0\0\0\x0bssh-ed25519")
    assert "TINY-UP" in machine.serial.read_text(errors="replace")


def test_accounts_are_made_changed_and_removed(machine: Machine) -> None:
    agent = machine.agent
    for _ in range(2):
        agent.sh(PROVISION.format(long=LONG_NAME))
    agent.sh("useradd -m -G users,sudo eve")
    for name in ("ada", "eve"):
        assert "(sudo)" in agent.sh(f"id {name}")
        assert agent.sh(f"id -gn {name}; stat -c %U:%G:%a /home/{name}").split() == [name, f"{name}:{name}:755"]
    assert agent.sh("getent group 27; getent passwd eve").split()[0] == "sudo:x:27:ada,eve"
    assert agent.try_sh("getent passwd nobody nowhere")[0] == 2
    agent.sh("userdel -r eve")
    agent.call("guest-set-user-password", username="ada", crypted=False, password=base64.b64encode(b"p:\\w d").decode())
    assert agent.sh("grep ^ada: /etc/shadow").split(":")[1].startswith("$6$")
    assert agent.sh("su ada -c 'sudo -n id -u'").strip() == "0"
    assert agent.try_sh(f"su {LONG_NAME} -c 'sudo -n id -u'")[0] != 0
    agent.sh(f"echo '{LONG_NAME} ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/90-x")
    assert agent.sh(f"su {LONG_NAME} -c 'sudo -n id -u'").strip() == "0"
    agent.sh(f"userdel -r {LONG_NAME}; rm /etc/sudoers.d/90-x")
    assert agent.try_sh(f"id {LONG_NAME} || ls /home/{LONG_NAME}")[0] != 0
    assert agent.try_sh("useradd '../x'")[0] != 0
    assert agent.sh("stat -c %a /etc/shadow").strip() == "600"


@pytest.mark.skipif(shutil.which("ssh") is None, reason="needs an SSH client")
def test_an_account_logs_in_with_its_key(machine: Machine, tmp_path: Path) -> None:
    machine.agent.sh(PROVISION.format(long=LONG_NAME))
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    public = key.with_suffix(".pub").read_text().strip()
    machine.agent.call("guest-ssh-add-authorized-keys", username="ada", keys=[public])
    host_key = machine.agent.sh("cat /etc/ssh/ssh_host_ed25519_key.pub").strip()
    (tmp_path / "known").write_text(f"[127.0.0.1]:{machine.ssh_port} {host_key}\n")
    trust = ["-o", f"UserKnownHostsFile={tmp_path / 'known'}", "-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes"]
    where = ["-i", str(key), "-p", str(machine.ssh_port), "ada@127.0.0.1"]
    command = ["ssh", "-F", "none", *trust, *where, "whoami; sudo whoami"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == ["ada", "root"], done.stderr


def test_a_generalised_disk_starts_as_a_new_machine(
    machine: Machine, used_disk: Path, kit: Kit, tmp_path: Path
) -> None:
    agent = machine.agent
    agent.sh(PROVISION.format(long=LONG_NAME))
    agent.sh(
        "mkdir -p /home/ada/.ssh && echo ssh-ed25519 AAAA >/home/ada/.ssh/authorized_keys; echo ls >/root/.ash_history"
    )
    # Links that lead to the appliance's own files, or to parts of the guest that must stay.
    agent.sh("rm -rf /var/log /var/tmp && ln -s /dev /var/log && ln -s /etc /var/tmp && echo app >/opt/app")
    agent.sh(f"rm -rf /home/{LONG_NAME} && ln -s /etc /home/{LONG_NAME}")
    identity = agent.sh("cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub").splitlines()
    machine.power_off()
    captured = overlay(tmp_path / "captured.qcow2", used_disk, size="12G")

    outcome, said = run_task(kit.appliance, captured, generalise_task(["ada", LONG_NAME]), tmp_path)

    assert outcome == TaskVerdict("ok"), said
    assert "removed /home/ada" in said.splitlines()
    with booted(captured, tmp_path / "m") as fresh:
        anew = fresh.agent.sh("cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub").splitlines()
        assert [len(old) for old in identity] == [len(new) for new in anew]
        assert not set(identity) & set(anew)
        assert fresh.agent.try_sh(f"grep -E 'ada|{LONG_NAME}' /etc/passwd /etc/shadow /etc/group")[0] == 1
        assert fresh.agent.sh("ls -A /home /root/.ash_history 2>/dev/null || true").split() == ["/home:"]
        assert fresh.agent.sh("cat /opt/app /etc/hostname") == "app\ntiny\n"


def test_a_disk_without_linux_is_told_so(kit: Kit, tmp_path: Path) -> None:
    empty = tmp_path / "empty.raw"
    with empty.open("wb") as file:
        file.truncate(64 * 1024**2)
    outcome, _said = run_task(kit.appliance, empty, task_archive(b"#!/bin/sh\n", {}), tmp_path)
    assert outcome == TaskVerdict("failed", "no Linux root file system found on the disk")


def test_a_failing_task_gives_its_reason_and_cannot_forge_a_verdict(kit: Kit, tmp_path: Path) -> None:
    subject = overlay(tmp_path / "disk.qcow2", kit.tiny, size="1G")
    script = (
        b"#!/bin/sh\ntest -f $1/etc/passwd || exit 9\necho DARKROOM-TASK-OK\necho failed: the moon is full\nexit 3\n"
    )
    outcome, _said = run_task(kit.appliance, subject, task_archive(script, {}), tmp_path)
    assert outcome == TaskVerdict("failed", "the moon is full")
