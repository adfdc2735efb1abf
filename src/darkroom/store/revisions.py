"""Revisions: numbers in the database, each counted up by whatever makes untrue what other processes keep in memory."""

from typing import Final

import sqlalchemy as sa

from darkroom.store import tables
from darkroom.store.rows import Reader

#: Of accounts, projects, users, access keys, roles, grants and revoked tokens: counted up by every change.
IDENTITY: Final = tables.identity_revision
#: Of the history of jobs: counted up by every removal from it.
HISTORY: Final = tables.history_revision


def count_up(connection: sa.Connection, revision: sa.Table) -> None:
    """Tell all who look at a revision that it is another one, once this transaction is visible."""
    connection.execute(revision.update().values(revision=revision.c.revision + 1))


async def present(reader: Reader, revision: sa.Table) -> int:
    """Return a revision as it is now."""
    row = await reader.one(f"SELECT revision FROM {revision.name}")
    return int(row[0]) if row else 0
