"""Making jobs, and handing them over."""

from collections.abc import Callable, Sequence
from typing import Any

from darkroom.domain.ids import JobId, ProjectId, Snowflakes, SubJobId
from darkroom.domain.jobs import Job, JobStatus, JobType, SubJob, SubJobStatus
from darkroom.store.transaction import Transaction

#: Records a job and queues it, in the transaction of what it belongs to.
Accept = Callable[[Transaction, Job], None]


class NewJobs:
    """Makes jobs. A stock client gives a job up that waits, so each is RUNNING from the start (contract 6.3)."""

    def __init__(self, snowflakes: Snowflakes) -> None:
        self._snowflakes = snowflakes

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
