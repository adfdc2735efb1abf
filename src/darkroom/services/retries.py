"""Trying a failed job again: a new job, of the same kind, about the same resources, that names the old one."""

from darkroom.domain.accounts import Caller
from darkroom.domain.ids import JobId, ProjectId, new_uuid
from darkroom.domain.jobs import Job, JobStatus, JobType, SubJobStatus
from darkroom.domain.requests import Once
from darkroom.domain.servers import ALLOWED, Action, ImageServer, ServerStatus
from darkroom.domain.times import Clock
from darkroom.errors import JobNotRetryable
from darkroom.services.new_jobs import NewJobs
from darkroom.store.store import Store
from darkroom.store.transaction import Transaction

#: From which states a kind of job takes its servers, and to which.
_MOVES = {
    JobType.CREATE_SERVER: (frozenset({ServerStatus.ERROR}), ServerStatus.CREATING),
    JobType.CREATE_SERVER_IMAGE: (ALLOWED[Action.BUILD], ServerStatus.BUILDING),
    JobType.DELETE_SERVER: (frozenset({ServerStatus.ERROR}), ServerStatus.DELETING),
}


class Retries:
    """Starts failed jobs anew, from their first step: all that they had done has been undone."""

    def __init__(self, store: Store, new_jobs: NewJobs, clock: Clock) -> None:
        self._store, self._new_jobs, self._clock = store, new_jobs, clock

    async def retry(self, caller: Caller, project_id: ProjectId, job_id: str, once: Once | None = None) -> JobId:
        """Return the new job. Raises JobNotRetryable unless the job failed and its resources are as it left them."""
        caller.must("workspace:images:retryImageJob", project_id)
        return await self._new_jobs.once(project_id, once, lambda: self._retry(project_id, job_id, once))

    async def _retry(self, project_id: ProjectId, job_id: str, once: Once | None) -> JobId:
        old = await self._store.jobs.get(project_id, job_id)
        if old.status is not JobStatus.FAILED:
            raise JobNotRetryable(f"The job {old.id} is {old.status}; only a FAILED one can be tried again.")
        servers = await self._servers(old)
        before, after = _MOVES[old.job_type]
        now = self._clock()
        job = self._new_jobs.make(old.job_type, project_id, _resources(old, servers), _order(old, servers), now)

        def accept(tx: Transaction) -> None:
            for server in servers:
                was_made = old.job_type is JobType.CREATE_SERVER and not tx.servers.is_unmade(server.id)
                if not tx.servers.move(server.id, after, now, job=job, of={server.status} & before, unattended=True):
                    raise JobNotRetryable(f"The image server {server.id} is {server.status}, or has just changed.")
                if was_made:  # should it fail again, its machine would go
                    raise JobNotRetryable(f"The image server {server.id} has been made since, and may hold work.")
                if tx.jobs.is_undone_for(server.id) or tx.kept.is_being_reaped(server.id):
                    raise JobNotRetryable(f"What a job left behind of the image server {server.id} is being undone.")
            self._new_jobs.accept(tx, job, once)

        await self._store.write(accept)
        return job.id

    async def _servers(self, old: Job) -> list[ImageServer]:
        """Return the servers that the old job was about, as far as it failed with them."""
        failed = [sub_job for sub_job in old.sub_jobs if sub_job.status is not SubJobStatus.SUCCESS]
        ids = [old.order.get("server_id") or sub_job.resource_id for sub_job in failed]
        found = [await self._store.servers.find(server_id) for server_id in ids]
        servers = [server for server in found if server is not None]
        if not servers:
            raise JobNotRetryable(f"What the job {old.id} was about is no longer there.")
        return servers


def _resources(old: Job, servers: list[ImageServer]) -> list[tuple[str, str]]:
    if old.job_type is JobType.CREATE_SERVER_IMAGE:
        return [("", old.order["name"])]
    return [(server.id, server.name) for server in servers]


def _order(old: Job, servers: list[ImageServer]) -> dict[str, object]:
    order = {**old.order, "retry_of": old.id}
    if old.job_type is JobType.CREATE_SERVER_IMAGE:
        order |= {"image_id": new_uuid(), "status_before": servers[0].status}
    return order
