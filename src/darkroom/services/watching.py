"""Watching jobs: what has changed since, as it happens.

Everything is read from the records, so it works across processes and restarts: whoever was away asks for what came
after the last event seen. A look costs a read by index; nobody waits for a slow watcher: nothing is kept for one.
Whether a watcher still may is asked every second, in memory.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Final

from darkroom.domain.accounts import Again, Caller
from darkroom.domain.events import Event
from darkroom.domain.ids import ProjectId
from darkroom.domain.jobs import Job
from darkroom.store.store import Store

#: Seconds between two looks.
INTERVAL: Final = 0.2
#: Events of one look at most.
BATCH: Final = 200
#: Seconds between two looks whether who watches still may.
CHECK: Final = 1.0


class Watching:
    """Tells of changes."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def job_events(
        self, caller: Caller, project_id: ProjectId, job_id: str, *, after: int, again: Again
    ) -> AsyncIterator[list[Event]]:
        """Return the events of a job that come after one, in batches, an empty one where nothing has happened.

        Ends with the job. Raises JobNotFound; later on Unauthenticated or Forbidden, once the caller may no more.
        """
        right = "workspace:images:getImageJob"
        caller.must(right, project_id)
        job = await self._store.jobs.get(project_id, job_id)
        return _while_allowed(self._job_events(job, after), right, project_id, again)

    async def project_events(
        self, caller: Caller, project_id: ProjectId, *, after: int | None, again: Again
    ) -> tuple[int, AsyncIterator[list[Event]]]:
        """Return the events of a project alike, and the number that they come after; without `after`, that is now.

        Does not end by itself; raises Unauthenticated or Forbidden once the caller may no more.
        """
        right = "workspace:images:listImageJobs"
        caller.must(right, project_id)
        start = await self._store.events.last(project_id) if after is None else after
        return start, _while_allowed(self._project_events(project_id, start), right, project_id, again)

    async def _job_events(self, job: Job, after: int) -> AsyncIterator[list[Event]]:
        while True:
            now = await self._store.jobs.find(job.id)
            events = await self._store.events.of_job_after(job.id, after, BATCH)
            if events:
                after = events[-1].seq
            # The job was read first: if it had ended by then, its last event is among those read after it.
            elif now is None or now.is_final:
                return
            yield events
            if not events:
                await asyncio.sleep(INTERVAL)

    async def _project_events(self, project_id: ProjectId, seen: int) -> AsyncIterator[list[Event]]:
        while True:
            events = await self._store.events.of_project_after(project_id, seen, BATCH)
            if events:
                seen = events[-1].seq
            yield events
            if not events:
                await asyncio.sleep(INTERVAL)


async def _while_allowed(
    batches: AsyncIterator[list[Event]], right: str, project_id: ProjectId, again: Again
) -> AsyncIterator[list[Event]]:
    checked = time.monotonic()
    async for events in batches:
        if time.monotonic() - checked >= CHECK:
            (await again()).must(right, project_id)
            checked = time.monotonic()
        yield events
