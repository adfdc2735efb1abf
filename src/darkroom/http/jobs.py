"""Routes of jobs and sub-jobs (contract sections 3.1 to 3.5), and what is beside the contract."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from darkroom.domain.accounts import Caller
from darkroom.domain.jobs import Job, JobStatus, JobType, SubJobFilter, SubJobStatus
from darkroom.http.answers import JSON, encode
from darkroom.http.operations import Operations
from darkroom.http.parameters import ID_LIMIT, PAGE, Choice, Choices, Text, page_of
from darkroom.http.requests import decode, once_of, path_id, project_of, wait_of
from darkroom.services.jobs import Jobs
from darkroom.services.retries import Retries
from darkroom.services.versions import Versions
from darkroom.wire import jobs as wire
from darkroom.wire.servers import JobAccepted, unique

JOBS = "/v1/{project_id}/image-server-jobs"
SUB_JOBS = "/v1/{project_id}/image-server-sub-jobs"

JOB_TYPE = Choice("job_type", JobType, mandatory=True, meaning="Must be there; an empty value selects all types.")
JOB_TYPES = Choices("job_type", JobType, meaning="Types divided by commas; without it, all.")
STATUS = Choice("status", JobStatus)
SUB_JOB_STATUS = Choice("status", SubJobStatus)
JOB_ID = Text("job_id", ID_LIMIT, meaning="The job that they belong to.")


def routes(operations: Operations, jobs: Jobs, versions: Versions, retries: Retries) -> list[BaseRoute]:
    async def show_job(caller: Caller, request: Request) -> Response:
        """ShowImageJob: one job with its sub-jobs; `Prefer: wait=N` holds the answer until it changes."""
        version = await versions.show(caller, project_of(request), path_id(request, "job_id"))
        known, wait, applied = request.headers.get("if-none-match"), wait_of(request), {}
        if wait and known in (None, version.tag):
            version = await versions.after(version, within=wait)
            applied = {"preference-applied": f"wait={wait}"}
        if known == version.tag:
            return Response(status_code=304, headers={"etag": version.tag})
        return JSON(msgspec.Raw(version.body), headers={"etag": version.tag, **applied})

    async def list_jobs(caller: Caller, request: Request) -> Response:
        """ListImageJobs: jobs of one type, newest first, without their sub-jobs."""
        count, found = await jobs.page(
            caller,
            project_of(request),
            job_type=JOB_TYPE.read(request),
            status=STATUS.read(request),
            server_id="",
            **page_of(request),
        )
        return JSON(wire.ImageJobs(count, [wire.job_info(job) for job in found]))

    async def list_sub_jobs(caller: Caller, request: Request) -> Response:
        """ListImageSubJobs: sub-jobs of one type, newest first."""
        job_type = JOB_TYPE.read(request)
        matching = _sub_jobs_wanted(request, frozenset({job_type} if job_type else ()))
        count, found = await jobs.sub_jobs_page(caller, project_of(request), matching, **page_of(request))
        return JSON(wire.ImageSubJobs(count, [wire.sub_job(sub_job) for sub_job in found]))

    async def count_sub_jobs(caller: Caller, request: Request) -> Response:
        """CountImageSubJobs: how many there are of some types, or of all."""
        matching = _sub_jobs_wanted(request, JOB_TYPES.read(request))
        return JSON(wire.Count(await jobs.count_sub_jobs(caller, project_of(request), matching)))

    async def delete_sub_jobs(caller: Caller, request: Request, body: bytes) -> Response:
        """BatchDeleteImageSubJobs: removes ended ones from the history."""
        wanted = decode(request, body, wire.BatchDeleteImageSubJobs, {})
        unique("items", wanted.items)
        await jobs.delete_sub_jobs(caller, project_of(request), wanted.items)
        return Response()

    async def cancel_job(caller: Caller, request: Request) -> Response:
        """Have a job cancelled, and what it has done undone."""
        await jobs.cancel(caller, project_of(request), path_id(request, "job_id"))
        return Response(status_code=202)

    async def retry_job(caller: Caller, request: Request) -> Response:
        """Start a failed job anew, as a new job."""
        once = once_of(request, b"")
        job_id = await retries.retry(caller, project_of(request), path_id(request, "job_id"), once)
        return JSON(JobAccepted(job_id))

    one = f"{JOBS}/{{job_id}}"
    sub_jobs_wanted = (SUB_JOB_STATUS, JOB_ID)
    return [
        operations.read("GET", one, show_job, answer=wire.ImageJob),
        operations.read("GET", JOBS, list_jobs, parameters=(JOB_TYPE, STATUS, *PAGE), answer=wire.ImageJobs),
        operations.read("POST", f"{one}/actions/cancel", cancel_job, status=202),
        operations.read("POST", f"{one}/actions/retry", retry_job, answer=JobAccepted),
        operations.read(
            "GET", SUB_JOBS, list_sub_jobs, parameters=(JOB_TYPE, *sub_jobs_wanted, *PAGE), answer=wire.ImageSubJobs
        ),
        operations.read(
            "GET",
            f"{SUB_JOBS}/actions/count",
            count_sub_jobs,
            parameters=(JOB_TYPES, *sub_jobs_wanted),
            answer=wire.Count,
        ),
        operations.write(
            "PATCH", f"{SUB_JOBS}/actions/batch-delete", delete_sub_jobs, body=wire.BatchDeleteImageSubJobs
        ),
    ]


def render(job: Job) -> bytes:
    """Return a job as the JSON of its answer."""
    return encode(wire.job(job))


def _sub_jobs_wanted(request: Request, job_types: frozenset[JobType]) -> SubJobFilter:
    return SubJobFilter(job_types=job_types, status=SUB_JOB_STATUS.read(request), job_id=JOB_ID.read(request))
