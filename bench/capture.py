"""Capturing a disk with 1 GiB of data, beside `qemu-img convert` of the same disk, and that with its `sha256sum`."""

import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from bench import guests
from bench.measure import Comparison, Figure, Finding, Reading, Target, alternate, of
from bench.plan import Plan
from bench.services import scratch
from contract.service_process import Service

MIB = 1 << 20
DATA_MIB, OFFSET_MIB = 1024, 512
WHAT = "Capture of a disk with 1 GiB of data, to a checksummed image"


def findings(plan: Plan) -> Iterator[Finding]:
    kit = guests.kit()
    with ExitStack() as stack:
        folder = stack.enter_context(scratch())
        folder.chmod(0o755)
        service = stack.enter_context(guests.on_qemu(folder, kit))
        image = guests.upload(service, _with_data(kit.tiny, folder))
        made = service.succeeded(guests.create(service, image))
        server = made["sub_jobs"][0]["job_resource_info"]["resource_id"]
        service.succeeded(service.build(server, "first", execute_sysprep=False))
        frozen = service.data / "machines" / server / "vm" / "disk-0.qcow2"
        copy = folder / "copy.qcow2"
        convert = ["qemu-img", "convert", "-f", "qcow2", "-O", "qcow2", str(frozen), str(copy)]
        found = alternate(
            plan.rounds,
            {
                "ours": lambda: _capture(service, server),
                "convert": lambda: _run(copy, convert),
                "both": lambda: _run(copy, convert, ["sha256sum", str(copy)]),
            },
        )
    ours = of(found["ours"], "s")
    yield Comparison(WHAT, "qemu-img convert of the same disk", "s", ours, of(found["convert"], "s"))
    beside = "qemu-img convert of the same disk, and sha256sum"
    yield Comparison(WHAT, beside, "s", ours, of(found["both"], "s"), Target("≤", 1.1))
    yield Figure(f"{WHAT}: the machine stands still", "s", of(found["ours"], "pause"), at_most=1)


def _with_data(tiny: Path, folder: Path) -> Path:
    """Return the tiny guest's disk with 1 GiB of random data behind its file system."""
    raw, made = folder / "data.raw", folder / "data.qcow2"
    subprocess.run(["qemu-img", "convert", "-O", "raw", str(tiny), str(raw)], check=True)
    assert raw.stat().st_size <= OFFSET_MIB * MIB
    with Path("/dev/urandom").open("rb") as source, raw.open("r+b") as disk:
        disk.seek(OFFSET_MIB * MIB)
        for _ in range(DATA_MIB):
            disk.write(source.read(MIB))
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(made)], check=True)
    raw.unlink()
    return made


def _capture(service: Service, server: str) -> Reading:
    began = time.monotonic()
    job = service.build(server, "captured", execute_sysprep=False)
    ended = service.succeeded(job)
    took = time.monotonic() - began
    image = ended["sub_jobs"][0]["job_resource_info"]["resource_id"]
    removed = service.ask("DELETE", f"/v2/images/{image}")
    assert removed.status_code == 204, removed.text
    return {"s": took, "pause": guests.detail(service, job, "freeze disk")["pause_seconds"]}


def _run(copy: Path, *commands: Sequence[str]) -> Reading:
    began = time.monotonic()
    for command in commands:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    took = time.monotonic() - began
    copy.unlink()
    return {"s": took}
