"""Admission: jobs beyond the limits wait, as RUNNING jobs with WAITING sub-jobs, until there is room for them."""

from collections.abc import Iterable
from typing import Final

from darkroom.domain.ids import JobId, ProjectId
from darkroom.domain.jobs import JobType
from darkroom.domain.limits import Room, Rooms, Waiting, next_in
from darkroom.store.transaction import Transaction

#: Places in the queue of which is told how they change; who waits further behind is told when it has moved up.
PLACES: Final = 50


def admit(
    tx: Transaction, rooms: Rooms, at: int, job_types: Iterable[JobType], newcomer: JobId | None = None
) -> list[tuple[JobType, Waiting]]:
    """Let those waiting jobs of some types begin for which there is room now; return them.

    Those that go on waiting are told their places, from 1: all if some began, else the `newcomer`.
    """
    admitted: list[tuple[JobType, Waiting]] = []
    for job_type in job_types:
        tx.lock("admission")
        waiting = tx.jobs.waiting(job_type)
        if not waiting:
            continue
        load = _load(tx, job_type)
        beginning = next_in(waiting, load, rooms.of(job_type))
        for chosen in beginning:
            tx.jobs.admit(chosen, at)
            admitted.append((job_type, chosen))
        queue = [each for each in next_in(waiting, load, Room()) if each not in beginning]
        for place, each in enumerate(queue, 1):
            if each.job_id == newcomer or (beginning and place <= PLACES):
                tx.jobs.tell_place(each, at, place, len(queue))
    return admitted


def _load(tx: Transaction, job_type: JobType) -> dict[ProjectId, int]:
    load = tx.jobs.under_way(job_type)
    if job_type is JobType.CREATE_SERVER:
        load.update(tx.servers.with_machines())
    return load
