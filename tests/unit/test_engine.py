"""The engine: whatever keeps a job from going on for a while, it goes on afterwards."""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from darkroom.app import Service
from darkroom.domain.jobs import Job, JobStatus, JobType
from darkroom.settings import Settings
from darkroom.store.job_writes import JobWrites
from darkroom.store.transaction import Transaction
from house import PROJECT

FULL = sqlite3.OperationalError("database or disk is full")


async def run_one(data: Path, meddle: Callable[[Transaction], Any] = lambda _: None) -> JobStatus:
    """Run a job that deletes nothing; `meddle` comes with its acceptance. Return its status, once it has ended."""
    service = Service(Settings(data=data, driver="simulated"))
    async with asyncio.timeout(60), service.running():
        job = Job(
            id=service.snowflakes.mint(), project_id=PROJECT, job_type=JobType.DELETE_SERVER, status=JobStatus.RUNNING,
            begin_time=1000, sub_jobs_total=0, order={},
        )  # fmt: skip

        def accept(tx: Transaction) -> None:
            service.engine.accept(tx, job)
            meddle(tx)

        await service.store.write(accept)
        while not (found := await service.store.jobs.get(PROJECT, job.id)).is_final:
            await asyncio.sleep(0.05)
        return found.status


@pytest.mark.parametrize("call", ["claim", "hold"])
def test_a_job_goes_on_once_the_database_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    working, failures = getattr(JobWrites, call), [FULL, FULL]

    def fails_twice(*arguments: Any) -> Any:
        if failures:
            raise failures.pop()
        return working(*arguments)

    monkeypatch.setattr(JobWrites, call, fails_twice)
    assert asyncio.run(run_one(tmp_path)) is JobStatus.SUCCESS
    assert failures == []


def test_a_job_goes_on_however_often_its_process_has_died(tmp_path: Path) -> None:
    many = sa.text("UPDATE workflow_status SET recovery_attempts = 1000")
    assert asyncio.run(run_one(tmp_path, lambda tx: tx.connection.execute(many))) is JobStatus.SUCCESS
