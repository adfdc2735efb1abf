"""The machine of a creation that failed is kept for as long as was asked for, and then removed."""

from typing import Final

import structlog

from darkroom.domain.chores import Problem
from darkroom.errors import DarkroomError
from darkroom.store.kept import KeptMachine
from darkroom.store.transaction import Transaction
from darkroom.workflows.plan import Ending, Tools, Work

log = structlog.get_logger(__name__)

#: How long to keep it, in the order of a job: minutes.
ORDERED: Final = "keep_minutes"


async def keep_machine(work: Work) -> Ending:
    """Return what is written as the undoing begins: that the machine, if there is one, stays until a time."""
    minutes = work.job.order.get(ORDERED, 0)
    kept = bool(minutes) and await _is_there(work)

    def begin(tx: Transaction, at: int) -> None:
        if kept:
            tx.kept.keep(work.server_id, at, minutes, job=work.job)

    return begin


async def _is_there(work: Work) -> bool:
    try:
        return await work.tools.compute.find(work.server_id) is not None
    except DarkroomError as error:
        log.warning("whether there is a machine to keep is not known", job_id=work.job.id, reason=error.message)
        return True


async def drop_kept_machine(work: Work) -> None:
    """Remove the machine that an earlier attempt left for inspection: this one makes its own."""
    tools = work.tools
    if await tools.store.kept.until(work.server_id):
        await tools.compute.delete(work.server_id)
        at = tools.clock()
        await work.write(lambda tx: tx.kept.end(work.server_id, work.job.project_id, at))


class Reaper:
    """Removes kept machines whose time is over. One that died over it is followed by the next, which begins anew."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    async def reap(self) -> list[Problem]:
        """Remove what is due; return what could not be removed."""
        problems: list[Problem] = []
        for machine in await self._tools.store.kept.due(self._tools.clock()):
            try:
                await self._reap(machine)
            except DarkroomError as error:
                found = Problem(project_id=machine.project_id, resource_id=machine.server_id, problem=error.message)
                problems.append(found)
        return problems

    async def _reap(self, machine: KeptMachine) -> None:
        store, now = self._tools.store, self._tools.clock()
        if not await store.write(lambda tx: tx.kept.begin_reaping(machine.server_id, now)):
            return  # a job has begun meanwhile
        await self._tools.compute.delete(machine.server_id)
        at = self._tools.clock()
        await store.write(lambda tx: tx.kept.end(machine.server_id, machine.project_id, at))
        log.info("a machine that was kept for inspection is removed", server_id=machine.server_id)
