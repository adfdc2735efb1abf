"""Jobs and sub-jobs in the database."""

from collections.abc import Sequence
from typing import Any

from darkroom.domain.ids import ImageId, JobId, ProjectId, SubJobId
from darkroom.domain.jobs import (
    Job,
    JobStatus,
    JobType,
    SubJob,
    SubJobFilter,
    SubJobStatus,
)
from darkroom.errors import JobNotFound
from darkroom.store.revisions import HISTORY, present
from darkroom.store.rows import Reader, Row, from_json, key_of


def _of(table: str, columns: str) -> str:
    """Return the columns as those of a table, where a statement reads several."""
    return ", ".join(f"{table}.{column}" for column in columns.split(", "))


_JOB = 'id, project_id, job_type, status, begin_time, end_time, sub_jobs_total, "order", plan'
_WIDTH = len(_JOB.split(","))
_SUB_JOB = (
    "id, job_id, project_id, job_type, status, resource_id, resource_name,"
    " begin_time, end_time, error_code, error_message"
)
# An enumeration's members by their texts: to ask itself for them takes several times as long.
_JOB_TYPES: dict[str, JobType] = {each: each for each in JobType}
_JOB_STATUSES: dict[str, JobStatus] = {each: each for each in JobStatus}
_SUB_JOB_STATUSES: dict[str, SubJobStatus] = {each: each for each in SubJobStatus}
# One that is being undone may belong to a job that has ended: what was left behind is then cleaned up.
_UNFINISHED = (
    'SELECT sub_jobs.resource_id, jobs."order" FROM jobs JOIN sub_jobs ON sub_jobs.job_id = jobs.id'
    f" WHERE jobs.status = '{JobStatus.RUNNING}'"
    ' UNION ALL SELECT sub_jobs.resource_id, jobs."order" FROM sub_jobs JOIN jobs ON jobs.id = sub_jobs.job_id'
    f" WHERE sub_jobs.status = '{SubJobStatus.ROLLBACK}'"
)
# A job and its sub-jobs by one statement: of all reads the most frequent. It may have no sub-jobs left.
_WHOLE = (
    f"SELECT {_of('jobs', _JOB)}, {_of('sub_jobs', _SUB_JOB)} FROM jobs LEFT JOIN sub_jobs ON sub_jobs.job_id = jobs.id"
)
_FIND = f"{_WHOLE} WHERE jobs.id = :id ORDER BY sub_jobs.id"
_GET = (
    f"{_WHOLE} AND sub_jobs.project_id = jobs.project_id"
    " WHERE jobs.id = :id AND jobs.project_id = :project ORDER BY sub_jobs.id"
)


