"""Changes of jobs and sub-jobs, each with its event."""

from collections import Counter
from collections.abc import Collection
from typing import Any, NamedTuple

import sqlalchemy as sa

from darkroom.domain.ids import JobId, ProjectId, ServerId, SubJobId
from darkroom.domain.jobs import DELETABLE, FINAL, MOVES, Job, JobStatus, JobType, SubJob, SubJobStatus, outcome
from darkroom.domain.limits import Waiting
from darkroom.errors import SubJobNotFinal
from darkroom.store.events import EventWrites
from darkroom.store.revisions import HISTORY, count_up
from darkroom.store.rows import key_of, to_json
from darkroom.store.tables import evidence, jobs, sub_jobs

# Of all statements the most frequent: each write of a job begins with it.
_HOLD = sa.select(jobs.c.claim, jobs.c.cancelled).where(jobs.c.id == sa.bindparam("key")).with_for_update()


class Held(NamedTuple):
    """Whether a job is its claimant's, and whether it is to be cancelled: so until the transaction ends."""

    claimed: bool
    cancelled: bool


class JobWrites:
    """Changes jobs, each change with its event."""

    def __init__(self, connection: sa.Connection, events: EventWrites) -> None:
        self._connection, self._events = connection, events

    def add(self, job: Job, *, admitted: bool = True) -> None:
        """Record a job that has been accepted, and its sub-jobs; unless it is `admitted`, it waits for room."""
        self._connection.execute(
            jobs.insert(),
            {
                "id": key_of(job.id),
                "project_id": job.project_id,
                "job_type": job.job_type,
                "status": job.status,
                "begin_time": job.begin_time,
                "end_time": job.end_time,
                "sub_jobs_total": job.sub_jobs_total,
                "order": to_json(job.order),
                "admitted": admitted,
                "plan": job.plan,
            },
        )
        for sub_job in job.sub_jobs:
            self._connection.execute(
                sub_jobs.insert(),
                {
                    "id": key_of(sub_job.id),
                    "job_id": key_of(sub_job.job_id),
                    "project_id": sub_job.project_id,
                    "job_type": sub_job.job_type,
                    "status": sub_job.status,
                    "resource_id": sub_job.resource_id,
                    "resource_name": sub_job.resource_name,
                    "begin_time": sub_job.begin_time,
                },
            )
        self._events.add("job.accepted", job.begin_time, job.project_id, job_id=job.id, data={"type": job.job_type})
        if job.is_final:
            self._events.add("job.ended", job.begin_time, job.project_id, job_id=job.id, data={"status": job.status})

    def waiting(self, job_type: JobType) -> list[Waiting]:
        """Return the jobs of a type that wait for room, oldest first."""
        rows = self._connection.execute(
            sa.select(jobs.c.id, jobs.c.project_id, jobs.c.plan)
            .where(jobs.c.status == JobStatus.RUNNING, jobs.c.admitted.is_(False), jobs.c.job_type == job_type)
            .order_by(jobs.c.id)
        )
        return [Waiting(job_id=JobId(str(job_id)), project_id=project, plan=plan) for job_id, project, plan in rows]

    def under_way(self, job_type: JobType) -> Counter[ProjectId]:
        """Return how many jobs of a type have begun and not ended, by project."""
        rows = self._connection.execute(
            sa.select(jobs.c.project_id, sa.func.count())
            .where(jobs.c.status == JobStatus.RUNNING, jobs.c.admitted.is_(True), jobs.c.job_type == job_type)
            .group_by(jobs.c.project_id)
        )
        return Counter(dict(rows.all()))

    def running(self, job_type: JobType, project_id: ProjectId) -> int:
        """Return how many jobs of a type a project has that have not ended, waiting ones among them."""
        statement = sa.select(sa.func.count()).where(
            jobs.c.status == JobStatus.RUNNING, jobs.c.job_type == job_type, jobs.c.project_id == project_id
        )
        return self._connection.scalar(statement) or 0

    def admit(self, waiting: Waiting, at: int) -> bool:
        """Let a job begin that waits for room; say whether it waited."""
        admitted = self._connection.execute(
            jobs.update().where(jobs.c.id == key_of(waiting.job_id), jobs.c.admitted.is_(False)).values(admitted=True)
        )
        if admitted.rowcount:
            self._events.add("job.admitted", at, waiting.project_id, job_id=waiting.job_id)
        return bool(admitted.rowcount)

    def tell_place(self, waiting: Waiting, at: int, place: int, of: int) -> None:
        """Tell the place, from 1, that a job has among those that wait for room."""
        data = {"place": place, "of": of}
        self._events.add("job.waiting", at, waiting.project_id, job_id=waiting.job_id, data=data)

    def claim(self, job_id: JobId, claim: str) -> str:
        """Make the job its caller's, who may write to it until another claim comes; return the claim."""
        self._connection.execute(jobs.update().where(jobs.c.id == key_of(job_id)).values(claim=claim))
        return claim

    def hold(self, job_id: JobId, claim: str) -> Held:
        """Have nobody else claim or cancel a job until the transaction ends. A job that is not there is nobody's."""
        owner, cancelled = self._connection.execute(_HOLD, {"key": key_of(job_id)}).first() or (None, False)
        return Held(claimed=owner == claim, cancelled=cancelled)

    def cancel(self, job: Job, at: int) -> None:
        """Have a job cancelled at its next safe point. What has ended meanwhile stays as it is."""
        cancelled = self._connection.execute(
            jobs.update()
            .where(jobs.c.id == key_of(job.id), jobs.c.status == JobStatus.RUNNING, jobs.c.cancelled.is_(False))
            .values(cancelled=True)
        )
        if cancelled.rowcount:
            self._events.add("job.cancelled", at, job.project_id, job_id=job.id)
            for sub_job in job.sub_jobs:
                self.move(sub_job, SubJobStatus.ABORTING, at)

    def move(
        self,
        sub_job: SubJob,
        to: SubJobStatus,
        at: int,
        *,
        error_code: str = "",
        error_message: str = "",
    ) -> bool:
        """Move a sub-job to another state; say whether it moved. Where the move is not allowed, nothing changes."""
        changes: dict[str, Any] = {"status": to, "end_time": at if to in FINAL else None}
        if error_code:
            changes |= {"error_code": error_code, "error_message": error_message}
        allowed = [status for status, following in MOVES.items() if to in following]
        moved = self._connection.execute(
            sub_jobs.update()
            .where(sub_jobs.c.id == key_of(sub_job.id), sub_jobs.c.status.in_(allowed))
            .values(**changes)
        )
        if moved.rowcount:
            self._events.add(
                "sub_job.moved",
                at,
                sub_job.project_id,
                job_id=sub_job.job_id,
                sub_job_id=sub_job.id,
                resource_id=sub_job.resource_id,
                data={key: value for key, value in changes.items() if key != "end_time"},
            )
        return bool(moved.rowcount)

    def is_undone_for(self, server_id: ServerId) -> bool:
        """Say whether what a job did for a server is being undone just now."""
        statement = sa.select(sa.func.count()).where(
            sub_jobs.c.status == SubJobStatus.ROLLBACK, sub_jobs.c.resource_id == server_id
        )
        return bool(self._connection.scalar(statement))

    def name_resource(self, sub_job: SubJob, resource_id: str) -> None:
        """Set the resource that a sub-job has made, in the transaction in which it ends."""
        self._connection.execute(
            sub_jobs.update().where(sub_jobs.c.id == key_of(sub_job.id)).values(resource_id=resource_id)
        )

    def delete_sub_jobs(self, project_id: ProjectId, sub_job_ids: Collection[str], at: int) -> None:
        """Remove ended sub-jobs from the history of their jobs; ids of none are skipped.

        They belong to no project any more, and stay as long as their job: it goes by them, should it not have ended.
        Raises SubJobNotFinal, and then removes nothing, if one of them has not ended as SUCCESS or FAILED.
        """
        # Locked, in order: another process may be removing some of them, which are then not here any more.
        found = self._connection.execute(
            sa.select(sub_jobs.c.id, sub_jobs.c.job_id, sub_jobs.c.status)
            .where(sub_jobs.c.project_id == project_id, sub_jobs.c.id.in_([key_of(each) for each in sub_job_ids]))
            .order_by(sub_jobs.c.id)
            .with_for_update()
        ).all()
        for sub_job_id, _, status in found:
            if status not in DELETABLE:
                raise SubJobNotFinal(f"The sub-job {sub_job_id} is {status}; only SUCCESS or FAILED may be deleted.")
        for sub_job_id, job_id, _ in found:
            self._connection.execute(sub_jobs.update().where(sub_jobs.c.id == sub_job_id).values(project_id=""))
            self._connection.execute(evidence.delete().where(evidence.c.sub_job_id == sub_job_id))
            self._connection.execute(
                jobs.update().where(jobs.c.id == job_id).values(sub_jobs_total=jobs.c.sub_jobs_total - 1)
            )
            self._events.add(
                "sub_job.removed", at, project_id, job_id=JobId(str(job_id)), sub_job_id=SubJobId(str(sub_job_id))
            )
        if found:
            count_up(self._connection, HISTORY)

    def end(self, job: Job, at: int) -> None:
        """End a job whose sub-jobs have all ended, with the status that follows from theirs."""
        statuses = self._connection.scalars(sa.select(sub_jobs.c.status).where(sub_jobs.c.job_id == key_of(job.id)))
        status = outcome(map(SubJobStatus, statuses))
        if status is JobStatus.RUNNING:
            return
        ended = self._connection.execute(
            jobs.update()
            .where(jobs.c.id == key_of(job.id), jobs.c.status == JobStatus.RUNNING)
            .values(status=status, end_time=at)
        )
        if ended.rowcount:
            self._events.add("job.ended", at, job.project_id, job_id=job.id, data={"status": status})
