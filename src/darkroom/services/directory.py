"""Looking up accounts, projects and users (contract section 12.2). Everybody finds what is theirs to use.

Every look-up looks afresh: what one process has just made is found by the others too.
"""

from collections.abc import Iterable
from typing import TypeVar

import msgspec

from darkroom.domain.accounts import Account, Caller, Project, User
from darkroom.domain.ids import AccountId, ProjectId, UserId
from darkroom.domain.standing import Standing
from darkroom.errors import NotFound
from darkroom.services.register import Register

Named = TypeVar("Named", Account, Project, User)


class ProjectFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which projects are wanted; what is empty or None does not matter. The name is the whole name."""

    name: str = ""
    account_id: str = ""
    parent_id: str = ""
    enabled: bool | None = None

    def wants(self, project: Project) -> bool:
        return (
            self.name in ("", project.name)
            and self.parent_id in ("", project.parent_id or project.account_id)
            and self.enabled in (None, project.enabled)
        )


class Directory:
    """What callers may know of identity."""

    def __init__(self, register: Register) -> None:
        self._register = register

    async def projects(self, caller: Caller, matching: ProjectFilter) -> list[Project]:
        """Return projects by name: an administrator's all, of others those in which they have a role.

        They are those of the caller's account, unless it administers all accounts and asks for another one.
        """
        standing = await self._register.look()
        account_id = matching.account_id or caller.account_id
        if not caller.sees(AccountId(account_id)):
            return []
        found = (project for project in standing.projects.values() if project.account_id == account_id)
        return _by_name(project for project in found if matching.wants(project) and _knows(standing, caller, project))

    async def project(self, caller: Caller, project_id: str) -> Project:
        """Return one project. Raises NotFound, also for one that the caller has no role in."""
        standing = await self._register.look()
        project = standing.projects.get(ProjectId(project_id))
        if project is None or not _knows(standing, caller, project):
            raise NotFound(f"The project {project_id} does not exist.")
        return project

    async def own_account(self, caller: Caller) -> Account:
        return await self.account(caller, caller.account_id)

    async def accounts(self, caller: Caller, name: str = "") -> list[Account]:
        """Return accounts by name: the caller's, or all for one who administers all."""
        standing = await self._register.look()
        return _by_name(
            account for account in standing.accounts.values() if caller.sees(account.id) and name in ("", account.name)
        )

    async def account(self, caller: Caller, account_id: str) -> Account:
        """Return one account. Raises NotFound, also for one that the caller may not see."""
        account = (await self._register.look()).accounts.get(AccountId(account_id))
        if account is None or not caller.sees(account.id):
            raise NotFound(f"The account {account_id} does not exist.")
        return account

    async def users(self, caller: Caller, *, name: str = "", account_id: str = "") -> list[User]:
        """Return users by name: an administrator's all, of others themselves. Of which account: see `projects`."""
        standing = await self._register.look()
        wanted = AccountId(account_id or caller.account_id)
        if not caller.sees(wanted):
            return []
        found = (user for user in standing.users.values() if user.account_id == wanted and name in ("", user.name))
        return _by_name(user for user in found if caller.is_admin or user.id == caller.user_id)

    async def user(self, caller: Caller, user_id: str) -> User:
        """Return one user. Raises NotFound, also for one that the caller may not see."""
        user = (await self._register.look()).users.get(UserId(user_id))
        if user is None or not caller.sees(user.account_id) or not (caller.is_admin or user.id == caller.user_id):
            raise NotFound(f"The user {user_id} does not exist.")
        return user


def _knows(standing: Standing, caller: Caller, project: Project) -> bool:
    if caller.is_admin:
        return caller.sees(project.account_id)
    user = standing.active(caller.user_id)
    return user is not None and project.account_id == user.account_id and bool(standing.held(user, project.id))


def _by_name(found: Iterable[Named]) -> list[Named]:
    return sorted(found, key=lambda each: (each.name, each.id))
