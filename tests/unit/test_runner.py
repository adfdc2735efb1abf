"""The runner: how a step ended is told once, with what is recorded next, also by a process that was not there."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from darkroom.domain.jobs import JobType, SubJobStatus
from darkroom.errors import Cancelled, JobFault
from darkroom.workflows.journal import JobLost
from darkroom.workflows.plan import Detail, Ending, Plan, Step, Work, cleaning
from darkroom.workflows.runner import Fault, Runner, StepResult
from house import World


async def nothing(work: Work) -> Detail:
    return {"of": work.sub_job.resource_name}


async def fail(_: Work) -> None:
    raise JobFault("It broke.")


async def end(_: Work) -> Ending:
    return lambda tx, at: None


FIRST, LAST, BROKEN = Step("first", nothing), Step("last", nothing), Step("broken", fail, undo=nothing)
PLAN = Plan(JobType.CREATE_SERVER, steps=(FIRST, LAST, BROKEN), succeed=end, fail=end)


class Running:
    """A job that one process after the other runs."""

    def __init__(self, world: World) -> None:
        self.world, self.job = world, world.job(SubJobStatus.WAITING)
        self.runner = self.claim("first")

    def claim(self, claim: str, plan: Plan = PLAN, attempt: str = "") -> Runner:
        self.world.write(lambda tx: tx.jobs.claim(self.job.id, claim))
        return Runner(self.world.tools, plan, self.job, self.job.sub_jobs[0], claim, attempt)

    def cancel(self) -> None:
        self.world.write(lambda tx: tx.jobs.cancel(self.job, self.world.clock()))

    def step(self, do: Callable[..., Awaitable[StepResult]], *arguments: Any) -> StepResult:
        """Do what the engine does: carry out a step, keep its result, go on after it. It takes a second."""
        self.world.clock.passes(1000)
        result: StepResult = self.world.run(do(*arguments))
        self.runner.goes_on_after(result)
        return result

    def told(self) -> list[str]:
        """Return what the events tell of the sub-job and its steps, in their order."""
        sql = "SELECT kind, data FROM events WHERE job_id = ? AND sub_job_id IS NOT NULL ORDER BY seq"
        found = [(kind, json.loads(data)) for kind, data in self.world.rows(sql, int(self.job.id))]
        return [
            " ".join(filter(None, (data.get("name"), kind.split(".")[1], data.get("status")))) for kind, data in found
        ]


@pytest.fixture
def running(world: World) -> Running:
    return Running(world)


def test_the_end_of_a_step_is_told_as_the_next_one_begins(running: Running) -> None:
    running.step(running.runner.do, FIRST)
    assert running.told() == ["moved RUNNING", "first started"]
    ended_at = running.world.clock()
    running.step(running.runner.do, LAST)
    assert running.told() == ["moved RUNNING", "first started", "first ended SUCCESS", "last started"]
    ((at, data),) = running.world.rows("SELECT at, data FROM events WHERE kind = 'step.ended'")
    assert at == ended_at
    assert json.loads(data)["detail"] == {"of": "name"}


def test_the_end_of_the_last_step_is_told_with_the_end_of_the_sub_job(running: Running) -> None:
    running.step(running.runner.do, FIRST)
    running.step(running.runner.succeed)
    assert running.told()[1:] == ["first started", "first ended SUCCESS", "moved SUCCESS"]


def test_that_a_step_failed_is_told_before_it_is_told_that_the_sub_job_is_undone(running: Running) -> None:
    fault = running.step(running.runner.do, BROKEN)["fault"]
    assert fault is not None
    running.step(running.runner.roll_back, fault)
    running.step(running.runner.undo, BROKEN)
    running.step(running.runner.fail, True)
    assert running.told()[1:] == [
        "broken started",
        "broken ended FAILED",
        "moved ROLLBACK",
        "broken started",
        "broken ended SUCCESS",
        "moved FAILED",
    ]


def test_a_process_that_goes_on_tells_the_end_that_the_one_before_it_could_not_tell(running: Running) -> None:
    kept = running.step(running.runner.do, FIRST)
    running.runner = running.claim("second")
    running.runner.goes_on_after(kept)
    running.step(running.runner.do, LAST)
    assert running.told()[1:] == ["first started", "first ended SUCCESS", "last started"]


def test_an_end_that_has_been_told_is_not_told_again(running: Running) -> None:
    kept = running.step(running.runner.do, FIRST)
    running.step(running.runner.do, LAST)
    running.runner = running.claim("second")
    running.runner.goes_on_after(kept)
    running.step(running.runner.do, LAST)
    running.step(running.runner.succeed)
    assert running.told()[1:] == [
        "first started",
        "first ended SUCCESS",
        "last started",
        "last resumed",
        "last ended SUCCESS",
        "moved SUCCESS",
    ]


def test_an_end_that_a_failing_transaction_did_not_tell_is_told_by_the_next_one(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.step(running.runner.do, FIRST)

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("the transaction breaks off")

    monkeypatch.setattr("darkroom.store.job_writes.JobWrites.move", broken)
    with pytest.raises(RuntimeError):
        running.step(running.runner.roll_back, Fault(code="c", message="m"))
    monkeypatch.undo()
    assert running.told()[1:] == ["first started"]
    running.step(running.runner.do, LAST)
    assert running.told()[1:] == ["first started", "first ended SUCCESS", "last started"]


def test_a_result_that_an_earlier_version_kept_tells_no_end(running: Running) -> None:
    running.runner.goes_on_after(StepResult(fault=None))
    running.step(running.runner.do, LAST)
    assert running.told() == ["moved RUNNING", "last started"]


def test_who_has_lost_the_job_tells_nothing_any_more(running: Running) -> None:
    running.step(running.runner.do, FIRST)
    running.claim("another worker's")
    with pytest.raises(JobLost, match=running.job.id):
        running.step(running.runner.do, LAST)
    assert running.told()[1:] == ["first started"]


def test_a_job_that_is_cancelled_between_two_steps_does_not_begin_the_second(running: Running) -> None:
    running.step(running.runner.do, FIRST)
    running.cancel()
    fault = running.step(running.runner.do, LAST)["fault"]
    assert fault is not None
    assert fault["code"] == Cancelled.code
    running.step(running.runner.roll_back, fault)
    assert running.told()[1:] == ["first started", "moved ABORTING", "first ended SUCCESS", "moved ROLLBACK"]


def test_a_step_in_which_a_process_died_is_told_to_have_failed_where_the_job_is_cancelled(running: Running) -> None:
    running.step(running.runner.do, FIRST)
    running.cancel()
    running.runner = running.claim("second")
    fault = running.step(running.runner.do, FIRST)["fault"]
    assert fault is not None
    running.step(running.runner.roll_back, fault)
    assert running.told()[1:] == ["first started", "moved ABORTING", "first ended FAILED", "moved ROLLBACK"]


def test_each_cleaning_tells_of_its_steps_anew(running: Running) -> None:
    fault = running.step(running.runner.do, BROKEN)["fault"]
    assert fault is not None
    running.step(running.runner.roll_back, fault)
    running.step(running.runner.undo, BROKEN)
    running.step(running.runner.fail, False)
    before = len(running.told())
    for attempt in ("one", "two"):
        running.runner = running.claim(attempt, cleaning(PLAN), attempt)
        running.step(running.runner.undo, BROKEN)
        running.step(running.runner.fail, False)
    cleaned = ["broken started", "broken ended SUCCESS"]
    assert [line for line in running.told()[before:] if "moved" not in line] == [*cleaned, *cleaned]
