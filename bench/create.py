"""Creating an image server, beside the same guest started by bare QEMU, and beside Packer's qemu builder."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

from bench import guests
from bench.measure import Comparison, Finding, Missing, Reading, Target, alternate, of
from bench.plan import Plan
from bench.services import scratch
from contract.service_process import Service

ACCOUNT, PASSWORD = "builder", "bench-only"
WHAT = "Create a server of the tiny guest, POST to ACTIVE"
PACKER = "Packer's qemu builder until it has logged in"


def findings(plan: Plan) -> Iterator[Finding]:
    kit, numbers, packer = guests.kit(), count(), guests.packer()
    with ExitStack() as stack:
        folder = stack.enter_context(scratch())
        folder.chmod(0o755)
        service = stack.enter_context(guests.on_qemu(folder, kit))
        image = guests.upload(service, kit.tiny)
        first = guests.create(service, image)  # tries out the accelerator
        _delete(service, service.succeeded(first))
        accelerator = guests.detail(service, first, "boot machine")["accelerator"]

        def bare() -> Reading:
            began = time.monotonic()
            with guests.bare(folder / f"bare-{next(numbers)}", kit.tiny, accelerator):
                return {"s": time.monotonic() - began}

        sides = {"ours": lambda: _create(service, image), "bare": bare}
        if packer:
            base = guests.with_account(kit.tiny, folder / "account", accelerator, ACCOUNT, PASSWORD)
            sides["packer"] = lambda: _packer(packer, folder / f"packer-{next(numbers)}", base, accelerator)
        found = alternate(plan.rounds, sides)
    beside = "the same guest by bare qemu-system until its agent answers"
    yield Comparison(WHAT, beside, "s", of(found["ours"], "s"), of(found["bare"], "s"), Target("≤", 1.15))
    if packer:
        yield Comparison(WHAT, PACKER, "s", of(found["ours"], "s"), of(found["packer"], "s"), Target("≤", 1))
    else:
        yield Missing(WHAT, PACKER, "Packer is not installed")


def _create(service: Service, image: str) -> Reading:
    began = time.monotonic()
    made = service.succeeded(guests.create(service, image))
    took = time.monotonic() - began
    _delete(service, made)  # or it would take part in the next rounds
    return {"s": took}


def _delete(service: Service, made: dict[str, Any]) -> None:
    service.succeeded(service.delete(made["sub_jobs"][0]["job_resource_info"]["resource_id"]))


def _packer(program: Path, folder: Path, base: Path, accelerator: str) -> Reading:
    """Have Packer boot the guest and log in; it then ends, having nothing to install."""
    folder.mkdir()
    builder = {
        "type": "qemu", "iso_url": str(base), "iso_checksum": "none", "disk_image": True, "skip_resize_disk": True,
        "format": "qcow2", "output_directory": "out", "headless": True, "accelerator": accelerator,
        "machine_type": "q35", "memory": str(guests.MEMORY_MIB), "cpus": 1, "boot_wait": "0s",
        "net_device": "virtio-net", "disk_interface": "virtio", "vnc_bind_address": "127.0.0.1",
        "qemuargs": [["-cpu", "max" if accelerator == "tcg" else "host"]],
        "communicator": "ssh", "ssh_username": ACCOUNT, "ssh_password": PASSWORD, "ssh_timeout": "5m",
    }  # fmt: skip
    (folder / "template.json").write_text(json.dumps({"builders": [builder]}))
    began, told = time.monotonic(), []
    process = subprocess.Popen(
        [program, "build", "-color=false", "template.json"],
        cwd=folder, env=guests.environment(folder), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        for line in process.stdout:
            told.append(line)
            if "Connected to SSH" in line:
                return {"s": time.monotonic() - began}
        raise RuntimeError("".join(told[-20:]))
    finally:
        process.terminate()  # it ends its guest
        process.communicate()
