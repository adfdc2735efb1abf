"""The engine: runs plans as durable workflows on DBOS Transact, which checkpoints every step in our own database.

A process may die at any instruction. When it starts again, DBOS calls the workflow anew, hands back the results of the
steps that ended, and runs the one that was interrupted once more; therefore every step is idempotent.
"""

import logging
import os
import secrets
import socket
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from dbos import DBOS, DBOSClient, DBOSConfig

from darkroom.domain.chores import Problem
from darkroom.domain.ids import JobId, SubJobId, new_hex
from darkroom.domain.jobs import Job, JobType
from darkroom.domain.limits import Rooms, Waiting
from darkroom.store.store import Store
from darkroom.store.transaction import Transaction
from darkroom.workflows import checkpointed, create_image, create_server, delete_server
from darkroom.workflows.admission import admit
from darkroom.workflows.patience import patiently
from darkroom.workflows.plan import Plan, Tools, cleaning
from darkroom.workflows.runner import Runner
from darkroom.workflows.takeover import Takeover

#: Plans of all versions by which there may still be jobs in flight; new jobs begin by the newest of their type.
PLANS: Final[tuple[Plan, ...]] = (create_server.PLAN, create_image.PLAN, delete_server.PLAN)
#: The workflow that undoes what jobs could not undo; one for each attempt, named `<job id>-clean-<attempt>`.
CLEAN: Final = "CLEAN"
_NAME: Final = "darkroom"
#: DBOS's version of the application. It stays: what has versions are the plans, and those have queues of their own.
_APPLICATION_VERSION: Final = "1"


