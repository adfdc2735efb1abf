"""The register: identity and the keys in use in memory, so that a request is judged without the database (ADR 0012).

A change made in this process is in force when it is made, one made in another process within `LOOK_EVERY_S`: that
often, and whenever somebody unknown calls, one row of the database is looked at, which every change counts up.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from darkroom.domain.accounts import AccessKey, Caller
from darkroom.domain.ids import ProjectId, UserId
from darkroom.domain.roles import EVERYWHERE
from darkroom.domain.standing import Standing
from darkroom.domain.times import Clock
from darkroom.store.store import Store
from darkroom.store.transaction import Transaction

T = TypeVar("T")

#: How old, in seconds, what is in memory may be before it is compared with the database.
LOOK_EVERY_S: Final = 1.0


class Register:
    """Keeps a copy of identity, and makes the changes to it."""

    def __init__(self, store: Store, clock: Clock, ticks: Callable[[], float] = time.monotonic) -> None:
        self._store, self._clock, self._ticks = store, clock, ticks
        self._standing = Standing()
        self._keys: dict[str, AccessKey] = {}  # those used since that standing was read
        self._look_again_at = ticks()

    async def knowing(self, user_id: UserId, project_id: ProjectId = EVERYWHERE) -> Standing:
        """Return identity, looked at afresh if the user or the project is not in it: they may have come just now."""
        standing = self._recent() or await self.look()
        if user_id in standing.users and (not project_id or project_id in standing.projects):
            return standing
        return await self.look()

    async def key(self, access: str) -> AccessKey | None:
        """Return an access key as it is, or was at most a second ago; None if there is none."""
        if not self._recent():
            await self.look()
        keys = self._keys  # before the key is read: if it changes meanwhile, others are in their place
        key = keys.get(access) or await self._store.accounts.access_key(access)
        if key:
            keys[access] = key
        return key

    async def look(self) -> Standing:
        """Return identity as it is now."""
        started = self._ticks()
        # The number comes first: a change while the rest is read leaves it too low, and so is found at the next look.
        revision = await self._store.grants.revision()
        if revision != self._standing.revision:
            read = await self._read(revision)
            if read.revision > self._standing.revision:  # another request may have looked later and ended earlier
                self._standing, self._keys = read, {}
        self._look_again_at = started + LOOK_EVERY_S
        return self._standing

    async def change(
        self, caller: Caller, kind: str, resource_id: str, work: Callable[[Transaction], T], **data: Any
    ) -> T:
        """Change identity and write the event of it, in one transaction. It is in force when this returns."""
        told: Mapping[str, Any] = {"by": caller.user_id, **data}

        def whole(tx: Transaction) -> T:
            result = work(tx)
            tx.events.add(kind, self._clock(), EVERYWHERE, resource_id=resource_id, data=told)
            return result

        result = await self._store.write(whole)
        await self.look()
        return result

    def _recent(self) -> Standing | None:
        """Return identity as it is, or was at most a second ago; None if it is to be looked at again."""
        return self._standing if self._ticks() < self._look_again_at else None

    async def _read(self, revision: int) -> Standing:
        accounts, projects, users = await self._store.accounts.everyone()
        return Standing(
            revision,
            accounts=accounts,
            projects=projects,
            users=users,
            roles=await self._store.grants.roles(),
            grants=await self._store.grants.grants(),
            revoked=await self._store.grants.revoked(self._clock()),
        )
