"""The runner: carries out one step of a sub-job, so that a repetition does and records nothing twice."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from typing import Any, NotRequired, TypedDict

import structlog

from darkroom.domain.ids import JobId
from darkroom.domain.jobs import Job, SubJob, SubJobStatus
from darkroom.drivers.base import Progress, no_progress
from darkroom.errors import Cancelled, DarkroomError, JobFault, StepTimedOut, Unavailable
from darkroom.store.transaction import Transaction
from darkroom.workflows import evidence
from darkroom.workflows.journal import Ended, Journal
from darkroom.workflows.plan import Action, Detail, Plan, Step, Tools, Work
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
    """Plain data, so that it can be read back by any later version.

    `ended` is how a step of the plan ended. Where it is missing, that has been told, or there is nothing to tell.
    """

    fault: Fault | None
    ended: NotRequired[Ended]


WELL = StepResult(fault=None)


class Runner:
    """Carries out the steps of one sub-job."""

    def __init__(
        self, tools: Tools, plan: Plan, job: Job, sub_job: SubJob | None, claim: str, attempt: str = ""
    ) -> None:
        """`attempt` tells steps that are meant to run once more from those that only run again after a crash."""
        self._tools, self._plan, self._job, self._sub_job = tools, plan, job, sub_job
        self._journal = Journal(tools, job, sub_job, claim, attempt)
        self._usual: Mapping[str, int] | None = None

    @property
    def job_id(self) -> JobId:
        return self._job.id

    def name(self, step: str) -> str:
        """Return the name that a step has in its job: a job may run the same steps for several resources."""
        return f"{self._sub_job.id}: {step}" if self._sub_job else step

    def goes_on_after(self, result: StepResult) -> None:
        """Learn how the step before ended, in this process or in one that died since."""
        if ended := result.get("ended"):
            self._journal.goes_on_after(ended)

    async def do(self, step: Step) -> StepResult:
        """Do a step, unless the job is to be cancelled."""
        return await self._carry_out(step.name, "do", step.do)

    async def undo(self, step: Step) -> StepResult:
        assert step.undo is not None
        return await self._carry_out(step.name, "undo", step.undo)

    async def succeed(self) -> StepResult:
        """End the sub-job as SUCCESS."""
        try:
            ending = await self._plan.succeed(self._work())
        except Exception as error:
            return StepResult(fault=await self._failed("finish", error))
        await self._journal.end_sub_job(SubJobStatus.SUCCESS, ending)
        return WELL

    async def roll_back(self, fault: Fault) -> StepResult:
        """Show that a step failed, why, and that what came before it is being undone, but for what shall be kept."""
        is_failure = fault["code"] != Cancelled.code
        keep = await self._plan.keep(self._work()) if self._plan.keep and is_failure else None
        at = self._tools.clock()

        def begin(tx: Transaction) -> None:
            moved = tx.jobs.move(
                self._its, SubJobStatus.ROLLBACK, at, error_code=fault["code"], error_message=fault["message"]
            )
            if moved and keep:
                keep(tx, at)

        await self._journal.write(begin)
        return WELL

    async def fail(self, undone: bool) -> StepResult:
        """End the sub-job as FAILED, or as ABNORMAL if something could not be undone."""
        ending = await self._plan.fail(self._work())
        await self._journal.end_sub_job(SubJobStatus.FAILED if undone else SubJobStatus.ABNORMAL, ending)
        return WELL

    async def end_job(self, admit: Callable[[Transaction], None]) -> StepResult:
        """End the job, and let those begin that waited for the room it leaves."""

        def end(tx: Transaction) -> None:
            tx.jobs.end(self._job, self._tools.clock())
            admit(tx)

        await self._journal.write(end)
        return WELL

    @property
    def _its(self) -> SubJob:
        return self._journal.its

    def _work(self, progress: Progress = no_progress) -> Work:
        return Work(self._job, self._its, self._tools, self._journal.write, progress)

    async def _carry_out(self, name: str, phase: str, action: Action) -> StepResult:
        usual_ms = await self._usual_ms(name) if phase == "do" else None
        if not await self._journal.begin(name, phase, usual_ms):
            return StepResult(fault=self._fault(name, Cancelled()))
        progress = ProgressWriter(partial(self._journal.progress, name, phase), self._tools.clock, usual_ms)
        try:
            doing = action(self._work(progress))
            detail = await (self._unless_cancelled(doing) if phase == "do" else self._in_time(doing)) or {}
        except Exception as error:
            await progress.end()
            fault = await self._failed(name, error) if phase == "do" else self._fault(name, error)
            return StepResult(fault=fault, ended=self._journal.end(name, phase, "FAILED", error=fault["message"]))
        await progress.end()
        return StepResult(fault=None, ended=self._journal.end(name, phase, "SUCCESS", detail=detail))

    async def _usual_ms(self, step: str) -> int | None:
        """Return how long a step has taken in jobs before; None if there were none."""
        if self._usual is None:
            self._usual = await self._tools.store.events.usual_durations(self._job.project_id, self._job.job_type)
        return self._usual.get(step)

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

    async def _failed(self, step: str, error: Exception) -> Fault:
        """Return the fault of a step that failed, once what the machine shows has been kept as evidence."""
        fault = self._fault(step, error)
        if isinstance(error, Cancelled):
            return fault
        sight = await evidence.look(self._tools.compute, self._work().server_id)
        found = evidence.of_failure(self._its, self._tools.clock(), step, fault["code"], error, sight)
        try:
            await self._journal.write(lambda tx: tx.evidence.keep(found, sight.screen))
        except Unavailable:
            raise  # the step is tried again, as with anything else that cannot be recorded
        except Exception:
            log.exception("evidence could not be kept", job_id=self._job.id, step=step)
        return fault

    def _fault(self, step: str, error: Exception) -> Fault:
        if not isinstance(error, DarkroomError):
            log.error("step failed unexpectedly", job_id=self._job.id, step=step, exc_info=error)
            error = JobFault(f"{type(error).__name__}: {error}")
        log.warning("step failed", job_id=self._job.id, step=step, code=error.code, reason=error.message)
        return Fault(code=error.code, message=f"{step}: {error.message}"[:MESSAGE_LIMIT])
