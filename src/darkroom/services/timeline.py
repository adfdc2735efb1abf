"""The timeline of a job: what its steps did and when, what is still to come, and how long that may take."""

from collections.abc import Iterable, Mapping

import msgspec

from darkroom.domain.accounts import Caller
from darkroom.domain.ids import ProjectId
from darkroom.domain.jobs import FINAL, Job, SubJob, SubJobStatus
from darkroom.domain.timeline import Phase, StepRecord, place_in_queue, timeline
from darkroom.domain.times import Clock
from darkroom.store.store import Store
from darkroom.workflows.engine import plan_of
from darkroom.workflows.plan import Plan

#: The sub-jobs of which something is undone, or soon will be.
_GOING_BACK = (SubJobStatus.ROLLBACK, SubJobStatus.ABORTING)


class StepAhead(msgspec.Struct, frozen=True, kw_only=True):
    """A step that is still to come, and the milliseconds that it usually takes, if that is known."""

    name: str
    phase: Phase
    usual_ms: int | None = None


class SubJobTimeline(msgspec.Struct, frozen=True, kw_only=True):
    """The steps of one sub-job in the order they began, and those to come."""

    sub_job: SubJob
    steps: list[StepRecord]
    ahead: list[StepAhead]


class JobTimeline(msgspec.Struct, frozen=True, kw_only=True):
    """A job's timeline as it is at a time, `now`, in milliseconds.

    `place` is that of a job that waits for room, from 1, else None. `seconds_left` is an estimate for the whole job,
    None where there is none.
    """

    job: Job
    now: int
    place: int | None
    sub_jobs: list[SubJobTimeline]
    seconds_left: float | None


class Timelines:
    """Tells the timelines of jobs, from their events."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    async def show(self, caller: Caller, project_id: ProjectId, job_id: str) -> JobTimeline:
        """Return the timeline of a job. Raises JobNotFound, also for another project's."""
        caller.must("workspace:images:getImageJob", project_id)
        job = await self._store.jobs.get(project_id, job_id)
        events = await self._store.events.of_job(job.id)
        usual: Mapping[str, int] = {}
        if not job.is_final:
            usual = await self._store.events.usual_durations(job.project_id, job.job_type)
        now, steps = self._clock(), timeline(events)
        plan = plan_of(job)
        sub_jobs = [_of_sub_job(sub_job, steps, plan, usual) for sub_job in job.sub_jobs]
        place = None if job.is_final else place_in_queue(events)
        left = None if job.is_final or place else _seconds_left(sub_jobs, now)
        return JobTimeline(job=job, now=now, place=place, sub_jobs=sub_jobs, seconds_left=left)


def _of_sub_job(
    sub_job: SubJob, steps: Iterable[StepRecord], plan: Plan | None, usual: Mapping[str, int]
) -> SubJobTimeline:
    own = [step for step in steps if step.sub_job_id == sub_job.id]
    return SubJobTimeline(sub_job=sub_job, steps=own, ahead=steps_ahead(sub_job, own, plan, usual) if plan else [])


def steps_ahead(sub_job: SubJob, steps: Iterable[StepRecord], plan: Plan, usual: Mapping[str, int]) -> list[StepAhead]:
    """Return what of the plan is still to come: its other steps or, where it goes back, the undos of those begun."""
    begun = {(step.phase, step.name) for step in steps}
    if sub_job.status in FINAL:
        return []
    if sub_job.status in _GOING_BACK:
        undos = [step.name for step in reversed(plan.steps) if step.undo and ("do", step.name) in begun]
        return [StepAhead(name=name, phase="undo") for name in undos if ("undo", name) not in begun]
    return [
        StepAhead(name=step.name, phase="do", usual_ms=usual.get(step.name))
        for step in plan.steps
        if ("do", step.name) not in begun
    ]


def _seconds_left(sub_jobs: Iterable[SubJobTimeline], now: int) -> float | None:
    """Return how long all that runs and is to come will take; None if of one of these that is not known."""
    parts: list[float | None] = []
    for each in sub_jobs:
        parts += [step.seconds_left(now) for step in each.steps if step.status == "RUNNING"]
        parts += [None if step.usual_ms is None else step.usual_ms / 1000 for step in each.ahead]
    known = [part for part in parts if part is not None]
    return round(sum(known), 1) if len(known) == len(parts) else None
