"""Versions of jobs: kept as long as they are true, and no longer."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from darkroom.domain.jobs import Job, SubJobStatus
from darkroom.errors import Forbidden, JobNotFound, SubJobNotFinal
from darkroom.http.jobs import render
from darkroom.services.versions import BESIDE
from darkroom.store.transaction import Transaction
from house import PROJECT, World, administrator
from watched import Watched

SUCCESS, RUNNING = SubJobStatus.SUCCESS, SubJobStatus.RUNNING


@pytest.fixture
def watched(world: World) -> Watched:
    return Watched(world)


def test_a_job_is_read_once_for_all_who_ask(world: World, watched: Watched) -> None:
    job = world.job()
    first = watched.show(job)
    assert json.loads(first.body)["id"] == job.id
    assert (first.job_id, first.project_id, first.is_final) == (job.id, PROJECT, True)
    assert watched.show(job) is first
    assert watched.reads == 1


def _cancel(job: Job) -> Callable[[Transaction], Any]:
    return lambda tx: tx.jobs.cancel(job, 1)


def _begin(job: Job) -> Callable[[Transaction], Any]:
    return lambda tx: tx.jobs.move(job.sub_jobs[0], RUNNING, 1)


def _succeed(job: Job) -> Callable[[Transaction], Any]:
    return lambda tx: tx.jobs.move(job.sub_jobs[0], SUCCESS, 1)


def _name(job: Job) -> Callable[[Transaction], Any]:
    def name(tx: Transaction) -> None:
        tx.jobs.name_resource(job.sub_jobs[0], "made")
        tx.jobs.move(job.sub_jobs[0], SUCCESS, 1)

    return name


def _clear(job: Job) -> Callable[[Transaction], Any]:
    return lambda tx: tx.jobs.delete_sub_jobs(PROJECT, [job.sub_jobs[0].id], 1)


@pytest.mark.parametrize(
    ("status", "change"),
    [
        (SubJobStatus.WAITING, _begin),
        (RUNNING, _succeed),
        (RUNNING, _name),
        (RUNNING, _cancel),
        (SUCCESS, _clear),
    ],
)
def test_a_changed_job_is_read_again(
    world: World, watched: Watched, status: SubJobStatus, change: Callable[[Job], Callable[[Transaction], Any]]
) -> None:
    job, other = world.job(status), world.job()
    former = watched.show(job)
    watched.show(other)
    world.write(change(job))
    now = watched.show(job)
    assert now.body == render(world.run(world.store.jobs.get(PROJECT, job.id)))
    assert now.tag != former.tag
    assert watched.is_kept(other)


def test_the_end_of_a_job_is_seen(world: World, watched: Watched) -> None:
    job = world.job(RUNNING)
    assert not watched.show(job).is_final
    world.write(_succeed(job))
    world.write(lambda tx: tx.jobs.end(job, 1))
    assert watched.show(job).is_final


def test_a_purged_job_does_not_exist_any_more(world: World, watched: Watched) -> None:
    job = world.job()
    watched.show(job)
    world.write(lambda tx: tx.retention.purge_jobs([job.id]))
    with pytest.raises(JobNotFound, match=job.id):
        watched.show(job)


def test_what_changes_while_it_is_read_is_not_kept(world: World, watched: Watched) -> None:
    job = world.job(RUNNING)
    watched.meanwhile = lambda: world.store.database.write_now(_succeed(job))
    read_before = watched.show(job)
    watched.meanwhile = lambda: None
    assert watched.show(job).body != read_before.body
    assert watched.is_kept(job)


def test_a_change_that_was_refused_changes_nothing(world: World, watched: Watched) -> None:
    job = world.job(RUNNING)
    watched.show(job)
    with pytest.raises(SubJobNotFinal):
        world.write(_clear(job))
    assert watched.is_kept(job)


def test_nothing_is_kept_from_before_a_commit_until_after_it(world: World, watched: Watched) -> None:
    job, other = world.job(RUNNING), world.job()
    watched.show(job)
    during: list[bool] = []
    sa.event.listen(
        world.store.database.engine,
        "commit",
        lambda _: during.extend(watched.is_kept(each) for each in (job, job, other, other)),
    )
    world.write(_succeed(job))
    assert during == [False] * 4
    assert not watched.is_kept(job)
    assert watched.is_kept(job)


def test_a_commit_that_fails_leaves_nothing_behind(world: World, watched: Watched) -> None:
    job = world.job(RUNNING)

    def fail(_: sa.Connection) -> None:
        raise ConnectionError

    sa.event.listen(world.store.database.engine, "commit", fail)
    with pytest.raises(ConnectionError):
        world.write(_succeed(job))
    watched.show(job)
    assert watched.is_kept(job)


def test_no_more_is_kept_than_there_is_room_for(world: World) -> None:
    first, second, third = (world.job() for _ in range(3))
    watched = Watched(world, limit=2 * (len(render(first)) + BESIDE))
    for job in (first, second, third):
        watched.show(job)
    assert watched.is_kept(third)
    assert watched.is_kept(second)
    assert not watched.is_kept(first)  # the one that came first has made room


def test_what_was_dropped_makes_room(world: World) -> None:
    job = world.job(RUNNING)
    watched = Watched(world, limit=len(render(job)) + BESIDE)
    for _ in range(3):
        watched.show(job)
        world.write(lambda tx: tx.events.add("something", 1, PROJECT, job_id=job.id))
    watched.show(job)
    assert watched.is_kept(job)


def test_one_that_is_larger_than_the_room_drives_out_no_other(world: World) -> None:
    small, large = world.job(), world.job(resource_id="r" * 99)
    watched = Watched(world, limit=len(render(small)) + BESIDE)
    watched.show(small)
    watched.show(large)
    assert watched.is_kept(small)
    assert not watched.is_kept(large)


def test_nothing_is_kept_without_a_limit(world: World) -> None:
    job = world.job()
    watched = Watched(world, limit=0)
    assert watched.show(job) == watched.show(job)
    assert watched.reads == 2


def test_a_kept_job_is_shown_to_nobody_else(world: World, watched: Watched) -> None:
    job = world.job()
    watched.show(job)
    with pytest.raises(Forbidden):
        world.run(watched.versions.show(administrator(), "b" * 32, job.id))
    stranger = msgspec.structs.replace(administrator(), project_id="b" * 32)
    with pytest.raises(JobNotFound, match=job.id):
        world.run(watched.versions.show(stranger, "b" * 32, job.id))


def test_an_unknown_job_does_not_exist(world: World, watched: Watched) -> None:
    for unknown in ("1", "01", "x", "9" * 40):
        with pytest.raises(JobNotFound):
            world.run(watched.versions.show(administrator(), PROJECT, unknown))


def test_who_waits_is_told_of_the_next_version(world: World, watched: Watched) -> None:
    job = world.job(RUNNING)
    former = watched.show(job)
    assert world.run(watched.versions.after(former, within=0.05)) == former
    world.write(_succeed(job))
    assert world.run(watched.versions.after(former, within=60)).tag == watched.show(job).tag


def test_who_waits_for_a_job_that_has_ended_waits_in_vain(world: World, watched: Watched) -> None:
    ended = watched.show(world.job())
    assert world.run(watched.versions.after(ended, within=3600)) is ended


def test_who_waits_for_a_job_that_is_purged_has_what_there_was(world: World, watched: Watched) -> None:
    job = world.job(RUNNING)
    former = watched.show(job)
    world.write(lambda tx: tx.retention.purge_jobs([job.id]))
    assert world.run(watched.versions.after(former, within=60)) == former
