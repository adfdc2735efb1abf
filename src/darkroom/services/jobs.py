"""Reading jobs."""

from darkroom.domain.accounts import Caller
from darkroom.domain.ids import ProjectId
from darkroom.domain.jobs import Job, JobStatus, JobType
from darkroom.domain.timeline import StepRecord, timeline
from darkroom.store.store import Store


class Jobs:
    """What callers may learn of their jobs."""

    def __init__(self, store: Store) -> None:
        self._store = store

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
        offset: int,
        limit: int,
    ) -> tuple[int, list[Job]]:
        """Return how many jobs match, and one page of them, newest first."""
        caller.must("workspace:images:listImageJobs", project_id)
        return await self._store.jobs.page(project_id, job_type, status, offset, limit)

    async def timeline(self, caller: Caller, project_id: ProjectId, job_id: str) -> list[StepRecord]:
        """Return the steps of a job, done and undone, in the order they began."""
        job = await self.show(caller, project_id, job_id)
        return timeline(await self._store.events.of_job(job.id))
