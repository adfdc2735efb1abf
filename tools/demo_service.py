"""What the demo works with: a service of its own, three ways to talk to it, and a look at what is left behind."""

import asyncio
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import SdkException
from huaweicloudsdkworkspaceapp.v1 import ShowImageJobRequest, WorkspaceAppClient
from rich.console import Console

from darkroom.drivers.qemu.compute import QemuCompute
from darkroom.errors import DarkroomError
from darkroom.guests import GuestBuildError, build_kit
from darkroom.settings import Settings

#: Seconds.
START_LIMIT, STOP_LIMIT, JOB_LIMIT, INTERVAL = 60.0, 20.0, 900.0, 0.2


class Failed(Exception):
    """The demo did not go as it must."""


class Demo:
    """A service with a fresh data folder, and its clients: `sdk` signs with AK/SK, `get` and `raw` carry a token."""

    sdk: WorkspaceAppClient
    project: str

    def __init__(self, folder: Path, out: Console) -> None:
        self._folder, self._out = folder, out
        self._data = folder / "data"
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        asyncio.run(_remove_machines(self._data))  # those of a demo that was killed
        self._empty_folder()
        kit = Settings().kit
        try:
            self.kit = build_kit(kit, say=lambda line: self._out.print(f"  {line}"))
            chosen = asyncio.run(QemuCompute(self._data, kit).accelerator())
        except (GuestBuildError, DarkroomError) as error:
            raise Failed(str(error)) from error
        self._out.print(f"  Machines will run under {chosen.name.upper()}: {chosen.reason}.")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the service. After a failure, keep the machines' logs and remove the machines."""
        self._stack.close()
        if error is None:
            return
        for log in self._data.glob("machines/*/vm/*.log"):
            shutil.copy(log, self._folder / f"{log.parent.parent.name}-{log.name}")
        asyncio.run(_remove_machines(self._data))
        if isinstance(error, SdkException | httpx2.HTTPError):
            raise Failed(f"{type(error).__name__}: {error}") from error

    def start(self) -> None:
        """Start the service, sign in, and look how long it took."""
        log = self._stack.enter_context((self._folder / "service.log").open("wb"))
        command = [sys.executable, "-m", "darkroom.cli", "--data", str(self._data), "serve", "--port", "0"]
        service = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        self._stack.callback(_end, service)
        endpoint = self._await_endpoint(service)
        known = json.loads((self._data / "credentials.json").read_text())
        self.project = known["project_id"]
        self._http = self._stack.enter_context(httpx2.Client(base_url=endpoint, timeout=120))
        self._http.headers["X-Auth-Token"] = self._sign_in(known)
        credentials = BasicCredentials(known["access_key"], known["secret_key"], self.project)
        self.sdk = WorkspaceAppClient.new_builder().with_credentials(credentials).with_endpoint(endpoint).build()
        self._out.print(f"  Serving at {endpoint}. Signed in twice: SDK with AK/SK, HTTP with a token.")

    def get(self, path: str) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.raw(path))
        return answer

    def raw(self, path: str) -> str:
        """Return the body of a GET as it is."""
        return _ok(self._http.get(path)).text

    def import_image(self, file: Path, name: str) -> str:
        """Upload an image; return its id once it is active."""
        image_id = str(_ok(self._http.post("/v2/images", json={"name": name})).json()["id"])
        with file.open("rb") as content:
            headers = {"Content-Type": "application/octet-stream"}
            _ok(self._http.put(f"/v2/images/{image_id}/file", content=content, headers=headers))
        image = self.get(f"/v2/images/{image_id}")
        self.check(image["status"] == "active", f"the image is {image['status']}")
        self._out.print(f"  Image {image_id}: {image['size'] / 2**20:.1f} MiB")
        return image_id

    def wait(self, job_id: str) -> dict[str, Any]:
        """Poll a job with the SDK until it ends, showing its steps as they come; raise Failed unless it succeeds."""
        self._out.print(f"  Job {job_id}")
        shown = 0
        deadline = time.monotonic() + JOB_LIMIT
        with self._out.status("  …") as status:
            while time.monotonic() < deadline:
                job: dict[str, Any] = self.sdk.show_image_job(ShowImageJobRequest(job_id=job_id)).to_dict()
                steps = self._steps(job_id)
                for step in steps[shown:]:
                    if "end_time" not in step:
                        status.update(f"  {step['name']} … {_percent(step)}")
                        break
                    self._out.print(f"    {'✓' if step['status'] == 'SUCCESS' else '✗'} {step['name']}")
                    shown += 1
                if job["status"] == "FAILED":
                    raise Failed(job["sub_jobs"][0]["job_execute_info"]["error_message"])
                if job["status"] == "SUCCESS" and shown == len(steps):
                    return job
                time.sleep(INTERVAL)
        raise Failed(f"the job {job_id} has not ended after {JOB_LIMIT:.0f} s")

    def step(self, job_id: str, name: str) -> dict[str, Any]:
        """Return what a step of a job had to say of itself."""
        found: dict[str, Any] = next(step["detail"] for step in self._steps(job_id) if step["name"] == name)
        return found

    def ssh(self, server_id: str, *command: str) -> str:
        """Run a command in a guest through `darkroom servers ssh`; return what it printed."""
        line = [sys.executable, "-m", "darkroom.cli", "--data", str(self._data), "servers", "ssh", server_id, "--"]
        done = subprocess.run([*line, *command], capture_output=True, text=True, check=False)
        self.check(done.returncode == 0, f"`{' '.join(command)}` in the guest: {done.stderr.strip() or done.stdout}")
        return done.stdout.strip()

    def traces(self, guests: list["Guest"]) -> "Traces":
        """Note everything that the guests' machines have on this host now."""
        ports = [self.get(f"/v1/{self.project}/image-servers/{g.server_id}/access")["port"] for g in guests]
        return Traces([self._data / "machines" / guest.server_id for guest in guests], ports)

    def check(self, truth: bool, otherwise: str) -> None:
        if not truth:
            raise Failed(otherwise)

    def _empty_folder(self) -> None:
        """Begin afresh, but keep what a trial guest showed of KVM: it holds until the host is booted again."""
        verdict = self._data / "accelerator.json"
        known = verdict.read_bytes() if verdict.exists() else b""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._data.mkdir(parents=True)
        if known:
            verdict.write_bytes(known)

    def _steps(self, job_id: str) -> list[dict[str, Any]]:
        steps: list[dict[str, Any]] = self.get(f"/v1/{self.project}/image-server-jobs/{job_id}/timeline")["steps"]
        return steps

    def _await_endpoint(self, service: subprocess.Popen[bytes]) -> str:
        deadline = time.monotonic() + START_LIMIT
        while time.monotonic() < deadline and service.poll() is None:
            try:
                return str(json.loads((self._data / "service.json").read_text())["endpoint"])
            except FileNotFoundError:
                time.sleep(0.05)
        raise Failed("the service did not start")

    def _sign_in(self, known: dict[str, str]) -> str:
        user = {"name": known["user"], "password": known["password"], "domain": {"name": known["account"]}}
        identity = {"methods": ["password"], "password": {"user": user}}
        body = {"auth": {"identity": identity, "scope": {"project": {"name": known["project"]}}}}
        return str(_ok(self._http.post("/v3/auth/tokens", json=body)).headers["X-Subject-Token"])


