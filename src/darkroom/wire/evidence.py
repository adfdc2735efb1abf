"""What a job did and why it failed, beside the contract."""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from darkroom.domain import timeline as domain
from darkroom.domain.evidence import Evidence
from darkroom.domain.jobs import JobStatus, JobType, SubJob
from darkroom.wire.times import Timestamp, spell


class Progress(msgspec.Struct):
    """Bytes done and in all; 0 in all where that is not known."""

    done: int
    total: int


class Step(msgspec.Struct, kw_only=True):
    """A step as far as it has come; `runs` is how often it was begun, `seconds_left` an estimate."""

    sub_job_id: str
    name: str
    phase: domain.Phase
    status: domain.StepStatus
    begin_time: Timestamp
    end_time: Timestamp | UnsetType = UNSET
    duration_ms: int
    runs: int
    progress: Progress | UnsetType = UNSET
    percent: int | UnsetType = UNSET
    seconds_left: float | UnsetType = UNSET
    detail: Mapping[str, Any] | UnsetType = UNSET
    error: str | UnsetType = UNSET


class StepAhead(msgspec.Struct, kw_only=True):
    """A step that is still to come, and how long it usually takes."""

    sub_job_id: str
    name: str
    phase: domain.Phase
    usual_seconds: float | UnsetType = UNSET


class Timeline(msgspec.Struct, kw_only=True):
    """The steps of a job, in the order in which they began, and those to come."""

    job_id: str
    job_type: JobType
    status: JobStatus
    queue_place: int | UnsetType = UNSET
    seconds_left: float | UnsetType = UNSET
    steps: list[Step]
    ahead: list[StepAhead]


class Failure(msgspec.Struct, kw_only=True):
    """Why a sub-job failed, and what was seen of its machine then.

    `missing` says, by the name of the field, why something could not be seen; `screen` is the path of the picture.
    """

    sub_job_id: str
    resource_id: str
    resource_name: str
    code: str
    message: str
    cure: str
    step: str = ""
    time: Timestamp | UnsetType = UNSET
    causes: list[str] = []
    machine: dict[str, str] = {}
    guest: dict[str, str] = {}
    console: list[str] = []
    screen: str | UnsetType = UNSET
    missing: dict[str, str] = {}
    kept_until: Timestamp | UnsetType = UNSET


class Failures(msgspec.Struct):
    failures: list[Failure]


def step(found: domain.StepRecord, now: int) -> Step:
    return Step(
        sub_job_id=found.sub_job_id,
        name=found.name,
        phase=found.phase,
        status=found.status,
        begin_time=spell(found.begin_time),
        end_time=UNSET if found.end_time is None else spell(found.end_time),
        duration_ms=found.duration_ms(now),
        runs=found.runs,
        progress=Progress(*found.progress) if found.progress else UNSET,
        percent=known(found.percent),
        seconds_left=known(found.seconds_left(now)),
        detail=found.detail or UNSET,
        error=found.error or UNSET,
    )


def failure(sub_job: SubJob, found: Evidence | None, *, cure: str, screen: str, kept_until: int) -> Failure:
    """`screen` is where the picture is, if there is one; `kept_until` in milliseconds, 0 if no machine is kept."""
    told = Failure(
        sub_job_id=sub_job.id,
        resource_id=sub_job.resource_id,
        resource_name=sub_job.resource_name,
        code=sub_job.error_code,
        message=sub_job.error_message,
        cure=cure,
        kept_until=spell(kept_until) if kept_until else UNSET,
    )
    if found is not None:
        told.step, told.time, told.message, told.causes = found.step, spell(found.at), found.message, found.causes
        told.machine, told.guest, told.console, told.missing = found.machine, found.guest, found.console, found.missing
        told.screen = screen if found.screen_size else UNSET
    return told


def known(value: Any) -> Any:
    """Return a value, or what is left out for None."""
    return UNSET if value is None else value
