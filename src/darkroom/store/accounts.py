"""Accounts, projects, users and access keys in the database."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from darkroom.domain.accounts import AccessKey, Account, Project, User
from darkroom.domain.ids import AccountId, ProjectId, UserId
from darkroom.domain.roles import EVERYWHERE, Grant
from darkroom.errors import Conflict
from darkroom.store import tables
from darkroom.store.grants import GrantWrites
from darkroom.store.revisions import IDENTITY, count_up
from darkroom.store.rows import Reader, Row
from darkroom.store.sealing import Sealer

_ACCOUNT = "SELECT id, name, enabled, main FROM accounts"
_PROJECT = "SELECT id, account_id, name, parent_id, enabled, description FROM projects"
_USER = "SELECT id, account_id, name, password_hash, enabled, tokens_from FROM users"
_KEY = "SELECT access, sealed_secret, user_id, enabled, created_at, description FROM access_keys"
_ROLES = "SELECT role FROM grants WHERE user_id = :id AND project_id = '' ORDER BY role"
_PURPOSE = "access_keys.sealed_secret"


class Accounts:
    """Reads identity. What does not exist is None."""

    def __init__(self, reader: Reader, sealer: Sealer) -> None:
        self._reader, self._sealer = reader, sealer

    async def account(self, account_id: AccountId) -> Account | None:
        row = await self._reader.one(f"{_ACCOUNT} WHERE id = :id", id=account_id)
        return _account(row) if row else None

    async def account_named(self, name: str) -> Account | None:
        row = await self._reader.one(f"{_ACCOUNT} WHERE name = :name", name=name)
        return _account(row) if row else None

    async def user(self, user_id: UserId) -> User | None:
        return await self._user(await self._reader.one(f"{_USER} WHERE id = :id", id=user_id))

    async def user_named(self, account_id: AccountId, name: str) -> User | None:
        sql = f"{_USER} WHERE account_id = :account AND name = :name"
        return await self._user(await self._reader.one(sql, account=account_id, name=name))

    async def project(self, project_id: ProjectId) -> Project | None:
        row = await self._reader.one(f"{_PROJECT} WHERE id = :id", id=project_id)
        return _project(row) if row else None

    async def project_named(self, account_id: AccountId, name: str) -> Project | None:
        sql = f"{_PROJECT} WHERE account_id = :account AND name = :name"
        row = await self._reader.one(sql, account=account_id, name=name)
        return _project(row) if row else None

    async def check_seal(self) -> None:
        """Raise SealBroken if a secret here cannot be opened."""
        row = await self._reader.one("SELECT sealed_secret FROM access_keys LIMIT 1")
        if row:
            self._sealer.open(row[0], _PURPOSE)

    async def access_key(self, access: str) -> AccessKey | None:
        row = await self._reader.one(f"{_KEY} WHERE access = :access", access=access)
        return self._key(row) if row else None

    async def access_keys(self, user_id: UserId) -> list[AccessKey]:
        """Return a user's keys, oldest first."""
        sql = f"{_KEY} WHERE user_id = :user ORDER BY created_at, access"
        return [self._key(row) for row in await self._reader.all(sql, user=user_id)]

    async def everyone(self) -> tuple[list[Account], list[Project], list[User]]:
        """Return all accounts, projects and users; the users without their roles and the hashes of their passwords."""
        accounts = [_account(row) for row in await self._reader.all(_ACCOUNT)]
        projects = [_project(row) for row in await self._reader.all(_PROJECT)]
        users = [_user(row, ()) for row in await self._reader.all(_USER.replace("password_hash", "''"))]
        return accounts, projects, users

    async def _user(self, row: Row | None) -> User | None:
        if row is None:
            return None
        return _user(row, tuple(role for (role,) in await self._reader.all(_ROLES, id=row[0])))

    def _key(self, row: Row) -> AccessKey:
        access, sealed, user_id, enabled, created_at, description = row
        return AccessKey(
            access=access,
            secret=self._sealer.open(sealed, _PURPOSE).decode(),
            user_id=user_id,
            enabled=bool(enabled),
            created_at=created_at,
            description=description,
        )


