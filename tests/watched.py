"""Versions of jobs that are watched while they are shown."""

from collections.abc import Callable
from typing import Any

from darkroom.domain.jobs import Job
from darkroom.http.jobs import render
from darkroom.services.versions import Version, Versions
from house import PROJECT, Records, administrator


class Watched:
    """Versions by a clock that tests set, and how often a job was read for one."""

    def __init__(self, world: Records, limit: int = 1 << 20, *, shared: bool = False) -> None:
        self.world, self.reads, self.ticks = world, 0, 0.0
        self.meanwhile: Callable[[], Any] = lambda: None
        self.versions = Versions(world.store, self._render, limit, shared=shared, ticks=lambda: self.ticks)

    def show(self, job: Job) -> Version:
        version: Version = self.world.run(self.versions.show(administrator(), PROJECT, job.id))
        return version

    def is_kept(self, job: Job) -> bool:
        before = self.reads
        self.show(job)
        return self.reads == before

    def _render(self, job: Job) -> bytes:
        self.reads += 1
        self.meanwhile()
        return render(job)
