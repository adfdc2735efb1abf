"""A job's timeline, folded from events: steps, runs, how far they are, what is to come, the place in the queue."""

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from darkroom.domain.events import Event
from darkroom.domain.ids import JobId, SubJobId
from darkroom.domain.jobs import Job, JobType, SubJobStatus
from darkroom.domain.limits import Room, Rooms
from darkroom.domain.timeline import StepRecord, percent, place_in_queue, seconds_left, timeline
from darkroom.services.timeline import steps_ahead
from darkroom.store.transaction import Transaction
from darkroom.workflows import create_server
from darkroom.workflows.admission import admit
from darkroom.workflows.journal import JobLost, Journal
from darkroom.workflows.progress import INTERVAL_MS, ProgressWriter
from house import PROJECT, World


def told(*events: tuple[str, int, dict[str, Any]], name: str = "flatten", phase: str = "do") -> list[StepRecord]:
    """Fold events of one step: what happened, when, with which data."""
    made = [
        Event(seq=seq, at=at, kind=f"step.{what}", job_id=JobId("1"), sub_job_id=SubJobId("2"), resource_id="",
              data={"name": name, "phase": phase, **data})
        for seq, (what, at, data) in enumerate(events)
    ]  # fmt: skip
    return timeline(made)


# What is told of a step


def test_a_step_that_ended_tells_how_long_it_took_and_nothing_of_what_is_left() -> None:
    (step,) = told(
        ("started", 1000, {"seconds_left": 2.0}),
        ("progress", 2000, {"done": 5, "total": 10}),
        ("ended", 4000, {"status": "SUCCESS", "detail": {"size": 10}}),
    )
    assert (step.status, step.duration_ms(9999), step.runs, step.detail) == ("SUCCESS", 3000, 1, {"size": 10})
    assert (step.percent, step.seconds_left(9999)) == (50, None)


def test_a_step_that_runs_is_estimated_by_its_pace_or_else_by_what_is_usual() -> None:
    (step,) = told(("started", 1000, {"seconds_left": 10.0}))
    assert (step.percent, step.seconds_left(3000)) == (None, 8.0)
    assert step.seconds_left(11_000) is None, "what takes longer than usual may take any time"
    (step,) = told(("started", 1000, {"seconds_left": 10.0}), ("progress", 2000, {"done": 25, "total": 100}))
    assert (step.percent, step.seconds_left(3000)) == (25, 6.0)
    (step,) = told(("started", 1000, {}), ("progress", 2000, {"done": 25, "total": 0}))
    assert (step.percent, step.seconds_left(3000)) == (None, None)


def test_a_step_that_was_begun_again_is_estimated_by_the_last_time_and_took_as_long_as_it_took() -> None:
    (step,) = told(
        ("started", 0, {}),
        ("progress", 1000, {"done": 90, "total": 100}),
        ("resumed", 60_000, {}),
        ("progress", 61_000, {"done": 10, "total": 100}),
    )
    assert (step.runs, step.percent, step.duration_ms(62_000)) == (2, 10, 62_000)
    assert step.seconds_left(62_000) == 18.0


def test_a_step_that_is_begun_again_knows_no_more_how_far_it_was() -> None:
    (step,) = told(("started", 0, {}), ("progress", 1000, {"done": 90, "total": 100}), ("resumed", 60_000, {}))
    assert (step.percent, step.seconds_left(61_000)) == (None, None)


def test_an_undo_that_is_done_once_more_counts_as_another_run() -> None:
    failed = {"status": "FAILED", "error": "busy"}
    (step,) = told(("started", 0, {}), ("ended", 1, failed), ("started", 50, {}), phase="undo")
    assert (step.runs, step.status, step.begin_time, step.error) == (2, "RUNNING", 50, "")


def test_what_is_told_of_a_step_that_never_began_is_passed_over() -> None:
    assert told(("progress", 0, {"done": 1, "total": 2}), ("resumed", 1, {}), ("ended", 2, {"status": "FAILED"})) == []


