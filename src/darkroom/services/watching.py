"""Watching jobs: what has changed since, as it happens.

Everything is read from the records, so it works across processes and restarts: whoever was away asks for what came
after the last event seen. A look costs a read by index; nobody waits for a slow watcher: nothing is kept for one.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from darkroom.domain.accounts import Caller
from darkroom.domain.events import Event
from darkroom.domain.ids import ProjectId
from darkroom.domain.jobs import Job
from darkroom.store.store import Store

#: Seconds between two looks.
INTERVAL: Final = 0.2
#: Events of one look at most.
BATCH: Final = 200


class Watching:
    """Tells of changes."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def job_events(
        self, caller: Caller, project_id: ProjectId, job_id: str, *, after: int
    ) -> AsyncIterator[list[Event]]:
        """Return the events of a job that come after one, in batches, an empty one where nothing has happened.

        Ends with the job. Raises JobNotFound.
        """
        caller.must("workspace:images:getImageJob", project_id)
        job = await self._store.jobs.get(project_id, job_id)
        return self._job_events(job, after)

    async def project_events(
        self, caller: Caller, project_id: ProjectId, *, after: int | None
    ) -> tuple[int, AsyncIterator[list[Event]]]:
        """Return the events of a project alike, and the number that they come after; without `after`, that is now.

        Does not end by itself.
        """
        caller.must("workspace:images:listImageJobs", project_id)
        start = await self._store.events.last(project_id) if after is None else after
        return start, self._project_events(project_id, start)

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
