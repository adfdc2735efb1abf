"""Attaching applications to image servers that run (contract sections 3.12 and 3.13)."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

import structlog

from darkroom.domain.accounts import Caller
from darkroom.domain.apps import LISTING, AttachedApp
from darkroom.domain.ids import ProjectId, new_hex
from darkroom.domain.servers import ALLOWED, Action, ImageServer
from darkroom.domain.times import Clock
from darkroom.drivers.base import Compute
from darkroom.errors import AttachFailed, DarkroomError, ServerNotFound, ServerNotReady
from darkroom.services.apps import usable
from darkroom.services.servers import refusal
from darkroom.store.app_files import AppFiles
from darkroom.store.store import Store
from darkroom.store.transaction import Transaction
from darkroom.workflows.attach import attach

log = structlog.get_logger(__name__)

#: Milliseconds that a server is held at a time, and seconds between two renewals of that.
LEASE: Final = 30_000
RENEWAL: Final = 10.0
#: The longest message that the contract's envelope takes (section 2.7).
MESSAGE_LIMIT: Final = 255


class Attaching:
    """What callers may attach, and see attached. Every file and script may take `timeout` seconds."""

    def __init__(self, store: Store, compute: Compute, files: AppFiles, clock: Clock, *, timeout: float) -> None:
        self._store, self._compute, self._files, self._clock = store, compute, files, clock
        self._timeout = timeout

    async def recover(self) -> None:
        """Free the servers to which a former process was attaching. Only where no other process shares the records."""
        await self._store.write(lambda tx: tx.attachments.free_all())

    async def attach(self, caller: Caller, project_id: ProjectId, server_id: str, record_ids: Sequence[str]) -> str:
        """Attach applications to a server that is ACTIVE or BUILT; return where the list of them lies in its guest.

        One attach at a time, and none while an image is built: ServerNotReady. Raises AttachFailed with the last output
        of the script that failed; what came before it stays in the guest.
        """
        caller.must("workspace:imageServer:attachApp", project_id)
        server = await self._server(project_id, server_id)
        records = await usable(self._store, project_id, record_ids, "items")
        async with self._held(server):
            try:
                await attach(self._compute, self._files, server.id, records, timeout=self._timeout)
            except AttachFailed as failure:
                raise failure.within(MESSAGE_LIMIT) from failure
            free = ALLOWED[Action.ATTACH]
            if not await self._store.write(lambda tx: tx.attachments.record(server, records, self._clock(), of=free)):
                raise ServerNotReady(f"The image server {server.id} was deleted while applications were attached.")
        return f"file://{LISTING}"

    async def latest(self, caller: Caller, project_id: ProjectId, server_id: str) -> list[AttachedApp]:
        """Return what the most recent successful attach sent, nothing if there was none. Raises ServerNotFound."""
        caller.must("workspace:imageServer:listLatestAttachedApp", project_id)
        return await self._store.attachments.latest(await self._server(project_id, server_id))

    async def _server(self, project_id: ProjectId, server_id: str) -> ImageServer:
        try:
            return await self._store.servers.get(project_id, server_id)
        except ServerNotFound:
            # The words that Terraform looks for (section 3.12).
            raise ServerNotFound(f"'{server_id}' is a non-existing cloud application server.") from None

    @asynccontextmanager
    async def _held(self, server: ImageServer) -> AsyncIterator[None]:
        """Keep builds and other attaches off the server. Raises ServerNotReady."""
        lease = new_hex()
        await self._store.write(lambda tx: self._begin(tx, server, lease))
        renewing = asyncio.create_task(self._renew(server, lease))
        failure = "interrupted"
        try:
            yield
            failure = ""
        except DarkroomError as error:
            failure = error.message
            raise
        finally:
            renewing.cancel()
            with suppress(asyncio.CancelledError):
                await renewing
            await self._store.write(lambda tx: tx.attachments.end(server, lease, self._clock(), failure))

    def _begin(self, tx: Transaction, server: ImageServer, lease: str) -> None:
        now = self._clock()
        if tx.attachments.begin(server, lease, now, now + LEASE, of=ALLOWED[Action.ATTACH]):
            return
        if tx.attachments.is_going_on(server, now):
            raise ServerNotReady(f"Applications are being attached to the image server {server.id} already.")
        raise refusal(Action.ATTACH, server)

    async def _renew(self, server: ImageServer, lease: str) -> None:
        while True:
            await asyncio.sleep(RENEWAL)
            until = self._clock() + LEASE
            try:
                await self._store.write(lambda tx: tx.attachments.renew(server, lease, until))  # noqa: B023
            except DarkroomError as error:
                log.warning("the lease of an image server was not renewed", server_id=server.id, reason=error.message)