@pytest.mark.parametrize(
    ("done", "total", "share"), [(0, 0, None), (5, 0, None), (0, 10, 0), (9, 10, 90), (11, 10, 100), (-1, 10, 0)]
)
def test_percent(done: int, total: int, share: int | None) -> None:
    assert percent(done, total) == share


def test_the_first_percents_do_not_tell_the_pace() -> None:
    assert seconds_left(1000, 1, 100, usual_ms=None) is None
    assert seconds_left(1000, 1, 100, usual_ms=5000) == 4.0
    assert seconds_left(1000, 100, 100, usual_ms=5000) == 0.0


# What is to come


def ahead(world: World, status: SubJobStatus, *begun: tuple[str, str]) -> list[tuple[str, str]]:
    steps = [record for phase, name in begun for record in told(("started", 0, {}), name=name, phase=phase)]
    found = steps_ahead(world.job(status).sub_jobs[0], steps, create_server.PLAN, {"log in": 500})
    assert [each.usual_ms for each in found if each.name == "log in"] in ([500], [])
    return [(each.phase, each.name) for each in found]


def test_the_rest_of_the_plan_is_to_come_while_all_goes_well(world: World) -> None:
    begun = [("do", "check host"), ("do", "boot machine")]
    rest = ["await guest", "admit account", "log in", "attach applications"]
    assert ahead(world, SubJobStatus.RUNNING, *begun) == [("do", name) for name in rest]


def test_the_undos_of_what_was_begun_are_to_come_once_it_failed_and_nothing_once_it_ended(world: World) -> None:
    begun = [("do", "check host"), ("do", "boot machine"), ("do", "await guest")]
    job = world.job(SubJobStatus.RUNNING)
    world.write(lambda tx: tx.jobs.move(job.sub_jobs[0], SubJobStatus.ROLLBACK, 1))
    (going_back,) = world.run(world.store.jobs.get(PROJECT, job.id)).sub_jobs
    steps = [record for phase, name in begun for record in told(("started", 0, {}), name=name, phase=phase)]
    assert [each.name for each in steps_ahead(going_back, steps, create_server.PLAN, {})] == ["boot machine"]
    undone = told(("started", 0, {}), name="boot machine", phase="undo")
    assert steps_ahead(going_back, [*steps, *undone], create_server.PLAN, {}) == []
    assert ahead(world, SubJobStatus.FAILED, *begun) == []


# How long it usually takes


def ran(world: World, seconds: float, status: SubJobStatus = SubJobStatus.SUCCESS, ended: str = "SUCCESS") -> None:
    """Add a job in which the step `flatten` took so long."""
    job = world.job(status)
    at, more = world.clock(), {"job_id": job.id, "sub_job_id": job.sub_jobs[0].id}

    def tell(tx: Transaction) -> None:
        for phase in ("do", "undo"):
            data = {"name": "flatten", "phase": phase}
            took = round(seconds * 1000) if phase == "do" else 1
            tx.events.add("step.started", at, PROJECT, data=data, **more)
            tx.events.add("step.ended", at + took, PROJECT, data={**data, "status": ended}, **more)

    world.write(tell)


def usual(world: World, job_type: JobType = JobType.CREATE_SERVER) -> dict[str, int]:
    return dict(world.run(world.store.events.usual_durations(PROJECT, job_type)))


def test_the_median_of_what_went_well_is_usual(world: World) -> None:
    assert usual(world) == {}
    for seconds in (1, 2, 90):
        ran(world, seconds)
    ran(world, 500, SubJobStatus.FAILED)
    ran(world, 500, ended="FAILED")
    assert usual(world) == {"flatten": 2000}
    assert usual(world, JobType.DELETE_SERVER) == {}
    assert world.run(world.store.events.usual_durations("b" * 32, JobType.CREATE_SERVER)) == {}, "another project's"


def test_only_the_latest_jobs_tell_what_is_usual(world: World) -> None:
    for seconds in [50] * 25 + [1] * 20:
        ran(world, seconds)
    assert usual(world) == {"flatten": 1000}


# The place in the queue


