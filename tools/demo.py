"""The demo: makes a golden image on a real VM and proves it, as a user would, with the stock SDK, HTTP and the CLI.

It starts a service of its own with a fresh data folder, `.demo/`, and stops it again. Exit code 0 means that everything
was seen to work; otherwise the reason is printed, and where the logs are.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from demo_service import Demo, Failed, Guest
from huaweicloudsdkworkspaceapp.v1 import (
    BatchDeleteImageServerReq,
    BatchDeleteImageServerRequest,
    CreateImageServerReq,
    CreateImageServerRequest,
    CreateServerImageReq,
    ImageAccountInfo,
    ImageRef,
    RecreateServerImageRequest,
    ShowImageServerRequest,
    Volume,
)
from rich.console import Console
from rich.table import Table

GOLDEN_FILE = "/opt/golden.txt"
out = Console(highlight=False, soft_wrap=True)


class Phases:
    """Times the parts of the demo."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, float]] = []

    @contextmanager
    def phase(self, title: str) -> Iterator[None]:
        out.print(f"\n[bold]{title}[/bold]")
        begun = time.monotonic()
        yield
        self.taken.append((title, time.monotonic() - begun))

    def table(self) -> Table:
        table = Table("Phase", "Seconds", title="Summary")
        table.columns[1].justify = "right"
        for title, seconds in self.taken:
            table.add_row(title, f"{seconds:.1f}")
        table.add_row("Altogether", f"{sum(seconds for _, seconds in self.taken):.1f}", style="bold")
        return table


def create(demo: Demo, name: str, image_id: str, account: str) -> Guest:
    """Create an image server with the SDK; return its guest once the job has succeeded."""
    body = CreateImageServerReq(
        name=name,
        product_id="darkroom.tiny",
        vpc_id="local",
        subnet_id="local",
        root_volume=Volume(type="SAS", size=10),
        image_ref=ImageRef(id=image_id, image_type="private"),
        authorize_accounts=[ImageAccountInfo(account=account, account_type="USER")],
        is_vdi=True,
    )
    answer = demo.sdk.create_image_server(CreateImageServerRequest(body=body))
    job = demo.wait(answer.job_id)
    server_id = job["sub_jobs"][0]["job_resource_info"]["resource_id"]
    boot = demo.step(answer.job_id, "boot machine")
    out.print(f"  The machine {boot['instance_id']} runs under QEMU ({boot['accelerator']}).")
    access = demo.get(f"/v1/{demo.project}/image-servers/{server_id}/access")
    out.print(
        f"  {access['account']} may sign in at {access['address']}:{access['port']}"
        f" with a generated key, or the password of {len(access['password'])} characters."
    )
    return Guest(demo, server_id, name)


def build(demo: Demo, guest: Guest, name: str) -> dict[str, object]:
    """Build an image of the server with the SDK, generalised; return the image."""
    body = CreateServerImageReq(name=name, description="made by the demo", execute_sysprep=True)
    request = RecreateServerImageRequest(server_id=guest.server_id, body=body)
    job_id = demo.sdk.recreate_server_image(request).job_id
    job = demo.wait(job_id)
    image = demo.get(f"/v2/images/{job['sub_jobs'][0]['job_resource_info']['resource_id']}")
    out.print(f"  Image {image['id']}: {image['size'] / 2**20:.1f} MiB, SHA-256 {image['os_hash_value']}")
    pause = demo.step(job_id, "freeze disk")["pause_seconds"]
    out.print(f"  The machine's disk stood still for {pause * 1000:.0f} ms.")
    return image


def check_untouched(demo: Demo, guest: Guest, before: dict[str, str]) -> None:
    """The server was captured, and generalised only in the image: it must run on as it was."""
    after = guest.identity()
    status = demo.sdk.show_image_server(ShowImageServerRequest(server_id=guest.server_id)).status
    demo.check(after == before, f"the server has changed: {before} became {after}")
    demo.check(status == "BUILT", f"the server is {status}, not BUILT")
    out.print("  The server is BUILT and has run on: same boot, same machine-id, same account.")


def check_golden(demo: Demo, guest: Guest, content: str, first: dict[str, str], first_account: str) -> None:
    """The second server must have what was installed on the first, and nothing of its identity."""
    second = guest.identity()
    demo.check(guest.run("cat", GOLDEN_FILE) == content, f"{GOLDEN_FILE} is not what was written")
    for name in ("machine-id", "host key"):
        demo.check(second[name] != first[name], f"both servers have the {name} {second[name]}")
    accounts = [line.partition(":")[0] for line in guest.run("cat", "/etc/passwd").splitlines()]
    demo.check(first_account not in accounts, f"the account {first_account} is still there")
    out.print(f"  {GOLDEN_FILE} is there. The machine-id is another: {second['machine-id']}")
    out.print(f"  So is the SSH host key. The first server's account, {first_account}, is gone.")


def story(demo: Demo, phases: Phases) -> None:
    with phases.phase("Start the service"):
        demo.start()
    with phases.phase("Import a base image, over HTTP with X-Auth-Token"):
        base_id = demo.import_image(demo.kit.tiny, "tiny")
    with phases.phase("CreateImageServer: boot a machine of it"):
        first = create(demo, "builder-1", base_id, "builder")
    with phases.phase("Install something in the guest: darkroom servers ssh"):
        content = f"golden since {time.strftime('%Y-%m-%d %H:%M:%S')}"
        first.run("sudo", "sh", "-c", f"'echo {content} > {GOLDEN_FILE}'")
        identity = first.identity()
        out.print(f"  {GOLDEN_FILE}: {first.run('cat', GOLDEN_FILE)}")
        out.print(f"  machine-id: {identity['machine-id']}")
    with phases.phase("RecreateServerImage: build the golden image, generalised"):
        golden = build(demo, first, "golden")
        check_untouched(demo, first, identity)
    with phases.phase("CreateImageServer: a second machine, of the golden image"):
        second = create(demo, "proof-1", str(golden["id"]), "prover")
        check_golden(demo, second, content, identity, "builder")
    with phases.phase("BatchDeleteImageServer: delete both"):
        traces = demo.traces([first, second])
        body = BatchDeleteImageServerReq(items=[first.server_id, second.server_id], recursive=True)
        job_id = demo.sdk.batch_delete_image_server(BatchDeleteImageServerRequest(body=body)).job_id
        demo.wait(job_id)
        left = traces.left()
        demo.check(not left, "left behind: " + ", ".join(left))
        status = demo.get(f"/v2/images/{golden['id']}")["status"]
        demo.check(status == "active", f"the golden image is {status}")
        out.print(f"  Looked for {traces.describe()}: nothing is left. The golden image is.")
    out.print("\n[bold]The job, exactly as the API returned it[/bold]")
    out.print(demo.raw(f"/v1/{demo.project}/image-server-jobs/{job_id}"), markup=False)


def main() -> int:
    folder = Path(__file__).resolve().parent.parent / ".demo"
    phases = Phases()
    try:
        with Demo(folder, out) as demo:
            story(demo, phases)
    except Failed as failure:
        out.print(f"\n[bold red]The demo failed:[/bold red] {failure}")
        out.print(f"The logs of the service and of the machines are in {folder}.")
        return 1
    out.print()
    out.print(phases.table())
    out.print(
        "Next: `make serve` runs the service to use it for real, `.venv/bin/darkroom --help` lists what it can do."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
