"""What is no longer kept: jobs that ended long ago with their events, events of what went long ago. See ADR 0014."""

from collections.abc import Collection
from typing import Final

import sqlalchemy as sa

from darkroom.domain.ids import JobId, first_minted_at
from darkroom.domain.jobs import DELETABLE, JobStatus
from darkroom.store.revisions import HISTORY, count_up
from darkroom.store.rows import key_of
from darkroom.store.tables import events, evidence, image_servers, images, jobs, sub_jobs

#: Events of resources that may outlive their jobs.
_LASTING: Final = sa.or_(events.c.kind.like("server.%"), events.c.kind.like("image.%"))
_REMOVED: Final = ".removed"


class RetentionWrites:
    """Removes history. What it was about does not change, so there are no events."""

    def __init__(self, connection: sa.Connection, changed: set[JobId]) -> None:
        """`changed` is given the jobs that are removed."""
        self._connection, self._changed = connection, changed

    def old_jobs(self, before: int, limit: int) -> list[JobId]:
        """Return the oldest jobs that ended before a time, but for those that left something behind."""
        unfinished = sa.exists().where(sub_jobs.c.job_id == jobs.c.id, sub_jobs.c.status.not_in(list(DELETABLE)))
        ended = (jobs.c.status != JobStatus.RUNNING, jobs.c.end_time < before)
        # By the id alone, most of a table that holds nothing so old is never looked at.
        old = sa.select(jobs.c.id).where(jobs.c.id < first_minted_at(before), *ended, ~unfinished)
        return [JobId(str(each)) for each in self._connection.scalars(old.order_by(jobs.c.id).limit(limit))]

    def purge_jobs(self, job_ids: Collection[JobId]) -> None:
        """Remove jobs, their sub-jobs, evidence and events; an image server's or image's own stay while that exists."""
        self._changed.update(job_ids)
        keys = [key_of(job_id) for job_id in job_ids]
        theirs = events.c.job_id.in_(keys)
        lasting = self._connection.scalars(sa.select(events.c.resource_id).where(theirs, _LASTING).distinct())
        kept = sa.and_(_LASTING, events.c.resource_id.in_(self._existing(set(lasting))))
        # The sub-jobs first: who removes one just now is waited for, and what it wrote is seen.
        self._connection.execute(sub_jobs.delete().where(sub_jobs.c.job_id.in_(keys)))
        self._connection.execute(evidence.delete().where(evidence.c.job_id.in_(keys)))
        self._connection.execute(jobs.delete().where(jobs.c.id.in_(keys)))
        self._connection.execute(events.delete().where(theirs, ~kept))
        count_up(self._connection, HISTORY)

    def purge_removed(self, before: int, limit: int) -> int:
        """Remove the own events of what was removed before a time; return of how many resources."""
        removed = sa.select(events.c.kind, events.c.resource_id).where(
            events.c.at < before, events.c.kind.like(f"%{_REMOVED}"), events.c.resource_id != ""
        )
        found = self._connection.execute(removed.order_by(events.c.seq).limit(limit)).all()
        for kind, resource_id in found:
            own = events.c.kind.like(f"{kind.removesuffix(_REMOVED)}.%")
            self._connection.execute(events.delete().where(events.c.resource_id == resource_id, own))
        return len(found)

    def _existing(self, resource_ids: Collection[str]) -> set[str]:
        servers = sa.select(image_servers.c.id).where(image_servers.c.id.in_([key_of(each) for each in resource_ids]))
        stored = sa.select(images.c.id).where(images.c.id.in_(list(resource_ids)))
        return {str(each) for each in (*self._connection.scalars(servers), *self._connection.scalars(stored))}
