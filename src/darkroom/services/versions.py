"""Versions of jobs: each as it is answered, made once and kept in memory until the job changes.

Which jobs this process changes it knows. Where others share the records, only jobs that are settled are kept: these
change no more, but may be removed. A removal by another process is found out within `LOOK_EVERY_S`, by a number that
each one counts up.
"""

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from typing import Final

import msgspec

from darkroom.domain.accounts import Caller
from darkroom.domain.ids import ProjectId
from darkroom.domain.jobs import Job
from darkroom.errors import JobNotFound
from darkroom.services.watching import INTERVAL
from darkroom.store.store import Store

#: Bytes that a version takes beside its body, about.
BESIDE: Final = 500
#: How old, in seconds, what is kept may be before it is asked whether others have removed some of it.
LOOK_EVERY_S: Final = 1.0


class Version(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A job at one moment, as the JSON of its answer. `tag` tells it from the others of the same job."""

    job_id: str
    project_id: ProjectId
    is_final: bool
    body: bytes
    tag: str


class Versions:
    """Shows jobs. For one event loop."""

    def __init__(
        self,
        store: Store,
        render: Callable[[Job], bytes],
        limit: int,
        *,
        shared: bool,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        """`render` makes the JSON; `limit` is in bytes; `shared` says whether other processes write to the records."""
        self._store, self._render, self._limit, self._shared, self._ticks = store, render, limit, shared, ticks
        self._revision, self._look_again_at = 0, ticks()
        self._kept: OrderedDict[str, Version] = OrderedDict()  # what was kept first makes room first
        self._size = self._changing = self._changes = 0
        self._guard = threading.Lock()
        store.tell_changes(self._while_changing)

    def show(self, caller: Caller, project_id: ProjectId, job_id: str) -> Awaitable[Version]:
        """Return a job as it is. Raises Forbidden, or JobNotFound, also for another project's job."""
        caller.must("workspace:images:getImageJob", project_id)
        return self._now(project_id, job_id)

    async def after(self, version: Version, *, within: float) -> Version:
        """Return the job as soon as it differs from that version, or as it is after so many seconds."""
        deadline = time.monotonic() + within
        with suppress(JobNotFound):  # purged meanwhile
            while not version.is_final and (left := deadline - time.monotonic()) > 0:
                await asyncio.sleep(min(INTERVAL, left))
                now = await self._now(version.project_id, version.job_id)
                if now.tag != version.tag:
                    return now
        return version

    async def _now(self, project_id: ProjectId, job_id: str) -> Version:
        if self._shared and self._ticks() >= self._look_again_at:
            await self._look()
        kept = self._kept.get(job_id)
        if kept and kept.project_id == project_id:
            return kept
        changes = self._changes
        job = await self._store.jobs.get(project_id, job_id)
        body = self._render(job)
        version = Version(
            job_id=job.id,
            project_id=job.project_id,
            is_final=job.is_final,
            body=body,
            tag=f'"{sha256(body).hexdigest()[:20]}"',
        )
        if job.is_settled or not self._shared:
            self._keep(version, changes)
        return version

    async def _look(self) -> None:
        """Forget everything if another process has removed something."""
        started = self._ticks()
        revision = await self._store.jobs.revision()
        if revision != self._revision:
            with self._guard:
                self._kept.clear()
                self._size = 0
                self._changes += 1
            self._revision = revision
        self._look_again_at = started + LOOK_EVERY_S

    def _keep(self, version: Version, changes: int) -> None:
        """Keep a version, unless a job is changing or has changed since it was read; `changes` had been made then."""
        size = _size(version)
        if size > self._limit:
            return
        with self._guard:
            if self._changing or changes != self._changes or version.job_id in self._kept:
                return
            self._kept[version.job_id] = version
            self._size += size
            while self._size > self._limit:
                self._drop(next(iter(self._kept)))

    @contextmanager
    def _while_changing(self, job_ids: Collection[str]) -> Iterator[None]:
        """Keep no more what is about to change, and nothing that is read until it has changed."""
        with self._guard:
            self._changing += 1
            for job_id in job_ids:
                self._drop(job_id)
        try:
            yield
        finally:
            with self._guard:
                self._changing -= 1
                self._changes += 1

    def _drop(self, job_id: str) -> None:
        version = self._kept.pop(job_id, None)
        if version:
            self._size -= _size(version)


def _size(version: Version) -> int:
    return len(version.body) + BESIDE
