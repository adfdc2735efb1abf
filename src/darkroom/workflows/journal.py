"""The journal of a sub-job: what is recorded of its steps, once however often they are repeated, and by one worker.

How a step ended is in its result, which the engine keeps, and is told with whatever is recorded next: so it costs no
transaction of its own, and after a crash it is still known (ADR 0033).
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, TypedDict, TypeVar

from darkroom.domain.jobs import Job, SubJob, SubJobStatus
from darkroom.domain.timeline import seconds_left
from darkroom.errors import Cancelled
from darkroom.store.transaction import Transaction
from darkroom.workflows.plan import Ending, Tools

T = TypeVar("T")


class JobLost(asyncio.CancelledError):
    """Another worker has the job: this one stops where it is, and neither undoes nor records anything more."""


class Ended(TypedDict):
    """How a step ended, as plain data: `data` is that of its event."""

    at: int
    data: dict[str, Any]


class Journal:
    """Records what becomes of a sub-job and of its steps, for as long as its claim holds."""

    def __init__(self, tools: Tools, job: Job, sub_job: SubJob | None, claim: str, attempt: str) -> None:
        """`attempt` tells steps that are meant to run once more from those that only run again after a crash."""
        self._tools, self._job, self._sub_job = tools, job, sub_job
        self._claim, self._attempt = claim, attempt
        self._is_running = False
        self._untold: Ended | None = None

    @property
    def its(self) -> SubJob:
        assert self._sub_job is not None
        return self._sub_job

    async def begin(self, name: str, phase: str, usual_ms: int | None) -> bool:
        """Record that a step begins, or that it is begun once more because it did not come to its end before.

        Where the job is to be cancelled, nothing more is done: then that is recorded of a step that was begun, and
        the answer is False.
        """
        at, data = self._tools.clock(), {"name": name, "phase": phase}
        left = seconds_left(0, 0, 0, usual_ms=usual_ms)
        known = {} if left is None else {"seconds_left": left}

        def write(tx: Transaction, cancelled: bool) -> bool:
            if phase == "do" and cancelled:
                self._end_if_begun(tx, name, at)
                return False
            if not self._is_running:
                tx.jobs.move(self.its, SubJobStatus.RUNNING, at)
            if not self._add(tx, "started", at, data | known):
                self._note(tx, "resumed", at, data)
            return True

        self._is_running = await self._write(write, lasting=False)
        return self._is_running

    async def progress(self, name: str, phase: str, told: Mapping[str, Any], at: int) -> None:
        """Record how far a step is."""
        data = {"name": name, "phase": phase, **told}
        await self._write(lambda tx, _: self._note(tx, "progress", at, data), lasting=False)

    def end(self, name: str, phase: str, status: str, **data: Any) -> Ended:
        """Return how a step ended, as it is to be told."""
        return Ended(at=self._tools.clock(), data={"name": name, "phase": phase, "status": status, **data})

    def goes_on_after(self, ended: Ended) -> None:
        """Have it told with what is recorded next how the last step ended."""
        self._untold = ended

    async def end_sub_job(self, status: SubJobStatus, ending: Ending) -> None:
        """Move the sub-job to its end and write the ending in one transaction; a repetition finds it there already."""
        at = self._tools.clock()

        def end(tx: Transaction) -> None:
            if tx.jobs.move(self.its, status, at):
                resource_id = ending(tx, at)
                if resource_id is not None:
                    tx.jobs.name_resource(self.its, resource_id)

        await self.write(end)

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Write in one transaction, unless another worker has claimed the job since. Raises JobLost then."""
        return await self._write(lambda tx, _: work(tx), lasting=True)

    async def _write(self, work: Callable[[Transaction, bool], T], *, lasting: bool) -> T:
        """Do what `write` does; `work` is told as well whether the job is to be cancelled.

        What is said of steps need not be `lasting`: the checkpoint after the step lies behind it in the same log of
        the database and makes both last, and without the checkpoint the step is run and recorded again (ADR 0024).
        """
        untold = self._untold

        def fenced(tx: Transaction) -> T:
            claimed, cancelled = tx.jobs.hold(self._job.id, self._claim)
            if not claimed:
                raise JobLost(f"another worker has taken over the job {self._job.id}")
            if untold:
                self._add(tx, "ended", **untold)
            return work(tx, cancelled)

        result = await self._tools.store.write(fenced, lasting=lasting)
        if self._untold is untold:
            self._untold = None
        return result

    def _end_if_begun(self, tx: Transaction, name: str, at: int) -> None:
        """Record that a step has failed, if a process began it and died in it: it is not begun again."""
        if tx.events.has(self._once("do", name, "started")):
            error = f"{name}: {Cancelled().message}"
            self._add(tx, "ended", at, {"name": name, "phase": "do", "status": "FAILED", "error": error})

    def _add(self, tx: Transaction, what: str, at: int, data: Mapping[str, Any]) -> bool:
        """Write an event of a step, unless a repetition has written it before; say whether it was written."""
        return self._note(
            tx, what, at, data, once=self._once(data["phase"], data["name"], what, data.get("status", ""))
        )

    def _note(self, tx: Transaction, what: str, at: int, data: Mapping[str, Any], *, once: str | None = None) -> bool:
        return tx.events.add(
            f"step.{what}",
            at,
            self.its.project_id,
            job_id=self._job.id,
            sub_job_id=self.its.id,
            data=data,
            once=once,
        )

    def _once(self, phase: str, name: str, what: str, status: str = "") -> str:
        """Return the name under which an event of a step is written once, however often the step is repeated."""
        return f"{self.its.id}:{self._attempt}{phase}:{name}:{what}:{status}"
