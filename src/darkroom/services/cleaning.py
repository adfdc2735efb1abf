"""Cleaning up after jobs: what could not be undone when they failed is undone once more."""

from collections.abc import Callable, Sequence

from darkroom.domain.accounts import Caller
from darkroom.domain.ids import ProjectId, ServerId, SubJobId
from darkroom.domain.jobs import Job, JobType, SubJob, SubJobStatus
from darkroom.domain.times import Clock
from darkroom.errors import JobNotCleanable
from darkroom.store.store import Store
from darkroom.store.transaction import Transaction

#: Has sub-jobs of a job undone, in the transaction in which that is decided.
Clean = Callable[[Transaction, Job, Sequence[SubJobId]], None]


class Cleaning:
    """Takes up what ABNORMAL sub-jobs left behind. Their job stays FAILED: it has ended, whatever becomes of it."""

    def __init__(self, store: Store, clean: Clean, clock: Clock) -> None:
        self._store, self._clean, self._clock = store, clean, clock

    async def clean(self, caller: Caller, project_id: ProjectId, job_id: str) -> None:
        """Have the ABNORMAL sub-jobs of a job undone once more: they are ROLLBACK, then FAILED or ABNORMAL again.

        Raises JobNotCleanable if there are none.
        """
        caller.must("workspace:images:cleanImageJob", project_id)
        job = await self._store.jobs.get(project_id, job_id)
        left = [sub_job for sub_job in job.sub_jobs if sub_job.status is SubJobStatus.ABNORMAL]
        now = self._clock()

        def begin(tx: Transaction) -> bool:
            in_use = {sub_job.id: _is_in_use(tx, job, sub_job) for sub_job in left}
            moved = [sub_job for sub_job in left if tx.jobs.move(sub_job, _next(in_use[sub_job.id]), now)]
            to_undo = [sub_job.id for sub_job in moved if not in_use[sub_job.id]]
            if to_undo:
                self._clean(tx, job, to_undo)
            return bool(moved)

        if not await self._store.write(begin):
            raise JobNotCleanable(f"No sub-job of the job {job.id} is ABNORMAL.")


def _next(is_in_use: bool) -> SubJobStatus:
    return SubJobStatus.FAILED if is_in_use else SubJobStatus.ROLLBACK


def _is_in_use(tx: Transaction, job: Job, sub_job: SubJob) -> bool:
    """Tell whether a later job has gone on with what this one left: then it is no remains, and must not be undone."""
    return job.job_type is JobType.CREATE_SERVER and not tx.servers.is_unmade(ServerId(sub_job.resource_id))