class Engine:
    """Accepts jobs in the caller's own transaction and, where it `works`, runs them."""

    def __init__(
        self, store: Store, tools: Tools, rooms: Rooms, *, works: bool, workers: int, poll_interval: float
    ) -> None:
        self._store, self._tools, self._rooms, self._works = store, tools, rooms, works
        self._workers, self._poll_interval = workers, poll_interval
        self._client: DBOSClient | None = None
        self._takeover: Takeover | None = None

    def start(self) -> None:
        """Take up the jobs that a former process left unfinished, then wait for new ones. Blocks until it is ready.

        Raises Unavailable.
        """
        url = self._store.database.url
        with self._store.database.answering():
            DBOS.migrate(url)
            # Before any job is worked on: one that ends lets others begin.
            self._client = DBOSClient(system_database_url=url, application_name=_NAME)
            self._store.database.write_now(lambda tx: self.admit(tx, all_types=True))
            if self._works:
                self._start_working(sa.make_url(url))

    def stop(self) -> None:
        """Stop working. Jobs in flight are left where they are, to be taken up by the next start or another worker."""
        logging.getLogger("dbos").setLevel(logging.ERROR)  # it would warn of each of them
        if self._client is not None:
            self._client.destroy()
            self._client = None
        DBOS.destroy(destroy_registry=True)
        # Last: before, others might begin jobs that this process had not yet let go of.
        if self._takeover is not None:
            self._takeover.stop()
            self._takeover = None

    def _start_working(self, url: sa.URL) -> None:
        """Begin to run jobs. On SQLite there is one process for a database, and it takes up what the last one left."""
        shared = url.get_backend_name() == "postgresql"
        worker = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}" if shared else "local"
        config = DBOSConfig(
            name=_NAME,
            system_database_url=url.render_as_string(hide_password=False),
            application_version=_APPLICATION_VERSION,
            executor_id=worker,
            log_level="WARNING",
            # It tries again what a dead connection has cost it; to try each one before use costs 20 round trips a job.
            db_engine_kwargs={"pool_pre_ping": False},
        )
        DBOS(config=config)
        # DBOS brings a handler and a form of its own; its messages go where ours go.
        logger = logging.getLogger("dbos")
        logger.handlers.clear()
        logger.propagate = True
        for plan in PLANS:
            _register(_workflow_of(plan.job_type, plan.version), self._workflow(plan))
        _register(CLEAN, self._cleaning())
        # No others: a worker of a later version may have queues for plans that this one does not know.
        queues = sorted({_queue_of(plan.version) for plan in PLANS})
        DBOS.listen_queues(queues)
        if shared:
            self._takeover = Takeover(url, worker, queues)
            self._takeover.start_holding()
        DBOS.launch()
        for queue in queues:
            DBOS.register_queue(
                queue,
                worker_concurrency=self._workers,
                polling_interval_sec=self._poll_interval,
                on_conflict="always_update",
            )
        if self._takeover is not None:
            self._takeover.start_watching()

    def accept(self, tx: Transaction, job: Job) -> None:
        """Record a job and, as soon as there is room for it, queue it; all in the caller's transaction."""
        job = msgspec.structs.replace(job, plan=_newest_of(job.job_type).version)
        waits = not job.is_final and self._rooms.of(job.job_type).is_limited
        tx.jobs.add(job, admitted=not waits)
        if waits:
            self.admit(tx, newcomer=job.id)
        elif not job.is_final:
            self._queue(tx, job.job_type, job.id, job.plan)

    def admit(self, tx: Transaction, *, all_types: bool = False, newcomer: JobId | None = None) -> None:
        """Queue the waiting jobs for which there is room now; `all_types` is for when a limit may have been lifted."""
        job_types = list(JobType) if all_types else list(self._rooms.limited())
        for job_type, waiting in admit(tx, self._rooms, self._tools.clock(), job_types, newcomer):
            self._queue(tx, job_type, waiting.job_id, waiting.plan)

    async def readmit(self) -> list[Problem]:
        """Queue the waiting jobs for which room was made by something else than the end of a job."""
        await self._store.write(self.admit)
        return []

    def release(self, tx: Transaction, job: Job) -> None:
        """Queue a job without waiting for room: it has been cancelled, and what it will do needs none."""
        if tx.jobs.admit(Waiting(job_id=job.id, project_id=job.project_id), self._tools.clock()):
            self._queue(tx, job.job_type, job.id, job.plan)

    def clean(self, tx: Transaction, job: Job, sub_jobs: Sequence[SubJobId]) -> None:
        """Have what these sub-jobs of an ended job did be undone once more, in the caller's transaction."""
        attempt = secrets.token_hex(4)
        name = f"{job.id}-clean-{attempt}"
        self._enqueue(tx, _queue_of(job.plan), CLEAN, name, job.id, list(sub_jobs), attempt)

    def forget(self, job_ids: Collection[JobId]) -> None:
        """Remove the checkpoints of jobs that ended long ago. Blocks."""
        assert self._client is not None, "the engine forgets jobs only after start()"
        prefixes = [f"{job_id}-clean-" for job_id in job_ids]
        cleanings = self._client.list_workflows(workflow_id_prefix=prefixes, load_input=False, load_output=False)
        self._client.delete_workflows([*job_ids, *(workflow.workflow_id for workflow in cleanings)])

    def _queue(self, tx: Transaction, job_type: JobType, job_id: JobId, version: int) -> None:
        self._enqueue(tx, _queue_of(version), _workflow_of(job_type, version), job_id, job_id)

    def _enqueue(self, tx: Transaction, queue: str, workflow: str, workflow_id: str, *arguments: Any) -> None:
        assert self._client is not None, "the engine accepts jobs only after start()"
        self._client.enqueue_in_transaction(
            tx.connection,
            {
                "queue_name": queue,
                "workflow_name": workflow,
                "workflow_id": workflow_id,
                "app_version": _APPLICATION_VERSION,
            },
            *arguments,
        )

    def _workflow(self, plan: Plan) -> Callable[[JobId], Awaitable[None]]:
        async def run(job_id: JobId) -> None:
            job, claim = await self._claim(job_id)
            if job is None:
                return
            for sub_job in job.sub_jobs:
                await checkpointed.run(plan, Runner(self._tools, plan, job, sub_job, claim))
            await checkpointed.take(Runner(self._tools, plan, job, None, claim), "end job", Runner.end_job, self.admit)

        return run

    def _cleaning(self) -> Callable[[JobId, list[SubJobId], str], Awaitable[None]]:
        async def clean(job_id: JobId, sub_jobs: list[SubJobId], attempt: str) -> None:
            job, claim = await self._claim(job_id)
            if job is None:
                return
            known = plan_of(job)
            assert known is not None, "only who knows the plan listens to its queue"
            plan = cleaning(known)
            for sub_job in job.sub_jobs:
                if sub_job.id in sub_jobs:
                    await checkpointed.undo(plan.steps, Runner(self._tools, plan, job, sub_job, claim, attempt))

        return clean

    async def _claim(self, job_id: JobId) -> tuple[Job | None, str]:
        """Return a job, None if it was purged before it was begun, and the claim of who runs it from now on.

        It is not a checkpointed step: whoever runs the job claims it, each time anew.
        """
        claim = new_hex()

        async def work() -> Job | None:
            job = await self._store.jobs.find(job_id)
            if job:
                await self._store.write(lambda tx: tx.jobs.claim(job_id, claim))
            return job

        return await patiently(work, job_id), claim


def _register(name: str, workflow: Callable[..., Awaitable[None]]) -> None:
    """Have the engine run a workflow by that name, however often the process that runs it has died."""
    DBOS.workflow(name=name, max_recovery_attempts=None)(workflow)


def _newest_of(job_type: JobType) -> Plan:
    return max((plan for plan in PLANS if plan.job_type is job_type), key=lambda plan: plan.version)


def plan_of(job: Job) -> Plan | None:
    """Return the plan by which a job is carried out; None if only later versions of Darkroom know it."""
    return next((plan for plan in PLANS if (plan.job_type, plan.version) == (job.job_type, job.plan)), None)


def _workflow_of(job_type: JobType, version: int) -> str:
    """Return the name of the workflow that carries out a version of a plan, also of one that only others know."""
    return job_type if version == 1 else f"{job_type}-{version}"


def _queue_of(version: int) -> str:
    """Return the queue for plans of a version: only workers that know them listen to it."""
    return "jobs" if version == 1 else f"jobs-{version}"
