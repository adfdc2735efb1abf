"""Places: a data folder and a database in which a service runs, dies and runs again; copies of places made before."""

import asyncio
import ctypes
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from darkroom.settings import Settings
from postgres import Server

#: Seconds that one process may take on a busy machine; none takes as long unless it is stuck.
PATIENCE = 120
#: From linux/prctl.h: the signal to get when the parent ends.
_DIE_WITH_PARENT = 1
INSTANT = "boot=0,login=0,snapshot=0,generalise=0,flatten=0,delete=0,run=0"


@dataclass(frozen=True)
class Place:
    """Where a service keeps everything. `database` is the name of a database of `server`; without one, it is SQLite."""

    data: Path
    server: Server | None = None
    database: str = ""
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return self.server.url(self.database) if self.server else ""

    @property
    def log(self) -> Path:
        return self.data.with_suffix(".log")

    def settings(self, **more: Any) -> Settings:
        values = {
            "data": self.data, "database": self.url, "driver": "simulated", "simulated_durations": INSTANT,
            "poll_interval": 0.01, "log_format": "json", "log_level": "warning", "port": 0, **self.more, **more,
        }  # fmt: skip
        return Settings(**values)

    def copy(self, data: Path) -> "Place":
        """Return a place that is as this one is now. Nobody may be at work in this one."""
        shutil.copytree(self.data, data)
        database = self.server.create(self.database) if self.server else ""
        return Place(data, self.server, database, self.more)

    def remove(self) -> None:
        shutil.rmtree(self.data, ignore_errors=True)
        self.log.unlink(missing_ok=True)
        if self.server:
            self.server.drop(self.database)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Read the database from outside."""
        url = sa.make_url(self.settings().database_url)
        if self.server:
            url = url.set(drivername="postgresql+psycopg")
        engine = sa.create_engine(url, poolclass=sa.NullPool)
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(sa.text(sql))]

    @property
    def dbos(self) -> str:
        """What stands before the names of DBOS's tables."""
        return "dbos." if self.server else ""


def new_place(folder: Path, server: Server | None, **more: Any) -> Place:
    folder.mkdir(parents=True)
    return Place(folder, server, server.create() if server else "", more)


Work = Callable[[], Coroutine[Any, Any, None] | None]


def in_child(work: Work, log: Path, *, patience: float = PATIENCE) -> int:
    """Run `work` in a child process; return its exit code, negative for a signal. It must not outlast the patience."""
    return ended(spawn(work, log), patience)


def spawn(work: Work, log: Path) -> int:
    """Begin `work` in a child process, which has all that is imported here, and return its id.

    Only a process without threads may do that: a child has none but the one that made it.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        return child
    try:
        _become(log)
        _run(work)
        os._exit(0)
    except BaseException:  # a child must not go on in what the parent was doing
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(70)


def ended(child: int, patience: float = PATIENCE) -> int:
    """Wait for the end of a child; return its exit code. A child that outlasts the patience is killed: -24."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.003)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -signal.SIGXCPU


def _become(log: Path) -> None:
    """Take leave of the parent: its output, its signals and its place among the processes."""
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(handle, stream)
    sys.stdout = sys.stderr = os.fdopen(handle, "w", buffering=1)  # under pytest they lead elsewhere


def _run(work: Work) -> None:
    coroutine = work()
    if coroutine is not None:
        asyncio.run(coroutine)
