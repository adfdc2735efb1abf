"""Why a job failed: the evidence of each failure, with what can be done about it."""

import msgspec

from darkroom.domain.accounts import Caller
from darkroom.domain.evidence import Evidence
from darkroom.domain.ids import ProjectId
from darkroom.domain.jobs import Job, SubJob
from darkroom.errors import EvidenceNotFound, cure_of
from darkroom.store.kept import REAPING
from darkroom.store.store import Store


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a sub-job failed. `cure` says what can be done; `evidence` is None where none was kept (it was cancelled).

    `kept_until` is when the machine that was kept for inspection will be removed, in milliseconds; 0 if there is none.
    """

    sub_job: SubJob
    cure: str
    evidence: Evidence | None
    kept_until: int


class Failures:
    """Tells why jobs failed."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def show(self, caller: Caller, project_id: ProjectId, job_id: str) -> list[Failure]:
        """Return why each sub-job of a job failed that did; none if none has. Raises JobNotFound."""
        job = await self._job(caller, project_id, job_id)
        found = {each.sub_job_id: each for each in await self._store.evidence.of_job(job.id)}
        failed = [sub_job for sub_job in job.sub_jobs if sub_job.error_code]
        return [await self._failure(sub_job, found.get(sub_job.id)) for sub_job in failed]

    async def screen(self, caller: Caller, project_id: ProjectId, job_id: str, sub_job_id: str) -> bytes:
        """Return the picture (PNG) of the machine's screen when a sub-job failed. Raises EvidenceNotFound."""
        job = await self._job(caller, project_id, job_id)
        screen = await self._store.evidence.screen(job.id, sub_job_id)
        if screen is None or not any(each.id == sub_job_id and each.error_code for each in job.sub_jobs):
            raise EvidenceNotFound(f"There is no picture of a screen for the sub-job {sub_job_id} of the job {job.id}.")
        return screen

    async def _job(self, caller: Caller, project_id: ProjectId, job_id: str) -> Job:
        caller.must("workspace:images:getImageJobEvidence", project_id)
        return await self._store.jobs.get(project_id, job_id)

    async def _failure(self, sub_job: SubJob, found: Evidence | None) -> Failure:
        if found is not None and found.code != sub_job.error_code:
            found = None  # of a step that was begun again after a crash, and then did not fail in that way
        until = await self._store.kept.until(sub_job.resource_id)
        return Failure(
            sub_job=sub_job,
            cure=cure_of(sub_job.error_code),
            evidence=found,
            kept_until=until if until > REAPING else 0,
        )
