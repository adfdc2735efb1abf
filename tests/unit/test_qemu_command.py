"""QEMU's command lines."""

import pytest

from darkroom.drivers.qemu import command
from darkroom.drivers.qemu.command import HelperOrder, MachineOrder

UUID = "6d2f3c14-7d1d-59ab-9922-dd03052985a5"


def machine(accelerator: str = "tcg", memory_mib: int = 256) -> list[str]:
    return command.machine(
        MachineOrder(
            key="17",
            uuid=UUID,
            cpus=2,
            memory_mib=memory_mib,
            disk="disk-3.qcow2",
            ssh_port=40123,
            accelerator=accelerator,
        )
    )


def helper(disk: str = "") -> list[str]:
    return command.helper(
        HelperOrder(
            name="h", uuid=UUID, accelerator="tcg", kernel="k", initrd="i", command_line="a b", disk=disk, task="t.tar"
        )
    )


def value(words: list[str], option: str) -> str:
    return words[words.index(option) + 1]


def test_a_machine_writes_to_its_active_layer_and_boots_from_it() -> None:
    words = machine()
    assert "node-name=disk-3" in value(words, "-blockdev")
    assert "file.filename=disk-3.qcow2" in value(words, "-blockdev")
    assert any("drive=disk-3" in word and "bootindex=0" in word for word in words)


def test_a_machine_is_reached_on_the_loopback_address_alone() -> None:
    assert value(machine(), "-netdev") == "user,id=net,hostfwd=tcp:127.0.0.1:40123-:22"


def test_no_path_leads_out_of_the_machines_folder() -> None:
    ours = [word for word in machine() if "/" in word]
    assert ours == ["rng-random,id=entropy,filename=/dev/urandom"]


def test_qemu_is_confined() -> None:
    for words in (machine(), helper()):
        assert value(words, "-sandbox") == "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
        assert "-nodefaults" in words
        assert "-no-user-config" in words


@pytest.mark.parametrize(
    ("accelerator", "memory_mib", "wanted", "cpu"),
    [
        ("tcg", 256, "tcg,thread=multi,tb-size=64", "max"),
        ("tcg", 4096, "tcg,thread=multi,tb-size=128", "max"),
        ("kvm", 4096, "kvm", "host"),
    ],
)
def test_the_accelerator_decides_the_processor(accelerator: str, memory_mib: int, wanted: str, cpu: str) -> None:
    words = machine(accelerator, memory_mib)
    assert (value(words, "-accel"), value(words, "-cpu")) == (wanted, cpu)


def test_the_helper_has_no_network_and_sees_the_disk_before_its_task() -> None:
    words = helper(disk="overlay.qcow2")
    assert "-netdev" not in words
    assert not any("virtio-net" in word for word in words)
    disks = [word for word in words if word.startswith("virtio-blk-pci")]
    assert disks == ["virtio-blk-pci,drive=subject,id=vd0", "virtio-blk-pci,drive=task,id=vd1"]
    assert any("node-name=task,read-only=on" in word for word in words)


def test_a_probe_has_no_disk() -> None:
    assert "-blockdev" not in helper()


def test_machines_have_different_network_addresses() -> None:
    assert command.mac_of(UUID) == "52:54:00:6d:2f:3c"
