"""The store: everything that is recorded, by noun, over one database."""

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa

from darkroom.errors import Unavailable
from darkroom.store.accounts import Accounts
from darkroom.store.apps import Apps
from darkroom.store.attachments import Attachments
from darkroom.store.chores import Chores
from darkroom.store.database import Changing, Database
from darkroom.store.events import Events
from darkroom.store.evidence import EvidenceRecords
from darkroom.store.grants import Grants
from darkroom.store.idempotency import Idempotency
from darkroom.store.images import Images
from darkroom.store.jobs import Jobs
from darkroom.store.kept import Kept
from darkroom.store.migrate import migrate
from darkroom.store.sealing import Sealer
from darkroom.store.servers import Servers
from darkroom.store.sqlite import SqliteDatabase
from darkroom.store.transaction import Transaction
from darkroom.store.turn import Turn
from darkroom.store.webhooks import Webhooks

T = TypeVar("T")


class Store:
    """Reads by noun (`store.jobs.get`), changes by `write`, one transaction each."""

    def __init__(self, url: str, sealer: Sealer) -> None:
        """`url` is SQLAlchemy's: `sqlite:////path` or `postgresql://user@host/name`. Raises ValueError for others."""
        self.database = _database(sa.make_url(url), sealer)
        self.accounts = Accounts(self.database, sealer)
        self.apps = Apps(self.database)
        self.attachments = Attachments(self.database)
        self.chores = Chores(self.database)
        self.events = Events(self.database)
        self.evidence = EvidenceRecords(self.database)
        self.grants = Grants(self.database)
        self.idempotency = Idempotency(self.database)
        self.images = Images(self.database)
        self.jobs = Jobs(self.database)
        self.kept = Kept(self.database)
        self.servers = Servers(self.database, sealer)
        self.webhooks = Webhooks(self.database, sealer)

    def migrate(self) -> None:
        """Bring the database's tables to the present version, making the file if there is none.

        Raises TooNew, and Unavailable.
        """
        with self.database.answering():
            migrate(self.database.engine)

    async def check(self) -> None:
        """Raise Unavailable unless the database answers."""
        await self.database.one("SELECT 1")

    async def write(self, work: Callable[[Transaction], T], *, lasting: bool = True) -> T:
        """Run `work` in one transaction: all that it wrote becomes visible, or, if it raises, nothing.

        What another write that lasts will soon confirm need not be `lasting`; see Database.write.
        """
        return await self.database.write(work, lasting=lasting)

    def tell_changes(self, changing: Changing) -> None:
        """Have `changing` entered, on any thread, with the jobs that this process changes, while others come to see it.

        That is from before a transaction's commit until after it.
        """
        self.database.changing = changing

    def turn(self, name: str) -> Turn:
        """Return the turn of that name among the processes that share the database; its holder must close it."""
        return Turn(self.database.engine, name)

    def number(self, limit: int) -> tuple[int, Turn]:
        """Return a number below the limit that no other process has, and the turn that keeps it so until it is closed.

        Raises Unavailable if all are taken, or the database does not answer.
        """
        # In no order, so that processes which start together do not ask for the same one again and again.
        for number in secrets.SystemRandom().sample(range(limit), limit):
            turn = self.turn(f"number {number}")
            if turn.is_mine():
                return number, turn
        raise Unavailable("No number is free for this process.")

    async def check_seal(self) -> None:
        """Raise SealBroken if the sealing key is not the one that the records' secrets were sealed with."""
        await self.accounts.check_seal()

    def close(self) -> None:
        self.database.close()


def _database(url: sa.URL, sealer: Sealer) -> Database:
    if url.get_backend_name() == "postgresql":
        from darkroom.store.postgres import PostgresDatabase  # its drivers are not loaded where they are not used

        return PostgresDatabase(url, sealer)
    if url.get_backend_name() == "sqlite" and url.database:
        return SqliteDatabase(Path(url.database), sealer)
    raise ValueError(f"the database must be sqlite:////path or postgresql://…, not {url.render_as_string()}")
