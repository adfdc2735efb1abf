"""Progress of a step: written as events, not more often than anyone would look."""

import asyncio

from darkroom.domain.jobs import SubJob
from darkroom.workflows.plan import Tools

#: Milliseconds between two events of one step's progress.
INTERVAL_MS = 500


class ProgressWriter:
    """A driver's `Progress`: call it as often as you like."""

    def __init__(self, tools: Tools, sub_job: SubJob, step: str, phase: str) -> None:
        self._tools, self._sub_job, self._step, self._phase = tools, sub_job, step, phase
        self._written_at = 0
        self._writing: set[asyncio.Task[None]] = set()

    def __call__(self, done: int, total: int) -> None:
        at = self._tools.clock()
        if at - self._written_at < INTERVAL_MS:
            return
        self._written_at = at
        writing = asyncio.get_running_loop().create_task(self._write(at, done, total))
        self._writing.add(writing)
        writing.add_done_callback(self._writing.discard)

    async def _write(self, at: int, done: int, total: int) -> None:
        await self._tools.store.write(
            lambda tx: tx.events.add(
                "step.progress",
                at,
                self._sub_job.project_id,
                job_id=self._sub_job.job_id,
                sub_job_id=self._sub_job.id,
                data={"name": self._step, "phase": self._phase, "done": done, "total": total},
            )
        )
