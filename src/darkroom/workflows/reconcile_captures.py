"""Reconciliation of captures: what is left of one on a machine though no job will ask for it any more is removed.

A worker that was thought dead, and was not, may still freeze a disk after another one has ended its job. What it then
writes to the records is refused (see `claim`); what it has done to the machine is found here.
"""

import structlog

from darkroom.domain.chores import Problem
from darkroom.domain.ids import JobId, ServerId
from darkroom.domain.jobs import Job
from darkroom.workflows.plan import Tools
from darkroom.workflows.reconcile import tolerating

log = structlog.get_logger(__name__)


class Captures:
    """Removes captures of jobs that have ended. What a job could not undo is left to whoever has it cleaned up."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    async def reconcile(self) -> list[Problem]:
        """Remove what is nobody's; return what could not be removed."""
        problems: list[Problem] = []
        # In this order: a job is recorded before it captures anything.
        for key, capture in await self._tools.compute.captures():
            job = await self._tools.store.jobs.find(capture)
            if job is None or not job.is_settled:
                continue
            problems += await tolerating(self._discard(key, capture, job), job.project_id, key)
        return problems

    async def _discard(self, key: ServerId, capture: JobId, job: Job) -> None:
        log.warning("what is left of a capture is removed", machine=key, job_id=capture)
        await self._tools.compute.discard(key, capture)
        at, data = self._tools.clock(), {"job_id": capture}
        await self._tools.store.write(
            lambda tx: tx.events.add("capture.orphan_removed", at, job.project_id, resource_id=key, data=data)
        )
