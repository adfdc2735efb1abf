"""Routes of jobs and sub-jobs (contract sections 3.1 to 3.5), and a job's timeline, beside the contract."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from darkroom.domain.accounts import Caller
from darkroom.domain.jobs import JobStatus, JobType, SubJobFilter, SubJobStatus
from darkroom.http.answers import JSON, page
from darkroom.http.operations import Operations
from darkroom.http.requests import choice, choices, decode, page_of, path_id, project_of, text
from darkroom.services.jobs import Jobs
from darkroom.wire import jobs as wire
from darkroom.wire.servers import unique

JOBS = "/v1/{project_id}/image-server-jobs"
SUB_JOBS = "/v1/{project_id}/image-server-sub-jobs"


def routes(operations: Operations, jobs: Jobs) -> list[BaseRoute]:
    async def show_job(caller: Caller, request: Request) -> Response:
        """ShowImageJob: one job with its sub-jobs."""
        return JSON(wire.job(await jobs.show(caller, project_of(request), path_id(request, "job_id"))))

    async def list_jobs(caller: Caller, request: Request) -> Response:
        """ListImageJobs: jobs of one type, newest first, without their sub-jobs."""
        count, found = await jobs.page(
            caller,
            project_of(request),
            job_type=choice(request, "job_type", JobType, mandatory=True),
            status=choice(request, "status", JobStatus),
            **page_of(request),
        )
        return page(count, [wire.job_info(job) for job in found])

    async def show_timeline(caller: Caller, request: Request) -> Response:
        """The steps of a job with their times."""
        return JSON(wire.timeline(await jobs.timeline(caller, project_of(request), path_id(request, "job_id"))))

    async def list_sub_jobs(caller: Caller, request: Request) -> Response:
        """ListImageSubJobs: newest first."""
        job_type = choice(request, "job_type", JobType, mandatory=True)
        matching = _sub_jobs_wanted(request, frozenset({job_type} if job_type else ()))
        count, found = await jobs.sub_jobs_page(caller, project_of(request), matching, **page_of(request))
        return page(count, [wire.sub_job(sub_job) for sub_job in found])

    async def count_sub_jobs(caller: Caller, request: Request) -> Response:
        """CountImageSubJobs: of some types, or of all."""
        matching = _sub_jobs_wanted(request, choices(request, "job_type", JobType))
        return JSON({"count": await jobs.count_sub_jobs(caller, project_of(request), matching)})

    async def delete_sub_jobs(caller: Caller, request: Request, body: bytes) -> Response:
        """BatchDeleteImageSubJobs: removes ended ones from the history."""
        wanted = decode(request, body, wire.BatchDeleteImageSubJobs, {})
        unique("items", wanted.items)
        await jobs.delete_sub_jobs(caller, project_of(request), wanted.items)
        return Response()

    return [
        operations.read("GET", SUB_JOBS, list_sub_jobs),
        operations.read("GET", f"{SUB_JOBS}/actions/count", count_sub_jobs),
        operations.write("PATCH", f"{SUB_JOBS}/actions/batch-delete", delete_sub_jobs),
        operations.read("GET", f"{JOBS}/{{job_id}}", show_job),
        operations.read("GET", JOBS, list_jobs),
        operations.read("GET", f"{JOBS}/{{job_id}}/timeline", show_timeline),
    ]


def _sub_jobs_wanted(request: Request, job_types: frozenset[JobType]) -> SubJobFilter:
    status = choice(request, "status", SubJobStatus)
    return SubJobFilter(job_types=job_types, status=status, job_id=text(request, "job_id", most=128))
