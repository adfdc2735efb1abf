"""What several files of unit tests work with."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from darkroom.store.database import Database
from darkroom.store.transaction import Transaction
from house import World

_TRIGGERS = tuple(
    f"CREATE TEMP TRIGGER IF NOT EXISTS {table}_{name} AFTER {event} ON main.{table}"
    f" BEGIN SELECT changed({row}.{key}); END"
    for table, key, columns in (
        ("jobs", "id", "project_id, job_type, status, begin_time, end_time, sub_jobs_total"),
        ("sub_jobs", "job_id", "resource_id, resource_name, status, begin_time, end_time, error_code, error_message"),
    )
    for name, event, row in (
        ("insert", "INSERT", "new"),
        ("update", f"UPDATE OF {columns}", "new"),
        ("delete", "DELETE", "old"),
    )
)

_SETTLED = (
    "SELECT id FROM jobs WHERE status IN ('SUCCESS', 'FAILED') AND NOT EXISTS"
    " (SELECT 1 FROM sub_jobs WHERE job_id = jobs.id AND sub_jobs.status NOT IN ('SUCCESS', 'FAILED'))"
)
_REVISION = "SELECT revision FROM history_revision"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Records over the simulated driver, of this test alone."""
    world = World(tmp_path)
    yield world
    world.store.close()


@pytest.fixture(autouse=True)
def every_change_of_an_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have SQLite itself say which jobs a transaction changes, and see that the transaction says so too.

    If one of them was settled before, the revision of the history must be another one afterwards.
    """
    write_now = Database.write_now

    def watched_write(self: Database, work: Callable[[Transaction], Any], *, lasting: bool = True) -> Any:
        def watched(tx: Transaction) -> Any:
            changed: set[int] = set()
            connection: Any = tx.connection.connection.driver_connection
            connection.create_function("changed", 1, changed.add)
            for trigger in _TRIGGERS:
                connection.execute(trigger)
            settled = {key for (key,) in connection.execute(_SETTLED)}
            revision = connection.execute(_REVISION).fetchone()
            result = work(tx)
            assert {str(key) for key in changed} <= tx.changed
            assert connection.execute(_REVISION).fetchone() != revision or not changed & settled
            return result

        on_sqlite = self.engine.dialect.name == "sqlite"
        return write_now(self, watched if on_sqlite else work, lasting=lasting)

    monkeypatch.setattr(Database, "write_now", watched_write)
