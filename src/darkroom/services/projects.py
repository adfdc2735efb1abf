"""Managing projects, and accounts with them. Accounts are for those who administer the main one."""

from typing import Any

from darkroom.domain.accounts import Account, Caller, Project
from darkroom.domain.ids import AccountId, ProjectId, new_hex
from darkroom.errors import Conflict, InvalidParameter
from darkroom.services.directory import Directory
from darkroom.services.register import Register
from darkroom.store.transaction import Transaction


class Projects:
    """What administrators may do with projects and accounts."""

    def __init__(self, register: Register, directory: Directory, region: str) -> None:
        self._register, self._directory, self._region = register, directory, region

    async def add(
        self, caller: Caller, *, name: str, account_id: str = "", parent_id: str = "", description: str = ""
    ) -> Project:
        """Add a project. Without a parent it stands directly in the account, as a region's does."""
        account = await self._directory.account(caller, account_id or caller.account_id)
        caller.must_administer("iam:projects:create", account.id)
        if parent_id not in ("", account.id):
            parent = await self._directory.project(caller, parent_id)
            if parent.account_id != account.id or parent.parent_id not in ("", account.id):
                raise InvalidParameter("project.parent_id", "must be the account or a project directly in it")
        project = Project(
            id=ProjectId(new_hex()),
            account_id=account.id,
            name=name,
            parent_id="" if parent_id == account.id else parent_id,
            description=description,
        )
        await self._register.change(
            caller, "project.added", project.id, lambda tx: tx.accounts.add_project(project), name=name
        )
        return project

    async def change(self, caller: Caller, project_id: str, changes: dict[str, Any]) -> Project:
        """Change name, description or whether it is enabled. Nobody can work in a project that is not."""
        project = await self._mine(caller, "iam:projects:update", project_id)
        if changes:
            await self._register.change(
                caller,
                "project.changed",
                project.id,
                lambda tx: tx.accounts.change_project(project.id, **changes),
                **changes,
            )
        return await self._directory.project(caller, project_id)

    async def remove(self, caller: Caller, project_id: str) -> None:
        """Remove a project. Raises Conflict unless it is disabled and has no image servers, images or sub-projects."""
        project = await self._mine(caller, "iam:projects:delete", project_id)
        if project.enabled:
            raise Conflict("Disable the project first, so that nothing more begins in it.")
        standing = await self._register.look()
        if any(other.parent_id == project.id for other in standing.projects.values()):
            raise Conflict("The project has sub-projects; delete them first.")

        def remove(tx: Transaction) -> None:
            tx.accounts.remove_project(project.id)
            tx.webhooks.remove_all(project.id)

        await self._register.change(
            caller,
            "project.removed",
            project.id,
            remove,
            name=project.name,
        )

    # Accounts

    async def add_account(self, caller: Caller, *, name: str) -> Account:
        """Add an account with a project for the region, but without users."""
        account = Account(id=AccountId(new_hex()), name=name)
        caller.must_administer("iam:domains:create", account.id)
        project = Project(id=ProjectId(new_hex()), account_id=account.id, name=self._region)

        def work(tx: Transaction) -> None:
            tx.accounts.add_account(account)
            tx.accounts.add_project(project)

        await self._register.change(caller, "account.added", account.id, work, name=name)
        return account

    async def change_account(self, caller: Caller, account_id: str, changes: dict[str, Any]) -> Account:
        """Change name or whether it is enabled. Nobody of an account that is not can do anything."""
        account = await self._directory.account(caller, account_id)
        _must_administer_all(caller, "iam:domains:update")
        if account.main and changes.get("enabled") is False:
            raise Conflict("The main account cannot be disabled.")
        if changes:
            await self._register.change(
                caller,
                "account.changed",
                account.id,
                lambda tx: tx.accounts.change_account(account.id, **changes),
                **changes,
            )
        return await self._directory.account(caller, account_id)

    async def remove_account(self, caller: Caller, account_id: str) -> None:
        """Remove an account with its users. Raises Conflict unless it is disabled and has no projects."""
        account = await self._directory.account(caller, account_id)
        _must_administer_all(caller, "iam:domains:delete")
        if account.main:
            raise Conflict("The main account cannot be deleted.")
        if account.enabled:
            raise Conflict("Disable the account first, so that nothing more begins in it.")
        await self._register.change(
            caller,
            "account.removed",
            account.id,
            lambda tx: tx.accounts.remove_account(account.id),
            name=account.name,
        )

    async def _mine(self, caller: Caller, action: str, project_id: str) -> Project:
        project = await self._directory.project(caller, project_id)
        caller.must_administer(action, project.account_id)
        return project


def _must_administer_all(caller: Caller, action: str) -> None:
    caller.must_administer(action, AccountId(""))
