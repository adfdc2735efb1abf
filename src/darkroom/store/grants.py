"""Roles, grants and revoked tokens in the database, and the revision that every change of identity counts up."""

import sqlalchemy as sa

from darkroom.domain.ids import AccountId, ProjectId, UserId
from darkroom.domain.roles import ADMIN_ROLE, EVERYWHERE, Grant, Role
from darkroom.errors import Conflict
from darkroom.store import tables
from darkroom.store.revisions import IDENTITY, count_up, present
from darkroom.store.rows import Reader, from_json, to_json

_GRANT = "INSERT INTO grants (user_id, project_id, role) VALUES (:user_id, :project_id, :role) ON CONFLICT DO NOTHING"
_REVOKE = "INSERT INTO revoked_tokens (id, expires_at) VALUES (:id, :expires_at) ON CONFLICT DO NOTHING"


class Grants:
    """Reads what every request is judged by, beside the accounts themselves."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def revision(self) -> int:
        """Return the number that every change of identity counts up."""
        return await present(self._reader, IDENTITY)

    async def roles(self) -> list[Role]:
        """Return the roles that are accounts' own."""
        rows = await self._reader.all("SELECT account_id, name, actions, description FROM roles")
        return [
            Role(account_id=account_id, name=name, actions=tuple(from_json(actions)), description=description)
            for account_id, name, actions, description in rows
        ]

    async def grants(self) -> list[Grant]:
        rows = await self._reader.all("SELECT user_id, project_id, role FROM grants")
        return [Grant(user_id=user_id, project_id=project_id, role=role) for user_id, project_id, role in rows]

    async def revoked(self, now: int) -> list[str]:
        """Return the ids of revoked tokens that have not expired anyway."""
        return [
            row[0] for row in await self._reader.all("SELECT id FROM revoked_tokens WHERE expires_at > :now", now=now)
        ]


class GrantWrites:
    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(self, grant: Grant) -> None:
        """Grant a role; granting it again changes nothing."""
        row = {"user_id": grant.user_id, "project_id": grant.project_id, "role": grant.role}
        self._connection.execute(sa.text(_GRANT), row)
        count_up(self._connection, IDENTITY)

    def remove(self, grant: Grant) -> None:
        table = tables.grants
        self._remove(
            (table.c.user_id == grant.user_id) & (table.c.project_id == grant.project_id) & (table.c.role == grant.role)
        )

    def remove_of_user(self, user_id: UserId) -> None:
        self._remove(tables.grants.c.user_id == user_id)

    def remove_of_project(self, project_id: ProjectId) -> None:
        self._remove(tables.grants.c.project_id == project_id)

    def put_role(self, role: Role) -> None:
        """Add a role, or change what it allows."""
        self._remove_roles((tables.roles.c.account_id == role.account_id) & (tables.roles.c.name == role.name))
        row = {
            "account_id": role.account_id,
            "name": role.name,
            "actions": to_json(role.actions),
            "description": role.description,
        }
        self._connection.execute(tables.roles.insert(), row)

    def remove_role(self, account_id: AccountId, name: str) -> None:
        """Remove a role of an account's own, and its grants."""
        self._remove((tables.grants.c.role == name) & tables.grants.c.user_id.in_(_users_of(account_id)))
        self._remove_roles((tables.roles.c.account_id == account_id) & (tables.roles.c.name == name))

    def remove_roles_of(self, account_id: AccountId) -> None:
        self._remove_roles(tables.roles.c.account_id == account_id)

    def revoke_token(self, token_id: str, expires_at: int, now: int) -> None:
        """Revoke a token until it expires; those that have expired since are forgotten."""
        table = tables.revoked_tokens
        self._connection.execute(table.delete().where(table.c.expires_at <= now))
        self._connection.execute(sa.text(_REVOKE), {"id": token_id, "expires_at": expires_at})
        count_up(self._connection, IDENTITY)

    def must_keep_an_admin(self, account_id: AccountId) -> None:
        """Raise Conflict unless an enabled user administers the account: to be asked after a change, to undo it."""
        grants, users = tables.grants, tables.users
        admins = sa.select(users.c.id).where(
            users.c.account_id == account_id,
            users.c.enabled,
            users.c.id == grants.c.user_id,
            grants.c.role == ADMIN_ROLE,
            grants.c.project_id == EVERYWHERE,
        )
        if self._connection.scalar(admins.limit(1)) is None:
            raise Conflict(
                f"This is the last user with the role {ADMIN_ROLE}; nobody could manage the account any more."
            )

    def _remove(self, which: sa.ColumnElement[bool]) -> None:
        self._connection.execute(tables.grants.delete().where(which))
        count_up(self._connection, IDENTITY)

    def _remove_roles(self, which: sa.ColumnElement[bool]) -> None:
        self._connection.execute(tables.roles.delete().where(which))
        count_up(self._connection, IDENTITY)


def _users_of(account_id: AccountId) -> sa.Select[tuple[str]]:
    return sa.select(tables.users.c.id).where(tables.users.c.account_id == account_id)
