"""Versions of jobs where other processes write to the same records: kept only once a job is settled."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from darkroom.domain.jobs import Job, SubJobStatus
from darkroom.errors import JobNotFound, Unavailable
from darkroom.http.jobs import render
from darkroom.services.versions import BESIDE, LOOK_EVERY_S
from darkroom.store.sealing import Sealer
from darkroom.store.store import Store
from darkroom.store.transaction import Transaction
from house import PROJECT, World, administrator
from watched import Watched

ABNORMAL, FAILED, RUNNING, SUCCESS, WAITING = (
    SubJobStatus.ABNORMAL,
    SubJobStatus.FAILED,
    SubJobStatus.RUNNING,
    SubJobStatus.SUCCESS,
    SubJobStatus.WAITING,
)


def _remove(job: Job) -> Callable[[Transaction], Any]:
    return lambda tx: tx.jobs.delete_sub_jobs(PROJECT, [job.sub_jobs[0].id], 1)


class Shared:
    """Records that two processes share: what this one shows, and what the other one does."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.watched = Watched(world, shared=True)
        self._other = Store(world.store.database.url, Sealer(Sealer.new_key()))

    def elsewhere(self, work: Callable[[Transaction], Any]) -> None:
        self._other.database.write_now(work)

    def a_second_passes(self) -> None:
        self.watched.ticks += LOOK_EVERY_S

    def close(self) -> None:
        self._other.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shared]:
    url = "" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    world = World(tmp_path, url)
    shared = Shared(world)
    yield shared
    shared.close()
    world.store.close()


@pytest.mark.parametrize("status", [SUCCESS, FAILED])
def test_a_settled_job_is_read_once_for_all_who_ask(shared: Shared, status: SubJobStatus) -> None:
    job = shared.world.job(status)
    first = shared.watched.show(job)
    for _ in range(3):
        assert shared.watched.show(job) is first
        shared.a_second_passes()
    assert shared.watched.reads == 1


@pytest.mark.parametrize("status", [WAITING, RUNNING, ABNORMAL])
def test_one_that_another_process_may_change_is_read_each_time(shared: Shared, status: SubJobStatus) -> None:
    job = shared.world.job(status)
    shared.watched.show(job)
    assert not shared.watched.is_kept(job)


def test_a_change_by_another_process_is_seen_at_once(shared: Shared) -> None:
    job = shared.world.job(RUNNING)
    assert not shared.watched.show(job).is_final

    def succeed(tx: Transaction) -> None:
        tx.jobs.move(job.sub_jobs[0], SUCCESS, 1)
        tx.jobs.end(job, 1)

    shared.elsewhere(succeed)
    assert shared.watched.show(job).is_final


def test_what_another_process_removes_is_seen_within_a_second(shared: Shared) -> None:
    job, other = shared.world.job(), shared.world.job()
    former = shared.watched.show(job)
    shared.watched.show(other)
    shared.elsewhere(_remove(job))
    shared.elsewhere(lambda tx: tx.retention.purge_jobs([other.id]))
    shared.a_second_passes()
    assert b'"sub_jobs_total":0' in shared.watched.show(job).body != former.body
    with pytest.raises(JobNotFound, match=other.id):
        shared.watched.show(other)
    assert shared.watched.is_kept(job)


def test_what_this_process_removes_is_seen_at_once(shared: Shared) -> None:
    job, other = shared.world.job(), shared.world.job()
    shared.watched.show(job)
    shared.watched.show(other)
    shared.world.write(_remove(job))
    assert b'"sub_jobs_total":0' in shared.watched.show(job).body
    assert shared.watched.is_kept(other)


def test_what_is_removed_while_it_is_read_is_not_kept_for_longer(shared: Shared) -> None:
    job = shared.world.job()
    shared.watched.meanwhile = lambda: shared.elsewhere(_remove(job))
    shared.watched.show(job)
    shared.watched.meanwhile = lambda: None
    shared.a_second_passes()
    assert b'"sub_jobs_total":0' in shared.watched.show(job).body


def test_what_was_read_before_a_removal_was_found_out_is_not_kept_after_it(
    shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, other = shared.world.job(), shared.world.job()
    shared.watched.show(other)
    get = shared.world.store.jobs.get

    async def slowly(project_id: str, job_id: str) -> Job:
        monkeypatch.undo()
        read = await get(project_id, job_id)
        shared.elsewhere(_remove(job))
        shared.a_second_passes()
        await shared.watched.versions.show(administrator(), PROJECT, other.id)
        return read

    monkeypatch.setattr(shared.world.store.jobs, "get", slowly)
    shared.watched.show(job)
    assert b'"sub_jobs_total":0' in shared.watched.show(job).body


def test_the_second_begins_when_it_is_asked_for_removals(shared: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    job = shared.world.job()
    shared.watched.show(job)
    revision = shared.world.store.jobs.revision

    async def slowly() -> int:
        monkeypatch.undo()
        read = await revision()
        shared.elsewhere(_remove(job))
        shared.watched.ticks += LOOK_EVERY_S / 2
        return read

    monkeypatch.setattr(shared.world.store.jobs, "revision", slowly)
    shared.a_second_passes()
    shared.watched.show(job)
    shared.watched.ticks += LOOK_EVERY_S / 2
    assert b'"sub_jobs_total":0' in shared.watched.show(job).body


def test_what_is_forgotten_makes_room(shared: Shared) -> None:
    jobs = [shared.world.job() for _ in range(2)]
    watched = shared.watched = Watched(shared.world, limit=2 * (len(render(jobs[0])) + BESIDE), shared=True)
    for _ in range(3):
        for job in jobs:
            watched.show(job)
        shared.elsewhere(_remove(shared.world.job()))
        shared.a_second_passes()
    assert [watched.is_kept(job) for job in (*jobs, *jobs)] == [False, False, True, True]


def test_nothing_is_shown_unlooked_at_while_the_database_is_silent(
    shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = shared.world.job()
    shared.watched.show(job)

    async def silent() -> int:
        raise Unavailable("The database does not answer; try again later.")

    monkeypatch.setattr(shared.world.store.jobs, "revision", silent)
    assert shared.watched.is_kept(job)
    shared.a_second_passes()
    for _ in range(2):
        with pytest.raises(Unavailable):
            shared.watched.show(job)
