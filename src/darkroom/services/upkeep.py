"""Upkeep: how housekeeping goes, and what in a project needs somebody's attention."""

import structlog

from darkroom.domain.accounts import Caller
from darkroom.domain.chores import ChoreRecord, Remains
from darkroom.domain.ids import ImageId, ProjectId, ServerId
from darkroom.domain.jobs import JobType, SubJob, SubJobFilter, SubJobStatus
from darkroom.domain.timeline import timeline
from darkroom.drivers.base import Compute, ImageStore
from darkroom.errors import DarkroomError
from darkroom.store.store import Store

log = structlog.get_logger(__name__)

#: Sub-jobs of which is told at a time; the rest can be listed by their state.
MOST = 100


class Upkeep:
    """What callers may know of housekeeping."""

    def __init__(self, store: Store, compute: Compute, image_store: ImageStore) -> None:
        self._store, self._compute, self._image_store = store, compute, image_store

    async def show(self, caller: Caller, project_id: ProjectId) -> tuple[list[ChoreRecord], list[Remains]]:
        """Return how each chore went, with the project's own problems, and what its ABNORMAL sub-jobs left behind.

        Who looks after all accounts is also told of problems that are no project's.
        """
        caller.must("workspace:imageServer:getHousekeeping", project_id)
        whose = {project_id, ProjectId("")} if caller.is_main_admin else {project_id}
        chores = [
            ChoreRecord(
                name=chore.name,
                ran_at=chore.ran_at,
                failure=chore.failure,
                problems=[problem for problem in chore.problems if problem.project_id in whose],
            )
            for chore in await self._store.chores.all()
        ]
        abnormal = SubJobFilter(status=SubJobStatus.ABNORMAL)
        _, left = await self._store.jobs.sub_jobs_page(project_id, abnormal, 0, MOST)
        return chores, [await self._remains(sub_job) for sub_job in left]

    async def _remains(self, sub_job: SubJob) -> Remains:
        steps = timeline(await self._store.events.of_job(sub_job.job_id))
        undone = [step for step in steps if step.sub_job_id == sub_job.id and step.phase == "undo"]
        failed = {step.name: step.error for step in undone if step.status == "FAILED"}
        return Remains(sub_job=sub_job, failed=failed, still_there=await self._still_there(sub_job))

    async def _still_there(self, sub_job: SubJob) -> list[str]:
        """Return what the driver still finds of what the sub-job was to make."""
        try:
            if sub_job.job_type is JobType.CREATE_SERVER:
                return ["machine"] if await self._compute.find(ServerId(sub_job.resource_id)) else []
            job = await self._store.jobs.find(sub_job.job_id)
            image_id = job.order.get("image_id") if job else None
            return ["image"] if image_id and await self._image_store.facts(ImageId(image_id)) else []
        except DarkroomError as error:
            log.warning("the driver does not tell what is left", sub_job_id=sub_job.id, reason=error.message)
            return []
