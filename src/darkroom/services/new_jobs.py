"""Making jobs and handing them over, once for each request."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from darkroom.domain.ids import JobId, ProjectId, Snowflakes, SubJobId
from darkroom.domain.jobs import Job, JobStatus, JobType, SubJob, SubJobStatus
from darkroom.domain.requests import Once
from darkroom.domain.times import Clock
from darkroom.errors import Conflict
from darkroom.store.store import Store
from darkroom.store.transaction import Transaction

#: Records a job and queues it, in the transaction of what it belongs to.
Accept = Callable[[Transaction, Job], None]


class _Repeated(Exception):
    """A request of the same name was carried out at the same moment."""


class NewJobs:
    """Makes jobs. A stock client gives a job up that waits, so each is RUNNING from the start (contract 6.3)."""

    def __init__(self, store: Store, accept: Accept, snowflakes: Snowflakes, clock: Clock) -> None:
        self._store, self._accept, self._snowflakes, self._clock = store, accept, snowflakes, clock

    async def once(self, project_id: ProjectId, once: Once | None, start: Callable[[], Awaitable[JobId]]) -> JobId:
        """Return the job that this request started before, or else what `start` returns.

        Raises Conflict if another request had the same name.
        """
        while once is not None:
            former = await self._store.idempotency.find(project_id, once.key, self._clock())
            if former is not None:
                if former.fingerprint != once.fingerprint:
                    raise Conflict(f"The key {once.key} belongs to another request, which started {former.job_id}.")
                return former.job_id
            try:
                return await start()
            except _Repeated:
                continue
        return await start()

    def accept(self, tx: Transaction, job: Job, once: Once | None) -> None:
        """Record and queue a job, and the name of the request that started it, in one transaction."""
        if once is not None and not tx.idempotency.add(job.project_id, once, job.id, job.begin_time):
            raise _Repeated
        self._accept(tx, job)

    def make(
        self,
        job_type: JobType,
        project_id: ProjectId,
        resources: Sequence[tuple[str, str]],
        order: dict[str, Any],
        now: int,
    ) -> Job:
        """Return a job with a sub-job for each resource (id and name); without any, it has succeeded."""
        job_id = JobId(self._snowflakes.mint())
        sub_jobs = tuple(
            SubJob(
                id=SubJobId(self._snowflakes.mint()),
                job_id=job_id,
                project_id=project_id,
                job_type=job_type,
                status=SubJobStatus.WAITING,
                resource_id=resource_id,
                resource_name=resource_name,
                begin_time=now,
            )
            for resource_id, resource_name in resources
        )
        return Job(
            id=job_id,
            project_id=project_id,
            job_type=job_type,
            status=JobStatus.RUNNING if sub_jobs else JobStatus.SUCCESS,
            begin_time=now,
            end_time=None if sub_jobs else now,
            sub_jobs_total=len(sub_jobs),
            order=order,
            sub_jobs=sub_jobs,
        )
