"""Points: every effect by which the service changes the world, found by wrapping it from outside, each a place to die.

An effect is a call of the driver, a step of a file on its way to its name, a transaction of ours or of DBOS that
writes. Each is met before, after and, where it can be done by halves, in the middle. They are laid in a process of
their own, which they change for good.
"""

import functools
import re
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine.default import DefaultDialect

from darkroom.drivers.qemu.compute import QemuCompute
from darkroom.drivers.simulated import SimulatedCompute, SimulatedImageStore
from darkroom.store.database import Database

_WRITES = re.compile(r'(?<!FOR )(?<!DO )\b(INSERT INTO|UPDATE|DELETE FROM)\s+(?:"?\w+"?\.)?"?(\w+)')
_VERBS = {"INSERT INTO": "+", "UPDATE": "~", "DELETE FROM": "-"}
_CALLS = ("check", "create", "await_guest", "admit", "try_login", "put_file", "run", "find", "delete", "release",
          "snapshot", "generalise", "flatten", "discard", "screenshot", "guest_facts")  # fmt: skip


class Point(NamedTuple):
    """The `number`-th time that a process meets an effect of that name."""

    effect: str
    number: int

    def __str__(self) -> str:
        return f"{self.effect} #{self.number}"


class Points:
    """Tells `on` of each point that the process comes to."""

    def __init__(self, data: Path, on: Callable[[Point], None]) -> None:
        self._data, self._on = data, on
        self._met: Counter[str] = Counter()
        self._lock = threading.Lock()

    def meet(self, effect: str) -> None:
        with self._lock:
            self._met[effect] += 1
            point = Point(effect, self._met[effect])
        self._on(point)

    def lay(self) -> None:
        """Wrap all effects."""
        for call in _CALLS:
            for compute in (SimulatedCompute, QemuCompute):
                self._lay_call(compute, call, "compute")
        for call in ("facts", "remove"):
            self._lay_call(SimulatedImageStore, call, "images")
        self._lay_transactions()
        self._lay_files()

    def _lay_call(self, owner: type, name: str, room: str) -> None:
        original = getattr(owner, name)

        @functools.wraps(original)
        async def met(*arguments: Any, **more: Any) -> Any:
            self.meet(f"{room}.{name}: before")
            result = await original(*arguments, **more)
            self.meet(f"{room}.{name}: after")
            return result

        setattr(owner, name, met)

    def _lay_transactions(self) -> None:
        original = Database.write_now

        def write_now(database: Database, work: Callable[[Any], Any], *, lasting: bool = True) -> Any:
            self.meet(f"begin {work.__module__.rpartition('.')[2]}.{work.__qualname__.split('.<locals>')[0]}")
            return original(database, work, lasting=lasting)

        def executing(connection: sa.Connection, cursor: Any, statement: str, *_: Any) -> None:
            if _commits_itself(connection) and _written(statement):
                self.meet(f"write {' '.join(_written(statement))}: before")

        def executed(connection: sa.Connection, cursor: Any, statement: str, *_: Any) -> None:
            written = _written(statement)
            # SQLite does not know yet how many rows a statement that returns them has written; see `_has_changed`.
            if not written or (cursor.rowcount == 0 and not _is_sqlite(connection)):
                return
            if _commits_itself(connection):
                self.meet(f"write {' '.join(written)}: after")
            else:
                connection.info.setdefault("written", {}).update(written)

        def rolled_back(connection: sa.Connection) -> None:
            if not connection.invalidated:  # what was on it has ended with it
                connection.info.pop("written", None)

        Database.write_now = write_now  # type: ignore[method-assign]
        sa.event.listen(sa.Engine, "before_cursor_execute", executing)
        sa.event.listen(sa.Engine, "after_cursor_execute", executed)
        sa.event.listen(sa.Engine, "rollback", rolled_back)
        self._lay_commits()

    def _lay_commits(self) -> None:
        original = DefaultDialect.do_commit

        def do_commit(dialect: DefaultDialect, connection: Any) -> None:
            tables = connection.info.pop("written", ())
            written = " ".join(tables) if _has_changed(connection) else ""
            if written:
                self.meet(f"commit {written}: before")
            original(dialect, connection)
            if written:
                self.meet(f"commit {written}: after")

        DefaultDialect.do_commit = do_commit  # type: ignore[method-assign]

    def _lay_files(self) -> None:
        replace, unlink = Path.replace, Path.unlink

        def replacing(path: Path, target: Any) -> Path:
            return self._around("rename", Path(target), lambda: replace(path, target))

        def unlinking(path: Path, missing_ok: bool = False) -> None:
            if missing_ok and not path.exists():
                return None
            return self._around("remove", path, lambda: unlink(path, missing_ok))

        def writing(path: Path, content: Any) -> int:
            name = self._name(path)
            with path.open("wb") as file:
                if name:
                    self.meet(f"write {name}: empty")
                file.write(content[: len(content) // 2])
                file.flush()
                if name:
                    self.meet(f"write {name}: half")
                file.write(content[len(content) // 2 :])
            return len(content)

        Path.replace, Path.unlink, Path.write_bytes = replacing, unlinking, writing  # type: ignore

    def _around(self, verb: str, path: Path, effect: Callable[[], Any]) -> Any:
        name = self._name(path)
        if name:
            self.meet(f"{verb} {name}: before")
        result = effect()
        if name:
            self.meet(f"{verb} {name}: after")
        return result

    def _name(self, path: Path) -> str:
        """Return what kind of file of the service this is; empty for other files, and for the faults under test."""
        if not path.is_relative_to(self._data) or "faults" in path.name:
            return ""
        return f"{path.parent.name}/*{path.suffix}"


def _written(statement: str) -> dict[str, None]:
    """Return which tables a statement writes, in order."""
    return {f"{_VERBS[verb]}{table}": None for verb, table in _WRITES.findall(statement)}


def _is_sqlite(connection: sa.Connection) -> bool:
    return connection.dialect.name == "sqlite"


def _has_changed(connection: Any) -> bool:
    """Say whether rows have been written on a connection of SQLite since this was last asked; on others, always."""
    changes = getattr(connection.dbapi_connection, "total_changes", None)
    before = connection.info.get("changes", 0)
    connection.info["changes"] = changes
    return changes is None or changes != before


def _commits_itself(connection: sa.Connection) -> bool:
    return bool(connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT")
