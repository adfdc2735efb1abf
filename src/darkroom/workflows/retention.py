"""Retention: the history of jobs is kept for some days, then purged in small batches. See ADR 0014."""

import asyncio
from collections.abc import Callable, Collection
from typing import Final

import structlog

from darkroom.domain.chores import Problem
from darkroom.domain.ids import JobId
from darkroom.domain.times import Clock
from darkroom.store.store import Store

log = structlog.get_logger(__name__)

#: Jobs, or resources, that one transaction purges: others wait for it to write.
BATCH: Final = 50
DAY_MS: Final = 24 * 60 * 60 * 1000


class Retention:
    """Purges what is older than `days`; `forget` removes the engine's own records of jobs."""

    def __init__(self, store: Store, forget: Callable[[Collection[JobId]], None], clock: Clock, *, days: int) -> None:
        self._store, self._forget, self._clock, self._days = store, forget, clock, days

    async def purge(self) -> list[Problem]:
        """Purge all that is old enough."""
        before = self._clock() - self._days * DAY_MS
        # What has gone first: the event that tells so may be one of the job that removed it.
        while await self._store.write(lambda tx: tx.retention.purge_removed(before, BATCH)) == BATCH:
            pass
        purged = 0
        while job_ids := await self._store.write(lambda tx: tx.retention.old_jobs(before, BATCH)):
            # The engine's records first: if that is as far as it gets, the jobs are still there to be purged again.
            await asyncio.to_thread(self._forget, job_ids)
            await self._store.write(lambda tx: tx.retention.purge_jobs(job_ids))
            purged += len(job_ids)
        if purged:
            log.info("old jobs were purged", jobs=purged)
        return []
