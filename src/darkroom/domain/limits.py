"""Limits: how much of the host jobs may use at one time, and how much a project may have. 0 means no limit."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from darkroom.domain.ids import JobId, ProjectId
from darkroom.domain.jobs import JobType

#: Minutes for which the machine of a failed creation may be kept: a week.
KEEP_LIMIT: Final = 7 * 24 * 60


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """How many there may be at one time: in all, and of one project."""

    in_all: int = 0
    per_project: int = 0

    @property
    def is_limited(self) -> bool:
        return bool(self.in_all or self.per_project)


class Quota(msgspec.Struct, frozen=True, kw_only=True):
    """How much one project may have."""

    servers: int = 0
    images: int = 0
    image_bytes: int = 0


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A job that waits for room; `plan` is the version of its plan."""

    job_id: JobId
    project_id: ProjectId
    plan: int = 1


def next_in(waiting: Sequence[Waiting], load: Mapping[ProjectId, int], room: Room) -> list[Waiting]:
    """Return which waiting jobs may begin now, in the order they do.

    `waiting` is in the order of arrival, `load` what each project has already. The project that has least is next,
    and of its jobs the oldest: one that asks for much does not keep the others waiting.
    """
    queues: dict[ProjectId, list[Waiting]] = {}
    for each in waiting:
        queues.setdefault(each.project_id, []).append(each)
    loads = {project: load.get(project, 0) for project in {*load, *queues}}
    chosen: list[Waiting] = []
    while not room.in_all or sum(loads.values()) < room.in_all:
        ready = [project for project in queues if not room.per_project or loads[project] < room.per_project]
        if not ready:
            break
        project = min(ready, key=lambda each: (loads[each], int(queues[each][0].job_id)))
        chosen.append(queues[project].pop(0))
        loads[project] += 1
        if not queues[project]:
            del queues[project]
    return chosen


class Rooms(msgspec.Struct, frozen=True, kw_only=True):
    """The room for each kind of job: machines for those that make one, builds for those that build an image."""

    machines: Room = Room()
    builds: Room = Room()

    def of(self, job_type: JobType) -> Room:
        """Return the room that jobs of a type need; a deletion needs none."""
        rooms = {JobType.CREATE_SERVER: self.machines, JobType.CREATE_SERVER_IMAGE: self.builds}
        return rooms.get(job_type, Room())

    def limited(self) -> Iterable[JobType]:
        return (job_type for job_type in JobType if self.of(job_type).is_limited)