class AccountWrites:
    """Changes identity. Whatever every request is judged by counts the revision up."""

    def __init__(self, connection: sa.Connection, sealer: Sealer, grants: GrantWrites) -> None:
        self._connection, self._sealer, self._grants = connection, sealer, grants

    def any_account(self) -> bool:
        """Say whether there is an account at all."""
        return self._connection.scalar(sa.select(sa.literal(1)).select_from(tables.accounts).limit(1)) is not None

    def add_account(self, account: Account) -> None:
        """Raises Conflict if there is one of that name."""
        with _one_of_a_name("an account", account.name):
            self._insert(tables.accounts, _columns(account))

    def add_project(self, project: Project) -> None:
        """Raises Conflict if the account has one of that name."""
        with _one_of_a_name("a project", project.name):
            self._insert(tables.projects, _columns(project))

    def add_user(self, user: User) -> None:
        """Add a user with its roles. Raises Conflict if the account has one of that name."""
        with _one_of_a_name("a user", user.name):
            self._insert(tables.users, {name: value for name, value in _columns(user).items() if name != "roles"})
        for role in user.roles:
            self._grants.add(Grant(user_id=user.id, project_id=EVERYWHERE, role=role))

    def add_access_key(self, key: AccessKey) -> None:
        row = {
            "access": key.access,
            "sealed_secret": self._sealer.seal(key.secret.encode(), _PURPOSE),
            "user_id": key.user_id,
            "enabled": key.enabled,
            "created_at": key.created_at,
            "description": key.description,
        }
        self._insert(tables.access_keys, row)

    def change_account(self, account_id: AccountId, **changes: Any) -> None:
        with _one_of_a_name("an account", str(changes.get("name", ""))):
            self._update(tables.accounts, account_id, changes)

    def change_project(self, project_id: ProjectId, **changes: Any) -> None:
        with _one_of_a_name("a project", str(changes.get("name", ""))):
            self._update(tables.projects, project_id, changes)

    def change_user(self, user_id: UserId, **changes: Any) -> None:
        with _one_of_a_name("a user", str(changes.get("name", ""))):
            self._update(tables.users, user_id, changes)

    def change_access_key(self, access: str, **changes: Any) -> None:
        table = tables.access_keys
        self._connection.execute(table.update().where(table.c.access == access), changes)
        count_up(self._connection, IDENTITY)

    def remove_access_key(self, access: str) -> None:
        table = tables.access_keys
        self._connection.execute(table.delete().where(table.c.access == access))
        count_up(self._connection, IDENTITY)

    def remove_user(self, user_id: UserId) -> None:
        """Remove a user with its keys and grants."""
        keys, users = tables.access_keys, tables.users
        self._connection.execute(keys.delete().where(keys.c.user_id == user_id))
        self._grants.remove_of_user(user_id)
        self._connection.execute(users.delete().where(users.c.id == user_id))
        count_up(self._connection, IDENTITY)

    def remove_project(self, project_id: ProjectId) -> None:
        """Remove a project and the grants in it. Raises Conflict while it has servers, images or applications."""
        contents = {"image servers": tables.image_servers, "images": tables.images, "applications": tables.apps}
        for what, table in contents.items():
            if self._connection.scalar(sa.select(table.c.id).where(table.c.project_id == project_id).limit(1)):
                raise Conflict(f"The project still has {what}; delete them first.")
        self._grants.remove_of_project(project_id)
        projects = tables.projects
        self._connection.execute(projects.delete().where(projects.c.id == project_id))
        count_up(self._connection, IDENTITY)

    def remove_account(self, account_id: AccountId) -> None:
        """Remove an account with its users and roles. Raises Conflict while it has projects."""
        users, projects, accounts = tables.users, tables.projects, tables.accounts
        if self._connection.scalar(sa.select(projects.c.id).where(projects.c.account_id == account_id).limit(1)):
            raise Conflict("The account still has projects; delete them first.")
        for user_id in self._connection.scalars(sa.select(users.c.id).where(users.c.account_id == account_id)).all():
            self.remove_user(UserId(user_id))
        self._grants.remove_roles_of(account_id)
        self._connection.execute(accounts.delete().where(accounts.c.id == account_id))
        count_up(self._connection, IDENTITY)

    def _insert(self, table: sa.Table, row: dict[str, Any]) -> None:
        self._connection.execute(table.insert(), row)
        count_up(self._connection, IDENTITY)

    def _update(self, table: sa.Table, key: str, changes: dict[str, Any]) -> None:
        self._connection.execute(table.update().where(table.c.id == key), changes)
        count_up(self._connection, IDENTITY)


@contextmanager
def _one_of_a_name(what: str, name: str) -> Iterator[None]:
    try:
        yield
    except sa.exc.IntegrityError as error:
        raise Conflict(f"There is {what} of the name {name} already.") from error


def _columns(noun: Account | Project | User) -> dict[str, Any]:
    return {name: getattr(noun, name) for name in noun.__struct_fields__}


def _account(row: Row) -> Account:
    return Account(id=row[0], name=row[1], enabled=bool(row[2]), main=bool(row[3]))


def _project(row: Row) -> Project:
    project_id, account_id, name, parent_id, enabled, description = row
    return Project(
        id=project_id,
        account_id=account_id,
        name=name,
        parent_id=parent_id,
        enabled=bool(enabled),
        description=description,
    )


def _user(row: Row, roles: tuple[str, ...]) -> User:
    user_id, account_id, name, password_hash, enabled, tokens_from = row
    return User(
        id=user_id,
        account_id=account_id,
        name=name,
        password_hash=password_hash,
        roles=roles,
        enabled=bool(enabled),
        tokens_from=tokens_from,
    )
