"""Migrations: Alembic, run by the service itself when it starts."""

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

FOLDER = Path(__file__).with_name("migrations")


class TooNew(Exception):
    """The tables of the database are those of a later version of Darkroom."""


def migrate(engine: sa.Engine) -> None:
    """Bring the tables of the database to the present version. Raises TooNew where they are beyond it."""
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":  # several processes may start at once
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(7308895142)"))
        if set(MigrationContext.configure(connection).get_current_heads()) - known:
            raise TooNew(TooNew.__doc__)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        if engine.dialect.name == "postgresql":
            _come_from_elsewhere(connection)


def _come_from_elsewhere(connection: sa.Connection) -> None:
    """Where the records were restored on another server, forget the numbers of the transactions of the former one.

    Events that seem to be written in transactions yet to come would not be read before those.
    """
    here = "pg_current_xact_id()::text::bigint"
    if connection.scalar(sa.text(f"SELECT written_in > {here} FROM events ORDER BY seq DESC LIMIT 1")):
        connection.execute(sa.text(f"UPDATE events SET written_in = 0 WHERE written_in > {here}"))
