"""QEMU's command lines, as pure functions. All paths are relative to the folder that QEMU works in."""

from dataclasses import dataclass
from typing import Final

from darkroom.drivers.qemu import layout

QEMU: Final = "qemu-system-x86_64"
#: The virtio port by which files go into a guest.
FILES_PORT: Final = "org.darkroom.files.0"

_SANDBOX: Final = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"


@dataclass(frozen=True)
class MachineOrder:
    """What a machine is started with."""

    key: str
    uuid: str
    cpus: int
    memory_mib: int
    disk: str
    ssh_port: int
    accelerator: str


@dataclass(frozen=True)
class HelperOrder:
    """What the helper guest is started with; without a disk it can only be probed."""

    name: str
    uuid: str
    accelerator: str
    kernel: str
    initrd: str
    command_line: str
    disk: str = ""
    task: str = ""
    memory_mib: int = 256


def node_of(disk: str) -> str:
    """Return the name that a layer of the disk has in QEMU's block graph."""
    return disk.removesuffix(".qcow2")


def overlay_node(disk: str) -> dict[str, object]:
    """Return the arguments of `blockdev-add` that open a fresh layer, its backing file yet to be joined to it."""
    return {
        "driver": "qcow2",
        "node-name": node_of(disk),
        "backing": None,
        "discard": "unmap",
        "detect-zeroes": "unmap",
        "file": {"driver": "file", "filename": disk, "discard": "unmap"},
    }


def machine(order: MachineOrder) -> list[str]:
    """Return the command that runs an image server's machine."""
    return [
        *_common(f"darkroom-{order.key}", order.uuid, order.accelerator, _code_cache(order.memory_mib)),
        *("-smp", str(order.cpus), "-m", f"{order.memory_mib}M"),
        # As many viewers as come, even if one of them asks to be the only one.
        *("-vga", "std", "-vnc", f"unix:{layout.VNC_SOCKET},share=ignore"),
        *("-qmp", f"unix:{layout.QMP_SOCKET},server=on,wait=off"),
        *_disk(order.disk),
        *_guest_agent(),
        *_serial(),
        *("-object", "rng-random,id=entropy,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=entropy"),
        *("-netdev", f"user,id=net,hostfwd=tcp:127.0.0.1:{order.ssh_port}-:22"),
        # Without its ROM the network card is not booted from, which saves seconds.
        *("-device", f"virtio-net-pci,netdev=net,romfile=,mac={mac_of(order.uuid)}"),
    ]


def helper(order: HelperOrder) -> list[str]:
    """Return the command that runs the helper guest: no network, no monitor, its console in serial.log."""
    command = [
        *_common(order.name, order.uuid, order.accelerator, 64),
        *("-smp", "1", "-m", f"{order.memory_mib}M", "-vga", "none", "-no-reboot"),
        *("-serial", f"file:{layout.SERIAL_LOG}"),
        *("-kernel", order.kernel, "-initrd", order.initrd, "-append", order.command_line),
    ]
    if order.disk:
        command += _throw_away_disk(order.disk)
        command += ["-blockdev", f"driver=raw,node-name=task,read-only=on,file.driver=file,file.filename={order.task}"]
        command += ["-device", "virtio-blk-pci,drive=task,id=vd1"]
    return command


def mac_of(uuid: str) -> str:
    """Return a network address of QEMU's own range (52:54:00), the same for a machine whenever it starts."""
    return "52:54:00:" + ":".join(uuid[at : at + 2] for at in (0, 2, 4))


def _common(name: str, uuid: str, accelerator: str, code_cache: int) -> list[str]:
    tuned = f",thread=multi,tb-size={code_cache}" if accelerator == "tcg" else ""
    return [
        *(QEMU, "-name", name, "-uuid", uuid, "-nodefaults", "-no-user-config", "-sandbox", _SANDBOX),
        *("-machine", "q35", "-accel", f"{accelerator}{tuned}", "-cpu", "max" if accelerator == "tcg" else "host"),
        *("-display", "none"),
    ]


def _code_cache(memory_mib: int) -> int:
    """MiB of translated code: QEMU's own choice, an eighth of the host's memory or 1 GiB, is too much per machine."""
    return 64 if memory_mib <= 512 else 128


def _disk(disk: str) -> list[str]:
    node = node_of(disk)
    return [
        "-blockdev",
        f"driver=qcow2,node-name={node},discard=unmap,detect-zeroes=unmap,"
        f"file.driver=file,file.filename={disk},file.discard=unmap",
        *("-device", f"virtio-blk-pci,drive={node},id=vd0,bootindex=0"),
    ]


def _throw_away_disk(disk: str) -> list[str]:
    return [
        "-blockdev",
        # Nobody needs this layer after a crash, so flushing it to the platter would only cost time.
        f"driver=qcow2,node-name=subject,discard=unmap,detect-zeroes=unmap,cache.no-flush=on,"
        f"file.driver=file,file.filename={disk},file.discard=unmap,file.cache.no-flush=on",
        *("-device", "virtio-blk-pci,drive=subject,id=vd0"),
    ]


def _guest_agent() -> list[str]:
    return [
        *("-device", "virtio-serial-pci,id=ports"),
        *("-chardev", f"socket,id=agent,path={layout.AGENT_SOCKET},server=on,wait=off"),
        *("-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"),
        # Files go in by a line of their own: the agent takes bytes in JSON, several times slower.
        *("-chardev", f"socket,id=files,path={layout.FILES_SOCKET},server=on,wait=off"),
        *("-device", f"virtserialport,chardev=files,name={FILES_PORT}"),
    ]


def _serial() -> list[str]:
    place = f"path={layout.SERIAL_SOCKET},server=on,wait=off,logfile={layout.SERIAL_LOG},logappend=on"
    return ["-chardev", f"socket,id=console,{place}", "-serial", "chardev:console"]
