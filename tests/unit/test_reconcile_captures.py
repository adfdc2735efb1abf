"""Reconciliation of captures: those of jobs that have ended go, all others are let be."""

import pytest

from darkroom.domain.chores import Problem
from darkroom.domain.ids import JobId, ServerId
from darkroom.domain.jobs import JobType, SubJobStatus
from darkroom.workflows.reconcile_captures import Captures
from house import World


def reconcile(world: World) -> list[Problem]:
    return world.run(Captures(world.tools).reconcile())


def captured(world: World, status: SubJobStatus) -> tuple[ServerId, JobId]:
    """Return the machine and the name of a capture whose job is in that state."""
    key, job = world.server(), world.job(status, job_type=JobType.CREATE_SERVER_IMAGE)
    world.run(world.compute.snapshot(key, job.id))
    return key, job.id


@pytest.mark.parametrize("status", [SubJobStatus.SUCCESS, SubJobStatus.FAILED])
def test_what_is_left_of_a_job_that_has_ended_is_removed_and_told_of(world: World, status: SubJobStatus) -> None:
    key, _ = captured(world, status)
    assert reconcile(world) == []
    assert world.run(world.compute.captures()) == []
    assert world.kinds(key)[-1] == "capture.orphan_removed"
    assert world.machine_keys() == {key}


@pytest.mark.parametrize("status", [SubJobStatus.RUNNING, SubJobStatus.ABNORMAL])
def test_what_a_job_works_with_or_could_not_undo_is_let_be(world: World, status: SubJobStatus) -> None:
    capture = captured(world, status)
    assert reconcile(world) == []
    assert world.run(world.compute.captures()) == [capture]


def test_what_the_records_know_nothing_of_is_let_be(world: World) -> None:
    key, stranger = world.server(), JobId(world.snowflakes.mint())
    world.run(world.compute.snapshot(key, stranger))
    assert reconcile(world) == []
    assert world.run(world.compute.captures()) == [(key, stranger)]


def test_one_that_cannot_be_removed_is_told_and_keeps_no_other(world: World) -> None:
    (key, capture), _ = captured(world, SubJobStatus.FAILED), captured(world, SubJobStatus.FAILED)
    world.fault("discard", "SnapshotFailed", only=key)
    (problem,) = reconcile(world)
    assert problem.resource_id == key
    assert world.run(world.compute.captures()) == [(key, capture)]


def test_a_fault_that_nobody_foresaw_keeps_no_other_from_being_removed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    (key, capture), _ = captured(world, SubJobStatus.FAILED), captured(world, SubJobStatus.FAILED)
    discard = world.compute.discard

    async def fails(machine: ServerId, job: JobId) -> None:
        if machine == key:
            raise OSError("Directory not empty")
        await discard(machine, job)

    monkeypatch.setattr(world.compute, "discard", fails)
    (problem,) = reconcile(world)
    assert (problem.resource_id, problem.problem) == (key, "OSError: Directory not empty")
    assert world.run(world.compute.captures()) == [(key, capture)]