@dataclass
class Guest:
    """The guest of an image server."""

    demo: Demo
    server_id: str
    name: str

    def run(self, *command: str) -> str:
        return self.demo.ssh(self.server_id, *command)

    def identity(self) -> dict[str, str]:
        """Return what makes the guest itself, and which boot of it this is."""
        machine_id, boot_id, host_key, account = self.run(
            "cat /etc/machine-id /proc/sys/kernel/random/boot_id /etc/ssh/ssh_host_ed25519_key.pub; id -un"
        ).splitlines()
        return {"machine-id": machine_id, "boot": boot_id, "host key": host_key.split()[1], "account": account}


@dataclass
class Traces:
    """What machines have on this host: folders with disks and sockets, processes, ports."""

    folders: list[Path]
    ports: list[int]
    pids: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.pids = [pid for pid, cwd in _working_directories() if cwd.parent in self.folders]

    def describe(self) -> str:
        return f"{len(self.pids)} processes, {len(self.folders)} folders of disks and sockets, {len(self.ports)} ports"

    def left(self) -> list[str]:
        """Say what is still there."""
        processes = [f"process {pid}" for pid in self.pids if Path(f"/proc/{pid}").exists()]
        folders = [f"folder {folder}" for folder in self.folders if folder.exists()]
        return processes + folders + [f"port {port}" for port in self.ports if _is_open(port)]


async def _remove_machines(data: Path) -> None:
    compute = QemuCompute(data, data)
    for machine in await compute.machines():
        await compute.delete(machine.key)


def _working_directories() -> Iterator[tuple[int, Path]]:
    """Yield every process with its working directory: QEMU's is the folder of its machine."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            yield int(process.name), (process / "cwd").readlink()


def _end(service: subprocess.Popen[bytes]) -> None:
    service.terminate()
    try:
        service.wait(STOP_LIMIT)
    except subprocess.TimeoutExpired:
        service.kill()
        service.wait()


def _ok(answer: httpx2.Response) -> httpx2.Response:
    if answer.is_error:
        answer.read()
        raise Failed(f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.text}")
    return answer


def _percent(step: dict[str, Any]) -> str:
    progress = step.get("progress") or {}
    return f"{progress['done'] * 100 // progress['total']} %" if progress.get("total") else ""


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
