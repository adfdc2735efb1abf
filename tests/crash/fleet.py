"""A fleet: several workers, each a process of its own, on one PostgreSQL; what befalls one another makes good."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from dbos._error import DBOSWorkflowConflictIDError
from dbos._sys_db import SystemDatabase

from darkroom import app
from darkroom.domain.ids import JobId, new_hex
from darkroom.store.job_writes import Held, JobWrites
from darkroom.store.sealing import Sealer
from darkroom.store.store import Store
from darkroom.workflows import takeover

from .place import PATIENCE, Place, ended, spawn
from .points import Point
from .service import hasten, lay

T = TypeVar("T")
_OPEN = "SELECT count(*) FROM jobs WHERE status = 'RUNNING'"
_PENDING = "SELECT count(*) FROM dbos.workflow_status WHERE status IN ('PENDING', 'ENQUEUED')"


def claims_file(place: Place) -> Path:
    return place.data.with_suffix(".claims")


def writes_of(place: Place, worker: "Worker") -> list[str]:
    """Return for each write that a worker tried whether it was allowed or refused."""
    lines = (line.split() for line in claims_file(place).read_text().splitlines())
    return [verdict for _, writer, verdict in lines if writer == str(worker.pid)]


def fought_over(place: Place) -> list[str]:
    """Return the jobs to which two workers have written by turns: one of them cannot have been its owner."""
    writers: dict[str, list[str]] = {}
    for line in claims_file(place).read_text().splitlines():
        job, writer, verdict = line.split()
        if verdict == "allowed" and writers.setdefault(job, [writer])[-1] != writer:
            writers[job].append(writer)
    return [job for job, turns in writers.items() if len(set(turns)) != len(turns)]


def eventually(look: Callable[[], T | None], what: str) -> T:
    """Look until there is something to see, and return it."""
    deadline = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < deadline, f"it never happened that {what}"
        time.sleep(0.02)
    return found


@dataclass
class Worker:
    """A worker's process. Files beside the place tell what it has come to, and let it go on."""

    pid: int
    sign: Path  #: there once the worker is at the point at which something is to happen to it
    gate: Path  #: it waits there until this is there
    code: int | None = None

    @property
    def is_there(self) -> bool:
        return self.sign.exists() and self.sign.read_text() == str(self.pid)

    def end(self, number: int) -> int:
        """Send it a signal and return how it ended."""
        os.kill(self.pid, number)
        return self.wait()

    def wait(self) -> int:
        if self.code is None:
            self.code = ended(self.pid)
        return self.code

    def go_on(self) -> None:
        self.gate.touch()


