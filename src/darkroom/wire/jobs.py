"""Jobs on the wire (contract sections 2.11 and 3.1 to 3.5): fields in the order of the seed page."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from darkroom.domain import jobs as domain
from darkroom.wire.servers import Id
from darkroom.wire.times import Timestamp, spell


class ImageJobResourceInfo(msgspec.Struct):
    resource_id: str
    resource_name: str


class ImageJobExecuteInfo(msgspec.Struct):
    error_code: str
    error_message: str


class ImageJobDetailInfo(msgspec.Struct, kw_only=True):
    """A sub-job."""

    id: Id
    job_type: domain.JobType
    job_resource_info: ImageJobResourceInfo
    begin_time: Timestamp
    end_time: Timestamp | UnsetType = UNSET
    status: domain.SubJobStatus
    job_execute_info: ImageJobExecuteInfo
    project_id: str
    job_id: str


class ImageJobInfo(msgspec.Struct, kw_only=True):
    """A job in a list, without its sub-jobs."""

    id: Id
    job_type: domain.JobType
    begin_time: Timestamp
    end_time: Timestamp | UnsetType = UNSET
    status: domain.JobStatus
    sub_jobs_total: Annotated[int, Meta(ge=0)]


class ImageJob(ImageJobInfo, kw_only=True):
    """A job with its sub-jobs: the answer of ShowImageJob."""

    sub_jobs: list[ImageJobDetailInfo]


class ImageJobs(msgspec.Struct):
    """A page of jobs; `count` is how many there are in all."""

    count: int
    items: list[ImageJobInfo]


class ImageSubJobs(msgspec.Struct):
    """A page of sub-jobs; `count` is how many there are in all."""

    count: int
    items: list[ImageJobDetailInfo]


class Count(msgspec.Struct):
    count: int


class BatchDeleteImageSubJobs(msgspec.Struct):
    items: Annotated[list[Id], Meta(min_length=1, max_length=20)]


def job(found: domain.Job) -> ImageJob:
    return ImageJob(
        id=found.id,
        job_type=found.job_type,
        begin_time=spell(found.begin_time),
        end_time=_spell_end(found.end_time),
        status=found.status,
        sub_jobs_total=found.sub_jobs_total,
        sub_jobs=list(map(sub_job, found.sub_jobs)),
    )


def job_info(found: domain.Job) -> ImageJobInfo:
    return ImageJobInfo(
        id=found.id,
        job_type=found.job_type,
        begin_time=spell(found.begin_time),
        end_time=_spell_end(found.end_time),
        status=found.status,
        sub_jobs_total=found.sub_jobs_total,
    )


def sub_job(found: domain.SubJob) -> ImageJobDetailInfo:
    return ImageJobDetailInfo(
        id=found.id,
        job_type=found.job_type,
        job_resource_info=ImageJobResourceInfo(found.resource_id, found.resource_name),
        begin_time=spell(found.begin_time),
        end_time=_spell_end(found.end_time),
        status=found.status,
        job_execute_info=ImageJobExecuteInfo(found.error_code, found.error_message),
        project_id=found.project_id,
        job_id=found.job_id,
    )


def _spell_end(end_time: int | None) -> str | UnsetType:
    """A time not known yet is left out: any text in its place would not be read as a time (section 2.5)."""
    return UNSET if end_time is None else spell(end_time)
