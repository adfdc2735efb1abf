"""The store: everything that is recorded, by noun, over one database."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from darkroom.store.accounts import Accounts
from darkroom.store.database import Database
from darkroom.store.events import Events
from darkroom.store.images import Images
from darkroom.store.jobs import Jobs
from darkroom.store.migrate import migrate
from darkroom.store.sealing import Sealer
from darkroom.store.servers import Servers
from darkroom.store.transaction import Transaction

T = TypeVar("T")


class Store:
    """Reads by noun (`store.jobs.get`), changes by `write`, one transaction each."""

    def __init__(self, path: Path, sealer: Sealer) -> None:
        self.database = Database(path, sealer)
        self.accounts = Accounts(self.database, sealer)
        self.events = Events(self.database)
        self.images = Images(self.database)
        self.jobs = Jobs(self.database)
        self.servers = Servers(self.database, sealer)

    def migrate(self) -> None:
        """Bring the database's tables to the present version, making the file if there is none."""
        migrate(self.database.engine)

    async def check(self) -> None:
        """Raise Unavailable unless the database answers."""
        await self.database.one("SELECT 1")

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in one transaction: all that it wrote becomes visible, or, if it raises, nothing."""
        return await self.database.write(work)

    def close(self) -> None:
        self.database.close()
