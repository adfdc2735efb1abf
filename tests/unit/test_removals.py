"""Removals from the history on PostgreSQL, two at once: the second one finds what the first one has left."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from darkroom.domain.jobs import Job
from darkroom.store.tables import events
from darkroom.store.transaction import Transaction
from house import PROJECT, World

_WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@pytest.fixture
def world(tmp_path: Path, postgres_url: str) -> Iterator[World]:
    world = World(tmp_path, postgres_url)
    yield world
    world.store.close()


def remove(job: Job) -> Callable[[Transaction], None]:
    return lambda tx: tx.jobs.delete_sub_jobs(PROJECT, [job.sub_jobs[0].id], 1)


def purge(job: Job) -> Callable[[Transaction], None]:
    return lambda tx: tx.retention.purge_jobs([job.id])


def at_once(world: World, url: str, first: Callable[[Transaction], Any], second: Callable[[Transaction], Any]) -> None:
    """Do both, the second one while the first one's transaction is under way; return when both have ended."""
    with ThreadPoolExecutor() as pool, psycopg.connect(url, autocommit=True) as watching:
        waiting: list[Future[Any]] = []

        def then_the_second(tx: Transaction) -> None:
            first(tx)
            waiting.append(pool.submit(world.store.database.write_now, second))
            for _ in range(1000):
                if watching.execute(_WAITING).fetchone() == (1,):
                    return
                time.sleep(0.01)
            raise AssertionError("the second one does not wait for the first one")

        world.store.database.write_now(then_the_second)
        waiting[0].result()


def events_of(world: World, job: Job) -> list[str]:
    statement = sa.select(events.c.kind).where(events.c.job_id == int(job.id)).order_by(events.c.seq)
    return world.store.database.write_now(lambda tx: list(tx.connection.scalars(statement)))


def test_a_sub_job_that_two_remove_is_counted_once(world: World, postgres_url: str) -> None:
    job = world.job()
    at_once(world, postgres_url, remove(job), remove(job))
    assert world.run(world.store.jobs.get(PROJECT, job.id)).sub_jobs_total == 0
    assert events_of(world, job).count("sub_job.removed") == 1


@pytest.mark.parametrize("first", [remove, purge])
def test_nothing_is_left_of_a_job_that_is_purged_while_a_sub_job_of_it_is_removed(
    world: World, postgres_url: str, first: Callable[[Job], Callable[[Transaction], None]]
) -> None:
    job = world.job()
    at_once(world, postgres_url, first(job), (purge if first is remove else remove)(job))
    assert world.run(world.store.jobs.find(job.id)) is None
    assert events_of(world, job) == []
