"""The screens and serial consoles of image servers: who may see and use them, and when."""

from collections.abc import Awaitable, Callable

import structlog

from darkroom.domain.accounts import Caller
from darkroom.domain.ids import ProjectId, ServerId
from darkroom.domain.servers import ALLOWED, Action, ImageServer
from darkroom.drivers.base import Channel, Compute, MachineState
from darkroom.errors import MachineFailed, MachineUnreachable, ServerNotReady
from darkroom.services.servers import refusal
from darkroom.store.store import Store

log = structlog.get_logger(__name__)

Connect = Callable[[ServerId], Awaitable[Channel]]


class Terminals:
    """Opens lines to machines. They are on the host of this process: a driver knows of no others."""

    def __init__(self, store: Store, compute: Compute) -> None:
        self._store, self._compute = store, compute

    async def screen(self, caller: Caller, project_id: ProjectId, server_id: str) -> Channel:
        """Return a line to the screen of an image server, as RFB.

        Raises ServerNotFound, ServerNotReady unless its machine runs, and MachineUnreachable.
        """
        server = await self.check(caller, project_id, server_id)
        return await self._open("screen", self._compute.connect_screen, server, caller)

    async def serial(self, caller: Caller, project_id: ProjectId, server_id: str) -> Channel:
        """Return a line to the serial console of an image server. Raises what `screen` raises."""
        server = await self.check(caller, project_id, server_id)
        return await self._open("serial console", self._compute.connect_serial, server, caller)

    async def check(self, caller: Caller, project_id: ProjectId, server_id: str) -> ImageServer:
        """Return the server if the caller may open its terminals, or keep them open.

        Raises ServerNotFound and ServerNotReady.
        """
        return await self._server("openConsole", caller, project_id, server_id)

    async def screenshot(self, caller: Caller, project_id: ProjectId, server_id: str) -> bytes:
        """Return a picture (PNG) of the screen of an image server. Raises what `screen` raises."""
        server = await self._server("getScreenshot", caller, project_id, server_id)
        await self._must_run(server)
        try:
            picture = await self._compute.screenshot(server.id)
        except MachineFailed as error:
            raise MachineUnreachable(error.message) from error
        if picture is None:
            raise ServerNotReady(f"The machine of the image server {server.id} shows no screen.")
        return picture

    async def _server(self, right: str, caller: Caller, project_id: ProjectId, server_id: str) -> ImageServer:
        caller.must(f"workspace:imageServer:{right}", project_id)
        server = await self._store.servers.get(project_id, server_id)
        if server.status not in ALLOWED[Action.WATCH]:
            raise refusal(Action.WATCH, server)
        return server

    async def _open(self, what: str, connect: Connect, server: ImageServer, caller: Caller) -> Channel:
        await self._must_run(server)
        try:
            channel = await connect(server.id)
        except MachineFailed as error:  # it has ended just now
            raise ServerNotReady(error.message) from error
        except OSError as error:
            raise MachineUnreachable(
                f"The {what} of the image server {server.id} cannot be reached from this process: {error}."
            ) from error
        log.info("terminal opened", terminal=what, server_id=server.id, user_id=caller.user_id)
        return channel

    async def _must_run(self, server: ImageServer) -> None:
        machine = await self._compute.find(server.id)
        if machine is None:
            raise ServerNotReady(f"The image server {server.id} is {server.status} and has no machine on this host.")
        if machine.state is not MachineState.RUNNING:
            raise ServerNotReady(f"The machine of the image server {server.id} does not run: {machine.why}.")
