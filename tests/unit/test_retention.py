"""The loop of housekeeping, its turn among processes, and retention: what is purged, and what stays."""

import asyncio

import pytest
import sqlalchemy as sa

from darkroom.domain.chores import ChoreRecord, Problem
from darkroom.domain.jobs import JobType, SubJobStatus
from darkroom.domain.servers import ServerStatus
from darkroom.errors import MachineFailed
from darkroom.store.turn import Turn
from darkroom.workflows.housekeeping import Chore, Housekeeping
from darkroom.workflows.retention import BATCH, Retention
from house import DAY, PROJECT, World

DAYS = 90


# The loop


def test_chores_are_done_again_and_again_and_one_that_fails_stops_no_other(world: World) -> None:
    done: dict[str, int] = {"fails": 0, "breaks": 0, "works": 0, "never": 0}
    problem = Problem(project_id=PROJECT, resource_id="1", problem="it squeaks")

    async def fails() -> list[Problem]:
        done["fails"] += 1
        raise MachineFailed("no power")

    async def breaks() -> list[Problem]:
        done["breaks"] += 1
        raise ZeroDivisionError("by nought")

    async def works() -> list[Problem]:
        done["works"] += 1
        return [problem]

    async def never() -> list[Problem]:
        done["never"] += 1
        return []

    async def live() -> None:
        chores = [Chore("fails", 0.01, fails), Chore("breaks", 0.01, breaks), Chore("works", 0.01, works)]
        house = Housekeeping(world.store, [*chores, Chore("never", 0, never)], world.clock)
        async with asyncio.timeout(60), house.running():
            while min(done["fails"], done["breaks"], done["works"]) < 3:
                await asyncio.sleep(0.01)
        after = dict(done)
        await asyncio.sleep(0.05)
        assert done == after, "it has ended"

    world.run(live())
    assert done["never"] == 0
    at = world.clock()
    assert world.run(world.store.chores.all()) == [
        ChoreRecord(name="breaks", ran_at=at, failure="ZeroDivisionError: by nought"),
        ChoreRecord(name="fails", ran_at=at, failure="no power"),
        ChoreRecord(name="works", ran_at=at, problems=[problem]),
    ]


def test_on_sqlite_it_is_always_our_turn(world: World) -> None:
    with_turn = world.store.turn("t")
    assert (with_turn.is_mine(), with_turn.is_mine()) == (True, True)
    with_turn.close()


def test_on_postgresql_one_process_has_the_turn_until_it_ends(postgres_url: str) -> None:
    engines = [sa.create_engine(sa.make_url(postgres_url).set(drivername="postgresql+psycopg")) for _ in range(2)]
    first, second = (Turn(engine, "t") for engine in engines)
    other = Turn(engines[1], "another")
    try:
        assert [first.is_mine(), second.is_mine(), first.is_mine(), other.is_mine()] == [True, False, True, True]
        first.close()
        assert [second.is_mine(), first.is_mine()] == [True, False]
        with engines[0].begin() as connection:  # the holder's session is cut off, as when its host dies
            connection.execute(
                sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE datname = current_database() AND pid <> pg_backend_pid()")
            )  # fmt: skip
        assert second.is_mine() is False, "it notices"
        assert first.is_mine()
    finally:
        for turn in (first, second, other):
            turn.close()
        for engine in engines:
            engine.dispose()


# Retention


def purge(world: World) -> list[str]:
    """Purge; return the jobs that the engine was told to forget."""
    forgotten: list[str] = []
    world.run(Retention(world.store, forgotten.extend, world.clock, days=DAYS).purge())
    return forgotten


def jobs(world: World) -> set[str]:
    return {str(row[0]) for row in world.rows("SELECT id FROM jobs")}


def test_old_jobs_go_with_their_sub_jobs_and_events_and_young_ones_stay(world: World) -> None:
    old = [world.job() for _ in range(BATCH + 1)]
    world.clock.passes(DAYS * DAY)
    young = world.job(SubJobStatus.FAILED)
    world.clock.passes(1)
    assert purge(world) == [job.id for job in old]
    assert jobs(world) == {young.id}
    assert world.rows("SELECT DISTINCT job_id FROM sub_jobs") == [(int(young.id),)]
    assert world.rows("SELECT DISTINCT job_id FROM events WHERE job_id IS NOT NULL") == [(int(young.id),)]
    assert purge(world) == []


@pytest.mark.parametrize("status", [SubJobStatus.RUNNING, SubJobStatus.ABNORMAL])
def test_a_job_that_goes_on_or_left_something_behind_stays(world: World, status: SubJobStatus) -> None:
    job = world.job(status)
    world.clock.passes(2 * DAYS * DAY)
    assert purge(world) == []
    assert jobs(world) == {job.id}


def test_a_job_that_began_long_ago_and_ended_late_stays(world: World) -> None:
    job = world.job(SubJobStatus.RUNNING)
    world.clock.passes(DAYS * DAY)

    def end(tx: object) -> None:
        tx.jobs.move(job.sub_jobs[0], SubJobStatus.SUCCESS, world.clock())  # type: ignore[attr-defined]
        tx.jobs.end(job, world.clock())  # type: ignore[attr-defined]

    world.write(end)
    world.clock.passes(DAY)
    assert purge(world) == []
    assert jobs(world) == {job.id}


def test_a_servers_own_events_stay_while_it_exists_and_go_after_it(world: World) -> None:
    server = world.server(ServerStatus.ACTIVE)
    world.clock.passes(DAYS * DAY + 1)
    assert len(purge(world)) == 1
    assert world.kinds(server) == ["server.added", "server.moved"], "what its job did otherwise has gone"
    delete = world.job(resource_id=server, job_type=JobType.DELETE_SERVER)
    world.write(lambda tx: tx.servers.remove(server, world.clock(), job=delete))
    assert purge(world) == []
    assert "server.removed" in world.kinds(server)
    world.clock.passes(DAYS * DAY + 1)
    assert purge(world) == [delete.id]
    assert world.kinds(server) == []


def test_an_images_own_events_stay_while_it_exists_and_go_after_it(world: World) -> None:
    kept, removed = (world.run(world.store.images.get(PROJECT, each)) for each in (world.base, world.image()))
    world.write(lambda tx: tx.images.remove(removed, world.clock()))
    world.clock.passes(DAYS * DAY + 1)
    purge(world)
    assert (world.kinds(kept.id), world.kinds(removed.id)) == (["image.added"], [])
