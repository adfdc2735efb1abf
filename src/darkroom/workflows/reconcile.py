"""Reconciliation of machines: what runs on the host is compared with what the records say, and the two made to agree.

Nothing is touched about which a job runs. That is told by the image server's state (contract section 6.1): a job moves
it away from ACTIVE and BUILT in the transaction that accepts the job, and every change here is made in one that finds
it still there. All processes that share records share the machines, too.
"""

from collections.abc import Awaitable
from typing import Final

import structlog

from darkroom.domain.chores import Problem
from darkroom.domain.ids import ProjectId, ServerId, minted_at
from darkroom.domain.servers import IDLE, ImageServer
from darkroom.drivers.base import Machine, MachineState
from darkroom.errors import DarkroomError
from darkroom.workflows.plan import Tools

log = structlog.get_logger(__name__)

#: Milliseconds for which a machine that has no record is let be.
GRACE_MS: Final = 10 * 60 * 1000
#: How often a machine is started again within so many milliseconds before it is given up.
STARTS: Final = 3
STARTS_MS: Final = 60 * 60 * 1000
#: Lines of the serial console that are kept with the reason.
CONSOLE_LINES: Final = 20
STOPPED: Final = "server.machine_stopped"


class Machines:
    """Makes machines and records agree."""

    def __init__(self, tools: Tools) -> None:
        self._tools, self._store, self._compute = tools, tools.store, tools.compute

    async def reconcile(self) -> list[Problem]:
        """Remove machines that are nobody's, and see to every server that should have one; return what remains."""
        machines = {machine.key: machine for machine in await self._compute.machines()}
        problems: list[Problem] = []
        for machine in machines.values():
            problems += await tolerating(self._see_whose(machine), ProjectId(""), machine.key)
        for server in await self._store.servers.with_status(IDLE):
            seen = self._see_to(server, machines.get(server.id))
            problems += await tolerating(seen, server.project_id, server.id)
        return problems

    async def _see_whose(self, machine: Machine) -> list[Problem]:
        """Remove a machine whose server these records once knew; others may belong to records that were lost."""
        if not _is_old(machine.key, self._tools.clock()):
            return []
        if await self._store.servers.find(machine.key) or machine.key in await self._store.jobs.busy():
            return []
        project_id, at = await self._store.events.project_of(machine.key), self._tools.clock()
        if not project_id:
            problem = (
                "There is a machine of this name, of which the records know nothing. It is left alone: restore the"
                " records that know it, or end it and remove what has its name in the data folder."
            )
            return [Problem(project_id=project_id, resource_id=machine.key, problem=problem)]
        log.warning("a machine that belongs to no image server is removed", machine=machine.key, state=machine.state)
        await self._compute.delete(machine.key)
        data = {"state": machine.state, "instance_id": machine.instance_id}
        await self._store.write(
            lambda tx: tx.events.add("machine.orphan_removed", at, project_id, resource_id=machine.key, data=data)
        )
        return []

    async def _see_to(self, server: ImageServer, machine: Machine | None) -> None:
        """See that an idle server has its machine, that it runs, and that its door is where the record says."""
        if machine is None or machine.state is not MachineState.RUNNING:
            machine = await self._compute.find(server.id)  # the record may be newer than the first look
        if machine is None:
            await self._fail(server, "Its machine is gone: there is nothing of it on the host that could be started.")
        elif machine.state is MachineState.STOPPED:
            await self._start_again(server, machine)
        else:
            await self._see_door(server, machine)

    async def _start_again(self, server: ImageServer, machine: Machine) -> None:
        """Start a machine that has stopped, unless it does nothing but stop. Whatever comes of a start, it counts."""
        at = self._tools.clock()
        starts = await self._store.events.count(STOPPED, server.id, at - STARTS_MS)
        console = await self._compute.serial_tail(server.id, CONSOLE_LINES)
        if starts >= STARTS:
            lines = "".join(f"\n{line}" for line in console)
            told = f" Last lines of the serial console:{lines}" if console else ""
            await self._fail(
                server,
                f"Its machine has stopped ({machine.why}). It was started again {starts} times within an hour, and it"
                f" or its start failed each time.{told}",
            )
            return
        data = {"why": machine.why, "start": starts + 1, "of": STARTS, "console": console}
        if not await self._store.write(lambda tx: tx.servers.tell(server, at, STOPPED, data)):
            return  # a job has begun meanwhile
        log.warning("a machine has stopped and is started again", server_id=server.id, why=machine.why)
        machine = await self._compute.restart(server.id)
        await self._see_door(server, machine)
        now = self._tools.clock()
        await self._store.write(
            lambda tx: tx.events.add("server.restarted", now, server.project_id, resource_id=server.id)
        )

    async def _see_door(self, server: ImageServer, machine: Machine) -> None:
        """Keep the port of a machine that did not get its former one again. The host key is on its disk, and stays."""
        access = await self._store.servers.access(server)
        if machine.ssh_port in (0, access.port):
            return
        moved = access.with_door(access.address, machine.ssh_port, access.host_key)
        await self._store.write(lambda tx: tx.servers.move_door(server, moved, self._tools.clock()))

    async def _fail(self, server: ImageServer, reason: str) -> None:
        at = self._tools.clock()
        if await self._store.write(lambda tx: tx.servers.fail(server, at, reason)):
            log.warning("an image server is in error", server_id=server.id, reason=reason)


async def tolerating(seeing: Awaitable[list[Problem] | None], project_id: ProjectId, resource_id: str) -> list[Problem]:
    """Return what goes wrong with one resource as a problem: it must not keep the others from being seen to."""
    try:
        return await seeing or []
    except DarkroomError as error:
        reason = error.message
        log.warning("a resource could not be seen to", resource_id=resource_id, reason=reason)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        log.exception("a resource could not be seen to, unexpectedly", resource_id=resource_id)
    return [Problem(project_id=project_id, resource_id=resource_id, problem=reason)]


def _is_old(key: ServerId, now: int) -> bool:
    """Tell whether a machine's server was ordered long enough ago. What is not named by a server's id is not ours."""
    return key.isdecimal() and minted_at(key) < now - GRACE_MS
