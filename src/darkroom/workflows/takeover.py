"""Takeover: the jobs of a worker that died are taken up by another, within seconds.

Every worker holds a PostgreSQL session lock named after it, for as long as it lives: the server lets go of the lock
when the connection ends, however the process ended. Whoever gets the lock of a worker that has jobs knows it to be
dead. A worker that loses its own connection cannot know whether others think it dead, and ends itself at once.

Needs connections of its own to the server: a pooler in transaction mode breaks session locks.
"""

import hashlib
import os
import threading
from collections.abc import Callable, Sequence
from typing import Final, NoReturn

import psycopg
import sqlalchemy as sa
import structlog
from dbos import DBOS, WorkflowStatus

log = structlog.get_logger(__name__)

#: Seconds between two rounds, and until a server that does not answer counts as lost.
ROUND: Final = 1.0
SILENCE: Final = 5
#: Exit code of a worker that lost its database (sysexits.h: temporary failure).
LOST_DATABASE: Final = 75


def _end_process() -> NoReturn:
    os._exit(LOST_DATABASE)


class Takeover:
    """Holds this worker's lock, and puts the jobs of dead workers back into the queue."""

    def __init__(
        self, url: sa.URL, worker: str, queues: Sequence[str], *, on_loss: Callable[[], None] = _end_process
    ) -> None:
        """`queues` are those to which this worker listens: of other jobs it knows nothing, and leaves them alone."""
        self._dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._worker, self._queues, self._on_loss = worker, list(queues), on_loss
        self._halt = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="takeover", daemon=True)
        self._connection: psycopg.Connection | None = None

    def start_holding(self) -> None:
        """Take this worker's lock. Must come before the worker takes any job."""
        self._connection = psycopg.connect(
            self._dsn,
            autocommit=True,
            connect_timeout=SILENCE,
            options=f"-c statement_timeout={SILENCE}s",
            keepalives_idle=SILENCE,
            keepalives_interval=1,
            keepalives_count=3,
            tcp_user_timeout=SILENCE * 1000,
        )
        if not self._lock(self._connection, self._worker):
            raise RuntimeError(f"another worker is called {self._worker}")

    def start_watching(self) -> None:
        """Begin to watch the lock and the other workers."""
        self._thread.start()

    def stop(self) -> None:
        """Let go of the lock. Jobs that are still this worker's may be taken over from now on."""
        self._halt.set()
        if self._thread.is_alive():
            self._thread.join(2 * SILENCE)
        if self._connection is not None:
            self._connection.close()

    def _watch(self) -> None:
        assert self._connection is not None
        while not self._halt.wait(ROUND):
            try:
                self._round(self._connection)
            except psycopg.Error as error:
                log.critical("the worker lost its database and ends itself", worker=self._worker, reason=str(error))
                self._on_loss()
                return

    def _round(self, connection: psycopg.Connection) -> None:
        connection.execute("SELECT 1")
        for worker in {workflow.executor_id for workflow in self._running()} - {self._worker, None}:
            assert worker is not None
            if not self._lock(connection, worker):
                continue
            try:
                # Looked up under the lock: a third worker may have been here in between.
                jobs = {workflow.workflow_id: workflow.queue_name for workflow in self._running(worker)}
                log.warning("taking over the jobs of a dead worker", dead=worker, jobs=list(jobs))
                for job_id, queue in jobs.items():
                    DBOS.resume_workflow(job_id, queue_name=queue)
            finally:
                connection.execute("SELECT pg_advisory_unlock(%s)", (_lock_number(worker),))

    def _running(self, worker: str | None = None) -> list[WorkflowStatus]:
        """Return the workflows that a worker, or any, has in its hands, and that this one could go on with."""
        return DBOS.list_workflows(
            status="PENDING", executor_id=worker, queue_name=self._queues, load_input=False, load_output=False
        )

    def _lock(self, connection: psycopg.Connection, worker: str) -> bool:
        row = connection.execute("SELECT pg_try_advisory_lock(%s)", (_lock_number(worker),)).fetchone()
        return bool(row and row[0])


def _lock_number(worker: str) -> int:
    """Return the number that stands for a worker among the locks: any 64 bits that belong to it alone."""
    return int.from_bytes(hashlib.sha256(f"darkroom worker {worker}".encode()).digest()[:8], signed=True)
