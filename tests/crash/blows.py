"""Blows: what may befall the service at a point. It is killed, its database is gone for a while, its clock jumps."""

import os
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from enum import StrEnum

import sqlalchemy as sa

from darkroom import app
from darkroom.domain.times import now_ms
from darkroom.store import sqlite

from .place import Place
from .points import Point

HOUR_MS = 3_600_000
#: Seconds that a database is gone.
GONE = 5.0


class Kind(StrEnum):
    KILL = "killed"
    GONE = "database gone"
    FORWARD = "clock forward"
    BACK = "clock back"


@dataclass(frozen=True)
class Blow:
    """One thing that happens to a process, once, at a point."""

    kind: Kind
    point: Point

    def __str__(self) -> str:
        return f"{self.kind} at {self.point}"


class Proxy:
    """Stands between the service and a database server, and can cut all connections and refuse new ones."""

    def __init__(self, port: int) -> None:
        self._to, self._open = ("127.0.0.1", port), True
        self._ends: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, seconds: float) -> None:
        self._open = False
        for end in list(self._ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        threading.Timer(seconds, self._mend).start()

    def _mend(self) -> None:
        self._open = True

    def _accept(self) -> None:
        while True:
            near, _ = self._listener.accept()
            if not self._open:
                near.close()
                continue
            far = socket.create_connection(self._to)
            self._ends |= {near, far}
            for pair in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=pair, daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while received := source.recv(65536):
                target.sendall(received)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def prepared(place: Place, blow: Blow | None) -> tuple[Place, Callable[[Point], None]]:
    """Return where the service is to run so that the blow can strike it, and what strikes at the point."""
    if blow is None:
        return place, lambda _: None
    if blow.kind is Kind.KILL:
        return place, _once(blow.point, lambda: os.kill(os.getpid(), signal.SIGKILL))
    if blow.kind is Kind.GONE and place.server:
        proxy = Proxy(place.server.port)
        url = sa.make_url(place.url).set(port=proxy.port).render_as_string(hide_password=False)
        behind = Place(place.data, place.server, place.database, {**place.more, "database": url})
        return behind, _once(blow.point, lambda: proxy.cut(GONE))
    if blow.kind is Kind.GONE:
        sqlite.BUSY_TIMEOUT = 1  # type: ignore[misc]  # the service is to meet the lock, not to outwait it
        return place, _once(blow.point, lambda: _lock(place))
    clock = {"ahead": 0}
    app.now_ms = lambda: now_ms() + clock["ahead"]  # type: ignore[attr-defined]
    jump = HOUR_MS if blow.kind is Kind.FORWARD else -HOUR_MS
    return place, _once(blow.point, lambda: clock.update(ahead=jump))


def _once(at: Point, strike: Callable[[], object]) -> Callable[[Point], None]:
    def met(point: Point) -> None:
        if point == at:
            strike()

    return met


def _lock(place: Place) -> None:
    """Hold the write lock for a while, from now on, or as soon as a transaction lets go of it."""
    held = threading.Event()

    def hold() -> None:
        with closing(sqlite3.connect(place.settings().records, timeout=60, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            held.set()
            time.sleep(GONE)

    threading.Thread(target=hold, daemon=True).start()
    held.wait(0.3)
