"""A small world for housekeeping: real records on SQLite, a driver, and a clock that tests set."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from darkroom.domain.accounts import Caller
from darkroom.domain.ids import ImageId, ServerId, Snowflakes, new_uuid
from darkroom.domain.images import Image, ImageStatus
from darkroom.domain.jobs import Job, JobStatus, JobType, SubJob, SubJobStatus
from darkroom.domain.roles import ADMIN_ROLE, BUILT_IN
from darkroom.domain.servers import ImageServer, ServerAccess, ServerStatus
from darkroom.domain.times import now_ms
from darkroom.drivers.base import Compute, Door, GuestAccount, ImageStore, MachineSpec
from darkroom.drivers.simulated import INSTANT, Fault, SimulatedCompute, SimulatedImageStore
from darkroom.store.app_files import AppFiles
from darkroom.store.sealing import Sealer
from darkroom.store.store import Store
from darkroom.store.transaction import Transaction
from darkroom.workflows.plan import Limits, Tools

PROJECT = "a" * 32
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


def administrator() -> Caller:
    """Return a caller who may do everything in the project."""
    return Caller(
        user_id="u", user_name="u", account_id="a", project_id=PROJECT, roles=(BUILT_IN[ADMIN_ROLE],), is_admin=True,
        is_main_admin=True,
    )  # fmt: skip


class Clock:
    """Stands still unless it is set."""

    def __init__(self) -> None:
        self.now = now_ms()

    def __call__(self) -> int:
        return self.now

    def passes(self, ms: int) -> None:
        self.now += ms


class Records:
    """Records, and what steps work with over them."""

    def __init__(self, data: Path, compute: Compute, images: ImageStore, url: str = "") -> None:
        self.data, self.clock = data, Clock()
        self.store = Store(url or f"sqlite:///{data / 'darkroom.db'}", Sealer(Sealer.new_key()))
        self.store.migrate()
        self.snowflakes = Snowflakes(self.clock)
        files = AppFiles(data / "apps", limit=1 << 20)
        limits = Limits(boot=9, login=9, generalise=9, attach=9, step=9)
        self.tools = Tools(self.store, compute, images, files, self.snowflakes, self.clock, limits)

    def run(self, work: Any) -> Any:
        return asyncio.run(work)

    def write(self, work: Callable[[Transaction], Any]) -> Any:
        return self.run(self.store.write(work))

    def add_server(self, key: ServerId, base: ImageId, status: ServerStatus, account: GuestAccount, door: Door) -> None:
        """Record an image server in that state whose machine is there; the job that made it has ended well."""
        server = ImageServer(
            id=key, project_id=PROJECT, name=f"server-{key}", create_time=self.clock(), update_time=self.clock(),
            image_ref={"id": base, "image_type": "private"}, authorize_accounts=[{"account": account.name}],
            order={"cpus": 1, "memory_mib": 256, "disk_bytes": 1 << 30},
        )  # fmt: skip
        access = ServerAccess(
            account=account.name, password=account.password, private_key=account.private_key,
            public_key=account.public_key, address=door.address, port=door.port, host_key=door.host_key,
        )  # fmt: skip
        job = self.job(resource_id=key)
        self.write(lambda tx: tx.servers.add(server, access, job=job))
        names = {"instance_id": "instance"}
        self.write(lambda tx: tx.servers.move(key, status, self.clock(), job=job, names=names))

    def add_image(self, image_id: ImageId, status: ImageStatus = ImageStatus.ACTIVE) -> None:
        now = self.clock()
        image = Image(id=image_id, project_id=PROJECT, name="base", status=status, created_at=now, updated_at=now)
        self.write(lambda tx: tx.images.add(image))

    def job(
        self,
        sub_status: SubJobStatus = SubJobStatus.SUCCESS,
        *,
        resource_id: str = "",
        job_type: JobType = JobType.CREATE_SERVER,
        order: dict[str, Any] | None = None,
        error_code: str = "",
    ) -> Job:
        """Add a job with one sub-job in that state; the job has ended if the sub-job has. Why it failed is `m`."""
        job_id, sub_id, now = self.snowflakes.mint(), self.snowflakes.mint(), self.clock()
        sub_job = SubJob(
            id=sub_id, job_id=job_id, project_id=PROJECT, job_type=job_type, status=SubJobStatus.WAITING,
            resource_id=resource_id, resource_name="name", begin_time=now,
        )  # fmt: skip
        job = Job(
            id=job_id, project_id=PROJECT, job_type=job_type, status=JobStatus.RUNNING, begin_time=now,
            sub_jobs_total=1, order=order or {}, sub_jobs=(sub_job,),
        )  # fmt: skip
        ways = {
            SubJobStatus.WAITING: [],
            SubJobStatus.RUNNING: ["RUNNING"],
            SubJobStatus.SUCCESS: ["RUNNING", "SUCCESS"],
            SubJobStatus.FAILED: ["RUNNING", "ROLLBACK", "FAILED"],
            SubJobStatus.ABNORMAL: ["RUNNING", "ROLLBACK", "ABNORMAL"],
        }

        def add(tx: Transaction) -> None:
            tx.jobs.add(job)
            for status in ways[sub_status]:
                assert tx.jobs.move(sub_job, SubJobStatus(status), now, error_code=error_code, error_message="m")
            tx.jobs.end(job, now)

        self.write(add)
        return self.run(self.store.jobs.get(PROJECT, job_id))

    def status(self, server_id: ServerId) -> str:
        return self.run(self.store.servers.get(PROJECT, server_id)).status

    def rows(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.data / "darkroom.db")) as connection:
            return connection.execute(sql, parameters).fetchall()

    def once_knew(self, *resource_ids: str) -> None:
        """Have the events tell of resources that have no record any more."""
        for resource_id in resource_ids:
            self.write(lambda tx: tx.events.add("removed", self.clock(), PROJECT, resource_id=resource_id))  # noqa: B023

    def told(self, resource_id: str) -> list[tuple[str, dict[str, Any]]]:
        """Return kinds and particulars of the events of a resource, in their order."""
        sql = "SELECT kind, data FROM events WHERE resource_id = ? ORDER BY seq"
        return [(kind, json.loads(data)) for kind, data in self.rows(sql, resource_id)]

    def kinds(self, resource_id: str) -> list[str]:
        return [kind for kind, _ in self.told(resource_id)]


class World(Records):
    """Records over the simulated driver, with an image to start from."""

    def __init__(self, data: Path, url: str = "") -> None:
        self.images = SimulatedImageStore(data)
        self.compute = SimulatedCompute(data, self.images, durations=INSTANT)
        super().__init__(data, self.compute, self.images, url)
        self.base = self.image()

    def image(self, status: ImageStatus = ImageStatus.ACTIVE) -> ImageId:
        """Add an image with its file."""
        image_id = self.file()
        self.add_image(image_id, status)
        return image_id

    def file(self) -> ImageId:
        """Store an image that has no record."""
        image_id = ImageId(new_uuid())
        self.run(self.images.receive(image_id, _pieces(bytes(510) + b"\x55\xaa")))
        return image_id

    def machine(self, key: ServerId | None = None) -> ServerId:
        """Run a machine that has no record."""
        key = key or ServerId(self.snowflakes.mint())
        spec = MachineSpec(name=key, image_id=self.base, cpus=1, memory_mib=256, disk_bytes=1 << 30)
        self.run(self.compute.create(key, spec))
        return key

    def server(self, status: ServerStatus = ServerStatus.ACTIVE) -> ServerId:
        """Add an image server that is in that state, with its machine."""
        key = self.machine()
        self.run(self.compute.await_guest(key, timeout=5))
        account = GuestAccount(name="builder", password="p", public_key="ssh-ed25519 A", private_key="k")
        door = self.run(self.compute.admit(key, account))
        self.add_server(key, self.base, status, account, door)
        return key

    def fault(self, call: str, error: str, **how: Any) -> None:
        self.compute.faults.set(call, Fault(error=error, **how))

    def machine_keys(self) -> set[str]:
        return {machine.key for machine in self.run(self.compute.machines())}


async def _pieces(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
