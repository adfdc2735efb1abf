"""Real guests: a service on QEMU, and the same guest without Darkroom; both on the accelerator that works here."""

import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.services import QUIET, running, token_of
from contract.service_process import Service
from darkroom.domain.ids import new_uuid
from darkroom.drivers.qemu import command, layout
from darkroom.drivers.qemu.command import MachineOrder
from darkroom.guests import Kit, build_kit
from darkroom.settings import Settings
from integration.guest_harness import Agent

_RSA_KEY = "/etc/dropbear/dropbear_rsa_host_key"
FLAVOUR, MEMORY_MIB = "darkroom.tiny", 256


def kit() -> Kit:
    """Return the helper guest and the tiny image, built the first time."""
    return build_kit(Settings().kit)


@contextmanager
def on_qemu(folder: Path, kit: Kit) -> Iterator[Service]:
    """Run a service on QEMU; its machines are removed in the end."""
    settings = {
        **QUIET,
        "DARKROOM_DRIVER": "qemu",
        "DARKROOM_KIT": str(kit.tiny.parent),
        "DARKROOM_POLL_INTERVAL": "0.1",
    }
    service = Service(folder / "data", settings={**settings, "DARKROOM_POLL_INTERVAL": "0.1"})
    with running(service):
        try:
            yield service
        finally:
            left = [server["id"] for server in service.get("image-servers", limit=100)["items"]]
            if left:
                service.ended(service.delete(*left))


def upload(service: Service, disk: Path) -> str:
    """Import a disk; return the image's id."""
    made = service.ask("POST", "/v2/images", {"name": "base", "__imagetype": "private"})
    assert made.status_code == 201, made.text
    image_id = str(made.json()["id"])
    headers = {"X-Auth-Token": token_of(service), "Content-Type": "application/octet-stream"}
    with disk.open("rb") as content:
        sent = service.http("PUT", f"/v2/images/{image_id}/file", content=content, headers=headers)
    assert sent.status_code == 204, sent.text
    return image_id


def create(service: Service, image: str, *, gib: int = 10) -> str:
    """Order a server of the tiny flavour; return the job's id."""
    order = {
        "product_id": FLAVOUR,
        "root_volume": {"type": "SAS", "size": gib},
        "name": f"bench-{secrets.token_hex(3)}",
    }
    return service.accept("POST", "image-servers", service.order(image, **order))


def detail(service: Service, job: str, step: str) -> dict[str, Any]:
    """Return what a step of a job had to say of itself."""
    steps = service.get(f"image-server-jobs/{job}/timeline")["steps"]
    found: dict[str, Any] = next(each["detail"] for each in steps if each["name"] == step)
    return found


@contextmanager
def bare(folder: Path, base: Path, accelerator: str) -> Iterator[Agent]:
    """Start the tiny guest by the command that Darkroom's driver uses, as ourselves; yield once its agent answers."""
    folder.mkdir()
    overlay = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(base), layout.FIRST_DISK, "10G"]
    subprocess.run(overlay, check=True, cwd=folder)
    port = 20000 + secrets.randbelow(20000)
    order = MachineOrder(
        key=folder.name, uuid=new_uuid(), cpus=1, memory_mib=MEMORY_MIB, disk=layout.FIRST_DISK, ssh_port=port,
        accelerator=accelerator,
    )  # fmt: skip
    process = subprocess.Popen(command.machine(order), cwd=folder, stdin=subprocess.DEVNULL)
    try:
        agent = _agent(folder / layout.AGENT_SOCKET, process)
        try:
            agent.greet()
            yield agent
        finally:
            agent.close()
    finally:
        process.kill()
        process.wait()


def _agent(path: Path, process: subprocess.Popen[bytes]) -> Agent:
    while True:
        try:
            return Agent(path)
        except (FileNotFoundError, ConnectionRefusedError):  # QEMU does not listen yet
            assert process.poll() is None, "QEMU ended at once"
            time.sleep(0.01)


def with_account(base: Path, folder: Path, accelerator: str, name: str, password: str) -> Path:
    """Return a copy of a disk in which an account may log in by its password, also to Packer, which wants RSA."""
    with bare(folder, base, accelerator) as agent:
        agent.sh(f"useradd -m {name} && echo {name}:{password} | chpasswd")
        agent.sh(f"dropbearkey -t rsa -f {_RSA_KEY} && sed -i 's#/usr/sbin/dropbear .*#& -r {_RSA_KEY}#' /etc/inittab")
        agent.sh("sync")
    made = folder / "with-account.qcow2"
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", str(folder / layout.FIRST_DISK), str(made)], check=True)
    return made


def packer() -> Path | None:
    found = shutil.which("packer")
    return Path(found) if found else None


def environment(folder: Path) -> dict[str, str]:
    """Return an environment in which Packer asks nobody for news and keeps its files in a folder."""
    return {**os.environ, "CHECKPOINT_DISABLE": "1", "PACKER_CACHE_DIR": str(folder), "HOME": str(folder)}
