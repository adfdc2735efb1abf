"""The runner: carries out one step of a sub-job and records it, so that a repetition records nothing twice."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypedDict

import structlog

from darkroom.domain.jobs import Job, SubJob, SubJobStatus
from darkroom.errors import Cancelled, DarkroomError, JobFault, StepTimedOut
from darkroom.store.transaction import Transaction
from darkroom.workflows.plan import Action, Detail, Ending, Plan, Step, Tools, Work
from darkroom.workflows.progress import ProgressWriter

log = structlog.get_logger(__name__)

#: The longest message of a fault that is kept with the job.
MESSAGE_LIMIT = 2000
#: Seconds between two looks, during a step, at whether the job is to be cancelled.
CANCEL_INTERVAL = 0.5


class Fault(TypedDict):
    """Why a step failed, as it stands in `job_execute_info`."""

    code: str
    message: str


class StepResult(TypedDict):
    """Plain data, so that it can be read back by any later version."""

    fault: Fault | None


WELL = StepResult(fault=None)


class JobLost(asyncio.CancelledError):
    """Another worker has the job: this one stops where it is, and neither undoes nor records anything more."""


class Runner:
    """Carries out the steps of one sub-job."""

    def __init__(
        self, tools: Tools, plan: Plan, job: Job, sub_job: SubJob | None, claim: str, attempt: str = ""
    ) -> None:
        """`attempt` tells steps that are meant to run once more from those that only run again after a crash."""
        self._tools, self._plan, self._job, self._sub_job = tools, plan, job, sub_job
        self._claim, self._attempt = claim, attempt

    def name(self, step: str) -> str:
        """Return the name that a step has in its job: a job may run the same steps for several resources."""
        return f"{self._its.id}: {step}"

    async def do(self, step: Step) -> StepResult:
        """Do a step, unless the job is to be cancelled."""
        if await self._tools.store.jobs.is_cancelled(self._job.id):
            fault = self._fault(step.name, Cancelled())
            await self._end_if_begun(step.name, fault)
            return StepResult(fault=fault)
        return await self._carry_out(step.name, "do", step.do)

    async def undo(self, step: Step) -> StepResult:
        assert step.undo is not None
        return await self._carry_out(step.name, "undo", step.undo)

    async def succeed(self) -> StepResult:
        """End the sub-job as SUCCESS."""
        try:
            ending = await self._plan.succeed(self._work("finish", "do"))
        except Exception as error:
            return StepResult(fault=self._fault("finish", error))
        await self._end(SubJobStatus.SUCCESS, ending)
        return WELL

    async def roll_back(self, fault: Fault) -> StepResult:
        """Show that a step failed, why, and that what came before it is being undone."""

        def begin(tx: Transaction) -> None:
            tx.jobs.move(
                self._its,
                SubJobStatus.ROLLBACK,
                self._tools.clock(),
                error_code=fault["code"],
                error_message=fault["message"],
            )

        await self._write(begin)
        return WELL

    async def fail(self, undone: bool) -> StepResult:
        """End the sub-job as FAILED, or as ABNORMAL if something could not be undone."""
        ending = await self._plan.fail(self._work("finish", "undo"))
        await self._end(SubJobStatus.FAILED if undone else SubJobStatus.ABNORMAL, ending)
        return WELL

    async def end_job(self, admit: Callable[[Transaction], None]) -> StepResult:
        """End the job, and let those begin that waited for the room it leaves."""

        def end(tx: Transaction) -> None:
            tx.jobs.end(self._job, self._tools.clock())
            admit(tx)

        await self._write(end)
        return WELL

    @property
    def _its(self) -> SubJob:
        assert self._sub_job is not None
        return self._sub_job

    def _work(self, name: str, phase: str) -> Work:
        progress = ProgressWriter(self._tools, self._its, name, phase)
        return Work(self._job, self._its, self._tools, progress)

    async def _carry_out(self, name: str, phase: str, action: Action) -> StepResult:
        await self._record(name, phase, "started", {}, also=self._begin)
        work = self._work(name, phase)
        try:
            if phase == "do":
                detail = await self._unless_cancelled(action(work)) or {}
            else:
                detail = await self._in_time(action(work)) or {}
        except Exception as error:
            fault = self._fault(name, error)
            await self._record(name, phase, "ended", {"status": "FAILED", "error": fault["message"]})
            return StepResult(fault=fault)
        await self._record(name, phase, "ended", {"status": "SUCCESS", "detail": detail})
        return WELL

    async def _in_time(self, action: Awaitable[Detail | None]) -> Detail | None:
        """Return what the action returns. Raises StepTimedOut: a step that hangs must not hold a job for ever."""
        limit = self._tools.limits.step
        try:
            async with asyncio.timeout(limit):
                return await action
        except TimeoutError:
            raise StepTimedOut(f"It took longer than {limit:.0f} s.") from None

    async def _unless_cancelled(self, action: Coroutine[Any, Any, Detail | None]) -> Detail | None:
        """Return what the action returns; end it and raise Cancelled as soon as the job is to be cancelled."""
        doing = asyncio.ensure_future(self._in_time(action))
        try:
            while not (await asyncio.wait([doing], timeout=CANCEL_INTERVAL))[0]:
                if await self._tools.store.jobs.is_cancelled(self._job.id):
                    raise Cancelled
            return await doing
        finally:
            doing.cancel()
            await asyncio.wait([doing])

    def _begin(self, tx: Transaction, at: int) -> None:
        tx.jobs.move(self._its, SubJobStatus.RUNNING, at)

    async def _record(
        self,
        name: str,
        phase: str,
        what: str,
        data: Mapping[str, Any],
        *,
        also: Callable[[Transaction, int], None] | None = None,
    ) -> None:
        at = self._tools.clock()

        def write(tx: Transaction) -> None:
            if also:
                also(tx, at)
            self._add(tx, what, at, {"name": name, "phase": phase, **data})

        await self._write(write)

    async def _end_if_begun(self, name: str, fault: Fault) -> None:
        """Record that a step has failed, if a process began it and died in it: it is not begun again."""
        at, data = self._tools.clock(), {"name": name, "phase": "do", "status": "FAILED", "error": fault["message"]}

        def write(tx: Transaction) -> None:
            begun = tx.events.has(self._once("do", name, "started"))
            if begun and not tx.events.has(self._once("do", name, "ended", "SUCCESS")):
                self._add(tx, "ended", at, data)

        await self._write(write)

    def _add(self, tx: Transaction, what: str, at: int, data: Mapping[str, Any]) -> None:
        tx.events.add(
            f"step.{what}",
            at,
            self._its.project_id,
            job_id=self._job.id,
            sub_job_id=self._its.id,
            data=data,
            once=self._once(data["phase"], data["name"], what, data.get("status", "")),
        )

    def _once(self, phase: str, name: str, what: str, status: str = "") -> str:
        """Return the name under which an event of a step is written once, however often the step is repeated."""
        return f"{self._its.id}:{self._attempt}{phase}:{name}:{what}:{status}"

    async def _write(self, work: Callable[[Transaction], None]) -> None:
        """Write in one transaction, unless another worker has claimed the job since. Raises JobLost then."""

        def fenced(tx: Transaction) -> None:
            if not tx.jobs.is_claimed(self._job.id, self._claim):
                raise JobLost(f"another worker has taken over the job {self._job.id}")
            work(tx)

        await self._tools.store.write(fenced)

    async def _end(self, status: SubJobStatus, ending: Ending) -> None:
        """Move the sub-job to its end and write the ending in one transaction; a repetition finds it there already."""
        at = self._tools.clock()

        def end(tx: Transaction) -> None:
            if tx.jobs.move(self._its, status, at):
                resource_id = ending(tx, at)
                if resource_id is not None:
                    tx.jobs.name_resource(self._its, resource_id)

        await self._write(end)

    def _fault(self, step: str, error: Exception) -> Fault:
        if not isinstance(error, DarkroomError):
            log.error("step failed unexpectedly", job_id=self._job.id, step=step, exc_info=error)
            error = JobFault(f"{type(error).__name__}: {error}")
        log.warning("step failed", job_id=self._job.id, step=step, code=error.code, reason=error.message)
        return Fault(code=error.code, message=f"{step}: {error.message}"[:MESSAGE_LIMIT])