@dataclass
class Fleet:
    place: Place
    mutate: Callable[[], None] = lambda: None
    workers: list[Worker] = field(default_factory=list)

    def add(
        self,
        at: Point | None = None,
        *,
        waits: bool = False,
        immortal: bool = False,
        mutate: Callable[[], None] | None = None,
    ) -> Worker:
        """Start a worker. The first of all that comes to the point dies there or, if told so, waits to be let go on.

        An immortal one does not end itself when it has lost its database. `mutate` is for this one instead of all.
        """
        number = len(self.workers)
        sign = self.place.data.with_suffix(f".{at.effect.replace('/', '|')}.sign" if at else ".sign")
        worker = Worker(0, sign, self.place.data.with_suffix(f".{number}.gate"))
        worker.pid = spawn(
            lambda: _work(self.place, worker, at, waits, immortal, mutate or self.mutate), self.place.log
        )
        self.workers.append(worker)
        return worker

    def is_over(self) -> bool:
        return self.place.rows(_OPEN) == [(0,)] and self.place.rows(_PENDING) == [(0,)]

    def until_over(self) -> None:
        eventually(self.is_over, "all jobs end")

    def stop(self) -> list[int]:
        """Tell all workers to stop; return how they ended."""
        for worker in self.workers:
            worker.go_on()
            if worker.code is None:
                with suppress(ProcessLookupError):
                    os.kill(worker.pid, signal.SIGTERM)
        return [worker.wait() for worker in self.workers]

    def at_point(self) -> Worker:
        """Return the worker that has come to its point, as soon as one has."""
        return eventually(lambda: next((each for each in self.workers if each.is_there), None), "one is at its point")

    def cut_lock(self) -> None:
        """Cut the connection by which the owner of the one running job holds its lock, and that one alone."""
        ((owner,),) = self.place.rows("SELECT executor_id FROM dbos.workflow_status WHERE status = 'PENDING'")
        number = takeover._lock_number(owner) & (1 << 64) - 1
        lock = f"classid = {number >> 32} AND objid = {number & 0xFFFFFFFF} AND objsubid = 1"
        self._do(f"SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted AND {lock}")

    def steal(self) -> None:
        """Claim the one running job, as a worker does that takes it over."""
        ((job,),) = self.place.rows("SELECT id FROM jobs WHERE status = 'RUNNING'")
        store = Store(self.place.url, Sealer((self.place.data / "secret.key").read_bytes()))
        with closing(store):
            store.database.write_now(lambda tx: tx.jobs.claim(JobId(str(job)), new_hex()))

    def _do(self, sql: str) -> None:
        assert self.place.server
        with closing(self.place.server.connect(self.place.database)) as connection:
            assert connection.execute(sql).fetchall(), f"nothing matched: {sql}"  # type: ignore[arg-type]


@contextmanager
def fleet(place: Place, mutate: Callable[[], None] = lambda: None) -> Iterator[Fleet]:
    """Lend a fleet over a place; whatever happens, none of its processes outlives it."""
    ours = Fleet(place, mutate)
    try:
        yield ours
    finally:
        for worker in ours.workers:
            if worker.code is None:
                worker.end(signal.SIGKILL)
            worker.gate.unlink(missing_ok=True)
            worker.sign.unlink(missing_ok=True)


def _work(
    place: Place, worker: Worker, at: Point | None, waits: bool, immortal: bool, mutate: Callable[[], None]
) -> None:
    """Be a worker, as `darkroom serve --role worker` is."""
    mutate()
    hasten()
    if immortal:
        takeover.Takeover.__init__.__kwdefaults__["on_loss"] = lambda: None
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)

    def met(point: Point) -> None:
        if point != at or not _first(worker.sign):
            return
        if not waits:
            os.kill(os.getpid(), signal.SIGKILL)
        while not worker.gate.exists():
            time.sleep(0.01)

    lay(place, met)
    _tell_of_claims(place)
    with suppress(KeyboardInterrupt):
        app.run(place.settings(role="worker"))


def _tell_of_claims(place: Place) -> None:
    """Write down each write to a job, allowed or refused, in the order of the transactions: the row is locked.

    Also each checkpoint that the engine refuses.
    """
    handle = os.open(claims_file(place), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    hold, checkpoint = JobWrites.hold, SystemDatabase.record_operation_result

    def tell(job_id: str, verdict: str) -> None:
        os.write(handle, f"{job_id} {os.getpid()} {verdict}\n".encode())

    def told_hold(writes: JobWrites, job_id: JobId, claim: str) -> Held:
        held = hold(writes, job_id, claim)
        tell(job_id, "allowed" if held.claimed else "refused")
        return held

    def told_checkpoint(database: SystemDatabase, result: Any, **more: Any) -> None:
        try:
            checkpoint(database, result, **more)
        except DBOSWorkflowConflictIDError:
            tell(result["workflow_uuid"], "refused")
            raise

    JobWrites.hold = told_hold  # type: ignore[method-assign]
    SystemDatabase.record_operation_result = told_checkpoint  # type: ignore[method-assign]


def _first(sign: Path) -> bool:
    """Say whether this process is the first of all to be here."""
    try:
        handle = os.open(sign, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    os.write(handle, str(os.getpid()).encode())
    os.close(handle)
    return True


def _stop(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt
