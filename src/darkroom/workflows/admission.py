"""Admission: jobs beyond the limits wait, as RUNNING jobs with WAITING sub-jobs, until there is room for them."""

from collections.abc import Iterable

from darkroom.domain.ids import ProjectId
from darkroom.domain.jobs import JobType
from darkroom.domain.limits import Rooms, Waiting, next_in
from darkroom.store.transaction import Transaction


def admit(tx: Transaction, rooms: Rooms, at: int, job_types: Iterable[JobType]) -> list[tuple[JobType, Waiting]]:
    """Let those waiting jobs of some types begin for which there is room now; return them."""
    admitted: list[tuple[JobType, Waiting]] = []
    for job_type in job_types:
        tx.lock("admission")
        waiting = tx.jobs.waiting(job_type)
        if not waiting:
            continue
        for chosen in next_in(waiting, _load(tx, job_type), rooms.of(job_type)):
            tx.jobs.admit(chosen, at)
            admitted.append((job_type, chosen))
    return admitted


def _load(tx: Transaction, job_type: JobType) -> dict[ProjectId, int]:
    load = tx.jobs.under_way(job_type)
    if job_type is JobType.CREATE_SERVER:
        load.update(tx.servers.with_machines())
    return load
