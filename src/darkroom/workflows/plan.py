"""A plan is the runbook of a job type: named steps, each idempotent, each with its undo, and how it all ends."""

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from typing import Any

from darkroom.domain.ids import ServerId, Snowflakes
from darkroom.domain.jobs import Job, JobType, SubJob
from darkroom.domain.servers import ImageServer, ServerStatus
from darkroom.domain.times import Clock
from darkroom.drivers.base import Compute, ImageStore, Progress
from darkroom.errors import JobFault
from darkroom.store.app_files import AppFiles
from darkroom.store.store import Store
from darkroom.store.transaction import Transaction


@dataclass(frozen=True)
class Limits:
    """How long the slow steps may take, in seconds; `step` is for any step that has no limit of its own."""

    boot: float
    login: float
    generalise: float
    attach: float
    step: float


@dataclass(frozen=True)
class Tools:
    """What steps work with."""

    store: Store
    compute: Compute
    image_store: ImageStore
    app_files: AppFiles
    snowflakes: Snowflakes
    clock: Clock
    limits: Limits


#: What a step has to say of itself: becomes part of its event.
Detail = Mapping[str, Any]
#: Writes how it all ended, at a time, in the transaction in which the sub-job ends. Returns the sub-job's resource id,
#: or None to leave it as it is.
Ending = Callable[[Transaction, int], str | None]


@dataclass(frozen=True)
class Work:
    """One sub-job being worked on.

    What a step changes in the records it changes by `write`, in one transaction, unless another worker has claimed
    the job since (see Journal).
    """

    job: Job
    sub_job: SubJob
    tools: Tools
    write: Callable[[Callable[[Transaction], object]], Awaitable[object]]
    progress: Progress

    @property
    def server_id(self) -> ServerId:
        """The image server that the sub-job is about."""
        return ServerId(self.job.order.get("server_id") or self.sub_job.resource_id)

    async def server(self) -> ImageServer:
        """Return that server's record as it is now."""
        server = await self.tools.store.servers.find(self.server_id)
        if server is None:
            raise JobFault(f"The image server {self.server_id} has no record any more.")
        return server

    def server_becomes(self, status: ServerStatus) -> Ending:
        """Return an ending in which the server, if it still has a record, is in that state."""

        def end(tx: Transaction, at: int) -> None:
            tx.servers.move(self.server_id, status, at, job=self.job)

        return end


Action = Callable[[Work], Coroutine[Any, Any, Detail | None]]


@dataclass(frozen=True)
class Step:
    """One step: both `do` and `undo` may be repeated, and `undo` may find `do` half done or not begun."""

    name: str
    do: Action
    undo: Action | None = None


@dataclass(frozen=True)
class Plan:
    """The steps of a job type in order; how its sub-job ends when all went well, and when it was undone.

    `keep` returns what is written as the undoing begins, unless the job was cancelled: what of it shall stay.
    Jobs in flight keep to the steps by which they began, across upgrades: a plan whose steps are to change stays as it
    is, and another of the next `version` comes beside it.
    """

    job_type: JobType
    steps: tuple[Step, ...]
    succeed: Callable[[Work], Awaitable[Ending]]
    fail: Callable[[Work], Awaitable[Ending]]
    keep: Callable[[Work], Awaitable[Ending]] | None = None
    version: int = 1


def cleaning(plan: Plan) -> Plan:
    """Return the plan for undoing once more what a job of it could not undo.

    Its ending leaves the image server as it is: others may have worked with it since the job ended.
    """
    return replace(plan, fail=_leave)


async def _leave(work: Work) -> Ending:
    return lambda tx, at: None