class Jobs:
    """Reads jobs."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def get(self, project_id: ProjectId, job_id: str) -> Job:
        """Return a job with those of its sub-jobs that were not removed. Raises JobNotFound, also for another's job."""
        rows = await self._reader.all(_GET, id=key_of(job_id), project=project_id)
        if not rows:
            raise JobNotFound(f"The job {job_id} does not exist.")
        return _whole(rows)

    async def find(self, job_id: str) -> Job | None:
        """Return a job, whoever owns it, with all its sub-jobs, also those that were removed; or None."""
        rows = await self._reader.all(_FIND, id=key_of(job_id))
        return _whole(rows) if rows else None

    async def project_of_image(self, image_id: ImageId) -> ProjectId:
        """Return the project for which a build was to make an image, as far as its job is still known; else empty."""
        sql = 'SELECT project_id FROM jobs WHERE job_type = :type AND "order" LIKE :image LIMIT 1'
        row = await self._reader.one(sql, type=JobType.CREATE_SERVER_IMAGE, image=f'%"image_id":"{image_id}"%')
        return ProjectId(row[0] if row else "")

    async def is_cancelled(self, job_id: JobId) -> bool:
        """Say whether a job is to be cancelled."""
        row = await self._reader.one("SELECT cancelled FROM jobs WHERE id = :id", id=key_of(job_id))
        return bool(row and row[0])

    async def revision(self) -> int:
        """Return the number that every removal from the history counts up."""
        return await present(self._reader, HISTORY)

    async def busy(self) -> frozenset[str]:
        """Return the ids of the image servers and images, of any project, that unfinished jobs are about."""
        busy = set()
        for resource_id, order in await self._reader.all(_UNFINISHED):
            asked = from_json(order)
            busy |= {resource_id, asked.get("server_id", ""), asked.get("image_id", "")}
        return frozenset(busy - {""})

    async def page(
        self,
        project_id: ProjectId,
        job_type: JobType | None,
        status: JobStatus | None,
        offset: int,
        limit: int,
        *,
        server_id: str = "",
    ) -> tuple[int, list[Job]]:
        """Return how many jobs match, and one page of them without sub-jobs, newest first.

        Which jobs were about an image server is told by its events: a build's sub-job names the image.
        """
        where = "project_id = :project"
        matching: dict[str, Any] = {"project": project_id}
        if job_type:
            where, matching["type"] = f"{where} AND job_type = :type", job_type
        if status:
            where, matching["status"] = f"{where} AND status = :status", status
        if server_id:
            where = f"{where} AND id IN (SELECT job_id FROM events WHERE resource_id = :server)"
            matching["server"] = server_id
        ((count,),) = await self._reader.survey(f"SELECT count(*) FROM jobs WHERE {where}", **matching)
        rows = await self._reader.survey(_page("jobs", _JOB, where), **matching, limit=limit, offset=offset)
        return count, [_job(row) for row in rows]

    async def sub_jobs_page(
        self, project_id: ProjectId, matching: SubJobFilter, offset: int, limit: int
    ) -> tuple[int, list[SubJob]]:
        """Return how many sub-jobs match, and one page of them, newest first."""
        where, values = _where(project_id, matching)
        rows = await self._reader.survey(_page("sub_jobs", _SUB_JOB, where), **values, limit=limit, offset=offset)
        return await self.count_sub_jobs(project_id, matching), [_sub_job(row) for row in rows]

    async def count_sub_jobs(self, project_id: ProjectId, matching: SubJobFilter) -> int:
        """Return how many sub-jobs match."""
        where, values = _where(project_id, matching)
        ((count,),) = await self._reader.survey(f"SELECT count(*) FROM sub_jobs WHERE {where}", **values)
        return int(count)


def _page(table: str, columns: str, where: str) -> str:
    """Return the query of one page, newest first. What is passed over is read from an index alone."""
    chosen = f"SELECT id FROM {table} WHERE {where} ORDER BY id DESC LIMIT :limit OFFSET :offset"
    return f"SELECT {columns} FROM {table} WHERE id IN ({chosen}) ORDER BY id DESC"


def _where(project_id: ProjectId, wanted: SubJobFilter) -> tuple[str, dict[str, Any]]:
    """Return the condition that sub-jobs fulfil, and the values of its parameters."""
    conditions = ["project_id = :project"]
    values: dict[str, Any] = {"project": project_id}
    if wanted.job_types:
        types = {f"type{number}": job_type for number, job_type in enumerate(sorted(wanted.job_types))}
        conditions.append(f"job_type IN ({', '.join(f':{name}' for name in types)})")
        values |= types
    if wanted.status:
        conditions.append("status = :status")
        values["status"] = wanted.status
    if wanted.job_id:
        conditions.append("job_id = :job")
        values["job"] = key_of(wanted.job_id)
    return " AND ".join(conditions), values


def _whole(rows: Sequence[Row]) -> Job:
    return _job(rows[0][:_WIDTH], tuple(_sub_job(row[_WIDTH:]) for row in rows if row[_WIDTH] is not None))


def _job(row: Row, its_sub_jobs: tuple[SubJob, ...] = ()) -> Job:
    job_id, project_id, job_type, status, begin_time, end_time, total, order, plan = row
    return Job(
        id=JobId(str(job_id)),
        project_id=project_id,
        job_type=_JOB_TYPES[job_type],
        status=_JOB_STATUSES[status],
        begin_time=begin_time,
        end_time=end_time,
        sub_jobs_total=total,
        order=from_json(order),
        plan=plan,
        sub_jobs=its_sub_jobs,
    )


def _sub_job(row: Row) -> SubJob:
    sub_job_id, job_id, project_id, job_type, status, *rest = row
    resource_id, resource_name, begin_time, end_time, error_code, error_message = rest
    return SubJob(
        id=SubJobId(str(sub_job_id)),
        job_id=JobId(str(job_id)),
        project_id=project_id,
        job_type=_JOB_TYPES[job_type],
        status=_SUB_JOB_STATUSES[status],
        resource_id=resource_id,
        resource_name=resource_name,
        begin_time=begin_time,
        end_time=end_time,
        error_code=error_code,
        error_message=error_message,
    )
