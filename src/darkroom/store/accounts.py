"""Accounts, projects, users and access keys in the database."""

import sqlalchemy as sa

from darkroom.domain.accounts import AccessKey, Account, Project, User
from darkroom.domain.ids import AccountId, ProjectId, UserId
from darkroom.store import tables
from darkroom.store.rows import Reader, Row, from_json, to_json
from darkroom.store.sealing import Sealer

_USER = "SELECT id, account_id, name, password_hash, roles, enabled FROM users"
_PROJECT = "SELECT id, account_id, name FROM projects"
_PURPOSE = "access_keys.sealed_secret"


class Accounts:
    """Reads identity. What does not exist is None."""

    def __init__(self, reader: Reader, sealer: Sealer) -> None:
        self._reader, self._sealer = reader, sealer

    async def account(self, account_id: AccountId) -> Account | None:
        row = await self._reader.one("SELECT id, name FROM accounts WHERE id = :id", id=account_id)
        return _account(row) if row else None

    async def account_named(self, name: str) -> Account | None:
        row = await self._reader.one("SELECT id, name FROM accounts WHERE name = :name", name=name)
        return _account(row) if row else None

    async def user(self, user_id: UserId) -> User | None:
        row = await self._reader.one(f"{_USER} WHERE id = :id", id=user_id)
        return _user(row) if row else None

    async def user_named(self, account_id: AccountId, name: str) -> User | None:
        row = await self._reader.one(
            f"{_USER} WHERE account_id = :account AND name = :name", account=account_id, name=name
        )
        return _user(row) if row else None

    async def project(self, project_id: ProjectId) -> Project | None:
        row = await self._reader.one(f"{_PROJECT} WHERE id = :id", id=project_id)
        return _project(row) if row else None

    async def project_named(self, account_id: AccountId, name: str) -> Project | None:
        sql = f"{_PROJECT} WHERE account_id = :account AND name = :name"
        row = await self._reader.one(sql, account=account_id, name=name)
        return _project(row) if row else None

    async def access_key(self, access: str) -> AccessKey | None:
        sql = "SELECT access, sealed_secret, user_id, enabled FROM access_keys WHERE access = :access"
        row = await self._reader.one(sql, access=access)
        if row is None:
            return None
        secret = self._sealer.open(row[1], _PURPOSE).decode()
        return AccessKey(access=row[0], secret=secret, user_id=row[2], enabled=bool(row[3]))


class AccountWrites:
    def __init__(self, connection: sa.Connection, sealer: Sealer) -> None:
        self._connection, self._sealer = connection, sealer

    def any_account(self) -> bool:
        """Say whether there is an account at all."""
        return self._connection.scalar(sa.select(sa.literal(1)).select_from(tables.accounts).limit(1)) is not None

    def add_account(self, account: Account) -> None:
        self._connection.execute(tables.accounts.insert(), {"id": account.id, "name": account.name})

    def add_project(self, project: Project) -> None:
        row = {"id": project.id, "account_id": project.account_id, "name": project.name}
        self._connection.execute(tables.projects.insert(), row)

    def add_user(self, user: User) -> None:
        row = {name: getattr(user, name) for name in user.__struct_fields__} | {"roles": to_json(user.roles)}
        self._connection.execute(tables.users.insert(), row)

    def add_access_key(self, key: AccessKey) -> None:
        row = {
            "access": key.access,
            "sealed_secret": self._sealer.seal(key.secret.encode(), _PURPOSE),
            "user_id": key.user_id,
            "enabled": key.enabled,
        }
        self._connection.execute(tables.access_keys.insert(), row)


def _account(row: Row) -> Account:
    return Account(id=row[0], name=row[1])


def _project(row: Row) -> Project:
    return Project(id=row[0], account_id=row[1], name=row[2])


def _user(row: Row) -> User:
    user_id, account_id, name, password_hash, roles, enabled = row
    return User(
        id=user_id,
        account_id=account_id,
        name=name,
        password_hash=password_hash,
        roles=tuple(from_json(roles)),
        enabled=bool(enabled),
    )