def _waiting(world: World) -> Job:
    """Add a job that waits for room."""
    job = world.job(SubJobStatus.WAITING)
    world.write(lambda tx: tx.connection.exec_driver_sql(f"UPDATE jobs SET admitted = 0 WHERE id = {job.id}"))
    return job


def places(world: World, jobs: list[Job]) -> list[int | None]:
    return [place_in_queue(world.run(world.store.events.of_job(job.id))) for job in jobs]


def let_in(world: World, room: int, newcomer: Job | None = None) -> int:
    rooms = Rooms(machines=Room(in_all=room))
    new = newcomer.id if newcomer else None
    admitted = world.write(lambda tx: admit(tx, rooms, world.clock(), [JobType.CREATE_SERVER], new))
    return len(admitted)


def test_a_job_that_waits_is_told_its_place_and_moves_up_as_others_begin(world: World) -> None:
    full, jobs = world.job(SubJobStatus.RUNNING), [_waiting(world) for _ in range(3)]
    for job in jobs:
        assert let_in(world, 1, job) == 0
    assert places(world, jobs) == [1, 2, 3]
    before = len(world.rows("SELECT 1 FROM events WHERE kind = 'job.waiting'"))
    assert let_in(world, 1) == 0
    assert len(world.rows("SELECT 1 FROM events WHERE kind = 'job.waiting'")) == before, "nothing has changed"
    assert let_in(world, 2) == 1
    assert places(world, [*jobs, full]) == [None, 1, 2, None]


# Progress


class Notes:
    def __init__(self) -> None:
        self.now = 10_000
        self.written: list[tuple[int, dict[str, Any]]] = []

    async def write(self, data: dict[str, Any], at: int) -> None:
        self.written.append((at, data))


def test_progress_is_written_once_a_second_however_often_it_is_told(world: World) -> None:
    notes = Notes()

    async def work() -> None:
        progress = ProgressWriter(notes.write, lambda: notes.now, usual_ms=8000)
        for number in range(100):
            notes.now = 10_000 + number * 100
            progress(number, 100)
            await _settle()
        await progress.end()
        notes.now += 5000
        progress(100, 100)
        await _settle()

    world.run(work())
    times = [at for at, _ in notes.written]
    assert len(times) == 10
    assert all(later - sooner >= INTERVAL_MS for sooner, later in pairwise(times))
    assert notes.written[0][1] == {"done": 0, "total": 100, "percent": 0, "seconds_left": 8.0}
    assert notes.written[5][1] == {"done": 50, "total": 100, "percent": 50, "seconds_left": 5.0}


async def _settle() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


def test_progress_of_a_job_that_another_worker_has_is_not_recorded(world: World) -> None:
    job = world.job(SubJobStatus.RUNNING)
    world.write(lambda tx: tx.jobs.claim(job.id, "mine"))
    journal = Journal(world.tools, job, job.sub_jobs[0], "mine", "")
    world.run(journal.progress("flatten", "do", {"done": 1, "total": 2}, 1))
    world.write(lambda tx: tx.jobs.claim(job.id, "another's"))
    with pytest.raises(JobLost):
        world.run(journal.progress("flatten", "do", {"done": 2, "total": 2}, 2))
    assert len(world.rows("SELECT 1 FROM events WHERE kind = 'step.progress'")) == 1


def test_a_step_that_is_begun_again_after_a_crash_is_told_of_every_time(world: World) -> None:
    job = world.job(SubJobStatus.RUNNING)
    world.write(lambda tx: tx.jobs.claim(job.id, "mine"))
    journal = Journal(world.tools, job, job.sub_jobs[0], "mine", "")
    for _ in range(3):
        world.run(journal.begin("flatten", "do", 5000))
    (step,) = timeline(world.run(world.store.events.of_job(job.id)))
    assert (step.runs, step.usual_ms) == (3, 5000)
    kinds = [kind for (kind,) in world.rows("SELECT kind FROM events WHERE kind LIKE 'step.%' ORDER BY seq")]
    assert kinds == ["step.started", "step.resumed", "step.resumed"]
