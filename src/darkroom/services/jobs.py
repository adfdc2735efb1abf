"""Reading jobs, and clearing their history."""

from collections.abc import Sequence

from darkroom.domain.accounts import Caller
from darkroom.domain.ids import ProjectId
from darkroom.domain.jobs import Job, JobStatus, JobType, SubJob, SubJobFilter
from darkroom.domain.times import Clock
from darkroom.errors import JobNotCancellable
from darkroom.services.new_jobs import Accept
from darkroom.store.store import Store
from darkroom.store.transaction import Transaction


class Jobs:
    """What callers may do with their jobs."""

    def __init__(self, store: Store, release: Accept, clock: Clock) -> None:
        """`release` queues a job that waits for room, so that it can end."""
        self._store, self._release, self._clock = store, release, clock

    async def show(self, caller: Caller, project_id: ProjectId, job_id: str) -> Job:
        """Return a job with its sub-jobs. Raises JobNotFound, also for another project's."""
        caller.must("workspace:images:getImageJob", project_id)
        return await self._store.jobs.get(project_id, job_id)

    async def page(
        self,
        caller: Caller,
        project_id: ProjectId,
        *,
        job_type: JobType | None,
        status: JobStatus | None,
        server_id: str,
        offset: int,
        limit: int,
    ) -> tuple[int, list[Job]]:
        """Return how many jobs match, and one page of them, newest first. An empty `server_id` is every one's."""
        caller.must("workspace:images:listImageJobs", project_id)
        return await self._store.jobs.page(project_id, job_type, status, offset, limit, server_id=server_id)

    async def sub_jobs_page(
        self, caller: Caller, project_id: ProjectId, matching: SubJobFilter, *, offset: int, limit: int
    ) -> tuple[int, list[SubJob]]:
        """Return how many sub-jobs match, and one page of them, newest first."""
        caller.must("workspace:imageServer:listImageSubJobs", project_id)
        return await self._store.jobs.sub_jobs_page(project_id, matching, offset, limit)

    async def count_sub_jobs(self, caller: Caller, project_id: ProjectId, matching: SubJobFilter) -> int:
        """Return how many sub-jobs match."""
        caller.must("workspace:imageServer:countImageSubJobs", project_id)
        return await self._store.jobs.count_sub_jobs(project_id, matching)

    async def delete_sub_jobs(self, caller: Caller, project_id: ProjectId, sub_job_ids: Sequence[str]) -> None:
        """Remove ended sub-jobs from the history. Ids of none are skipped; one that has not ended refuses them all."""
        caller.must("workspace:imageServer:batchDeleteImageSubJobs", project_id)
        now = self._clock()
        await self._store.write(lambda tx: tx.jobs.delete_sub_jobs(project_id, sub_job_ids, now))

    async def cancel(self, caller: Caller, project_id: ProjectId, job_id: str) -> None:
        """Have a job cancelled: what it has done is undone, then it is FAILED. Repeating that changes nothing.

        Raises JobNotCancellable for a deletion, which cannot be undone, and for a job that has ended otherwise.
        """
        caller.must("workspace:images:cancelImageJob", project_id)
        job = await self._store.jobs.get(project_id, job_id)
        if job.job_type is JobType.DELETE_SERVER:
            raise JobNotCancellable("A deletion cannot be cancelled: what is gone cannot be brought back.")
        if job.is_final and not await self._store.jobs.is_cancelled(job.id):
            raise JobNotCancellable(f"The job {job.id} has ended as {job.status}.")
        now = self._clock()

        def cancel(tx: Transaction) -> None:
            tx.jobs.cancel(job, now)
            self._release(tx, job)

        await self._store.write(cancel)
