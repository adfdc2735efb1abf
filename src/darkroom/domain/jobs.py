"""Jobs and sub-jobs: their kinds, their states, and which state may follow which."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Final

import msgspec

from darkroom.domain.ids import JobId, ProjectId, SubJobId


class JobType(StrEnum):
    CREATE_SERVER = "CREATE_SERVER"  #: make an image server
    CREATE_SERVER_IMAGE = "CREATE_SERVER_IMAGE"  #: build an image from an image server
    DELETE_SERVER = "DELETE_SERVER"  #: delete image servers


class JobStatus(StrEnum):
    WAITING = "WAITING"  #: part of the contract; Darkroom's jobs are RUNNING from the moment they are accepted
    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"


class SubJobStatus(StrEnum):
    WAITING = "WAITING"  #: accepted, no worker has begun it
    RUNNING = "RUNNING"  #: a worker is in one of its steps
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    ABNORMAL = "ABNORMAL"  #: an undo could not finish: something may be left behind
    ROLLBACK = "ROLLBACK"  #: a step failed or it was cancelled; earlier steps are being undone
    ABORTING = "ABORTING"  #: cancellation asked for; waits for the next safe point


_S = SubJobStatus
MOVES: Final[Mapping[SubJobStatus, frozenset[SubJobStatus]]] = {
    _S.WAITING: frozenset({_S.RUNNING, _S.ABORTING, _S.FAILED}),
    _S.RUNNING: frozenset({_S.SUCCESS, _S.ROLLBACK, _S.ABORTING}),
    _S.ABORTING: frozenset({_S.ROLLBACK, _S.FAILED, _S.SUCCESS}),
    _S.ROLLBACK: frozenset({_S.FAILED, _S.ABNORMAL}),
    _S.ABNORMAL: frozenset({_S.ROLLBACK, _S.FAILED}),
    _S.SUCCESS: frozenset(),
    _S.FAILED: frozenset(),
}
#: No step of these will run any more.
FINAL: Final = frozenset({_S.SUCCESS, _S.FAILED, _S.ABNORMAL})
#: May be removed from the history (contract section 3.5).
DELETABLE: Final = frozenset({_S.SUCCESS, _S.FAILED})


class SubJob(msgspec.Struct, frozen=True, kw_only=True):
    """One resource's share of a job. Times in milliseconds; `end_time` is None until it has ended."""

    id: SubJobId
    job_id: JobId
    project_id: ProjectId
    job_type: JobType
    status: SubJobStatus
    resource_id: str
    resource_name: str
    begin_time: int
    end_time: int | None = None
    error_code: str = ""
    error_message: str = ""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """An asynchronous piece of work. `begin_time` is when it was accepted; `order` is what was asked for.

    `plan` is the version of the plan by which it is carried out, also by later versions of Darkroom.
    """

    id: JobId
    project_id: ProjectId
    job_type: JobType
    status: JobStatus
    begin_time: int
    sub_jobs_total: int
    order: dict[str, Any]
    plan: int = 1
    end_time: int | None = None
    sub_jobs: tuple[SubJob, ...] = ()

    @property
    def is_final(self) -> bool:
        return self.status in (JobStatus.SUCCESS, JobStatus.FAILED)

    @property
    def is_settled(self) -> bool:
        """Whether it has ended and left nothing to undo: it stays as it is, but for what is removed of it."""
        return self.is_final and all(sub_job.status in DELETABLE for sub_job in self.sub_jobs)


class SubJobFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which sub-jobs are wanted; what is empty or None does not count."""

    job_types: frozenset[JobType] = frozenset()
    status: SubJobStatus | None = None
    job_id: str = ""


def outcome(sub_jobs: Iterable[SubJobStatus]) -> JobStatus:
    """Return the status of a job from those of its sub-jobs (contract section 11, decision 8)."""
    statuses = list(sub_jobs)
    if any(status not in FINAL for status in statuses):
        return JobStatus.RUNNING
    return JobStatus.SUCCESS if all(status is _S.SUCCESS for status in statuses) else JobStatus.FAILED
