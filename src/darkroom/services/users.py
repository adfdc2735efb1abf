"""Managing users and their access keys. For administrators; everybody may change their own password."""

import re
from typing import Any

from darkroom.domain.accounts import AccessKey, Caller, User
from darkroom.domain.ids import AccountId, UserId, new_hex
from darkroom.domain.roles import ADMIN_ROLE, EVERYWHERE
from darkroom.domain.times import Clock
from darkroom.errors import Forbidden, NotFound
from darkroom.services.directory import Directory
from darkroom.services.keys import new_access, new_secret
from darkroom.services.passwords import Passwords
from darkroom.services.register import Register
from darkroom.store.store import Store
from darkroom.store.transaction import Transaction

_ACCESS = re.compile(r"[A-Za-z0-9_-]{1,128}")


class Users:
    """What administrators may do with the users of their account."""

    def __init__(
        self, store: Store, register: Register, directory: Directory, passwords: Passwords, clock: Clock
    ) -> None:
        self._store, self._register, self._directory = store, register, directory
        self._passwords, self._clock = passwords, clock

    async def add(self, caller: Caller, *, name: str, password: str, account_id: str = "", enabled: bool) -> User:
        """Add a user without any role. Raises Conflict if the account has one of that name."""
        account = await self._directory.account(caller, account_id or caller.account_id)
        caller.must_administer("iam:users:create", account.id)
        user = User(
            id=UserId(new_hex()),
            account_id=account.id,
            name=name,
            password_hash=await self._passwords.hash(password),
            enabled=enabled,
        )
        await self._register.change(caller, "user.added", user.id, lambda tx: tx.accounts.add_user(user), name=name)
        return user

    async def change(
        self, caller: Caller, user_id: str, *, name: str | None, password: str | None, enabled: bool | None
    ) -> User:
        """Change what is not None. A new password and a disabling end all tokens and temporary keys of the user."""
        user = await self._mine(caller, "iam:users:update", user_id)
        changes: dict[str, Any] = {} if name is None else {"name": name}
        if enabled is not None:
            changes["enabled"] = enabled
        told = dict(changes)
        if password is not None:
            changes["password_hash"], told["password"] = await self._passwords.hash(password), "changed"
        if password is not None or enabled is False:
            changes["tokens_from"] = self._clock()

        if not changes:
            return user
        was_admin = await self._is_admin(user)

        def work(tx: Transaction) -> None:
            tx.accounts.change_user(user.id, **changes)
            if enabled is False and was_admin:
                tx.grants.must_keep_an_admin(user.account_id)

        await self._register.change(caller, "user.changed", user.id, work, **told)
        return await self._directory.user(caller, user.id)

    async def remove(self, caller: Caller, user_id: str) -> None:
        """Remove a user with its keys and roles. Raises Conflict for the last one who administers the account."""
        user = await self._mine(caller, "iam:users:delete", user_id)
        was_admin = await self._is_admin(user)

        def work(tx: Transaction) -> None:
            tx.accounts.remove_user(user.id)
            if was_admin:
                tx.grants.must_keep_an_admin(user.account_id)

        await self._register.change(caller, "user.removed", user.id, work, name=user.name)

    async def change_own_password(self, caller: Caller, user_id: str, *, original: str, password: str) -> None:
        """Change the caller's own password; ends its tokens and temporary keys. Raises WrongPassword."""
        if user_id != caller.user_id:
            raise Forbidden("Only a user's own password can be changed so.")
        user = await self._store.accounts.user(caller.user_id)
        await self._passwords.check(user.password_hash if user else None, original)
        changes = {"password_hash": await self._passwords.hash(password), "tokens_from": self._clock()}
        await self._register.change(
            caller,
            "user.changed",
            user_id,
            lambda tx: tx.accounts.change_user(caller.user_id, **changes),
            password="changed",  # noqa: S106
        )

    # Access keys

    async def add_key(self, caller: Caller, user_id: str, description: str) -> AccessKey:
        """Give a user a permanent access key. Its secret is returned here and never again."""
        user = await self._mine(caller, "iam:credentials:create", user_id)
        key = AccessKey(
            access=new_access(),
            secret=new_secret(),
            user_id=user.id,
            created_at=self._clock(),
            description=description,
        )
        await self._register.change(caller, "key.added", key.access, lambda tx: tx.accounts.add_access_key(key))
        return key

    async def keys(self, caller: Caller, user_id: str) -> list[AccessKey]:
        """Return the permanent keys of a user: one's own, or as administrator of its account."""
        user = await self._directory.user(caller, user_id)
        return await self._store.accounts.access_keys(user.id)

    async def key(self, caller: Caller, access: str) -> AccessKey:
        """Return one key. Raises NotFound, also for one that the caller may not see."""
        key = await self._store.accounts.access_key(access) if _ACCESS.fullmatch(access) else None
        users = (await self._register.look()).users
        owner = users.get(key.user_id) if key else None
        visible = owner and caller.sees(owner.account_id) and (caller.is_admin or owner.id == caller.user_id)
        if key is None or not visible:
            raise NotFound(f"The access key {access} does not exist.")
        return key

    async def change_key(
        self, caller: Caller, access: str, *, enabled: bool | None, description: str | None
    ) -> AccessKey:
        """Change what is not None."""
        key = await self.key(caller, access)
        await self._mine(caller, "iam:credentials:update", key.user_id)
        given = {"enabled": enabled, "description": description}
        changes = {name: value for name, value in given.items() if value is not None}
        if changes:
            await self._register.change(
                caller,
                "key.changed",
                access,
                lambda tx: tx.accounts.change_access_key(access, **changes),
                **changes,
            )
        return await self.key(caller, access)

    async def remove_key(self, caller: Caller, access: str) -> None:
        key = await self.key(caller, access)
        await self._mine(caller, "iam:credentials:delete", key.user_id)
        await self._register.change(caller, "key.removed", access, lambda tx: tx.accounts.remove_access_key(access))

    async def _mine(self, caller: Caller, action: str, user_id: str) -> User:
        """Return a user that the caller administers. Raises NotFound or Forbidden."""
        user = await self._directory.user(caller, user_id)
        caller.must_administer(action, AccountId(user.account_id))
        return user

    async def _is_admin(self, user: User) -> bool:
        standing = await self._register.look()
        return any(role.name == ADMIN_ROLE for role in standing.held(user, EVERYWHERE))
