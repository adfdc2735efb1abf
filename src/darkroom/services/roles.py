"""Managing roles, and who has which (contract section 2.9). For administrators."""

from darkroom.domain.accounts import Caller, User
from darkroom.domain.ids import AccountId, ProjectId
from darkroom.domain.roles import ADMIN_ROLE, BUILT_IN, EVERYWHERE, Grant, Role
from darkroom.errors import Conflict, NotFound
from darkroom.services.directory import Directory
from darkroom.services.register import Register
from darkroom.store.transaction import Transaction


class Roles:
    """What administrators may do with the roles of their account."""

    def __init__(self, register: Register, directory: Directory) -> None:
        self._register, self._directory = register, directory

    async def all(self, caller: Caller, account_id: str = "") -> list[Role]:
        """Return the roles that every account has, then the account's own."""
        account_id = await self._account(caller, "iam:roles:list", account_id)
        standing = await self._register.look()
        own = (role for role in standing.roles.values() if role.account_id == account_id)
        return [*BUILT_IN.values(), *sorted(own, key=lambda role: role.name)]

    async def get(self, caller: Caller, name: str, account_id: str = "") -> Role:
        """Return one role. Raises NotFound."""
        for role in await self.all(caller, account_id):
            if role.name == name:
                return role
        raise NotFound(f"The role {name} does not exist.")

    async def add(self, caller: Caller, role: Role, account_id: str = "") -> Role:
        """Add a role of the account's own. Raises Conflict if there is one of that name."""
        account = await self._account(caller, "iam:roles:create", account_id)
        standing = await self._register.look()
        if standing.role(account, role.name):
            raise Conflict(f"There is a role of the name {role.name} already.")
        return await self._put(caller, "role.added", account, role)

    async def change(self, caller: Caller, role: Role, account_id: str = "") -> Role:
        """Change what a role allows, for all who have it. Raises Conflict for one that every account has."""
        account = await self._account(caller, "iam:roles:update", account_id)
        await self._own(caller, account, role.name)
        return await self._put(caller, "role.changed", account, role)

    async def remove(self, caller: Caller, name: str, account_id: str = "") -> None:
        """Remove a role and take it from all who have it. Raises Conflict for one that every account has."""
        account = await self._account(caller, "iam:roles:delete", account_id)
        await self._own(caller, account, name)
        await self._register.change(
            caller, "role.removed", name, lambda tx: tx.grants.remove_role(account, name), account=account
        )

    # Who has which

    async def grants(self, caller: Caller, user_id: str) -> list[Grant]:
        """Return what a user has been granted: one's own grants, or as administrator of its account."""
        user = await self._directory.user(caller, user_id)
        standing = await self._register.look()
        return sorted(standing.grants.get(user.id, []), key=lambda grant: (grant.project_id, grant.role))

    async def grant(self, caller: Caller, user_id: str, role: str, project_id: ProjectId) -> None:
        """Give a user a role in a project, or `EVERYWHERE`. Giving it again changes nothing."""
        user = await self._user(caller, "iam:roles:grant", user_id, project_id)
        if (await self._register.look()).role(user.account_id, role) is None:
            raise NotFound(f"The role {role} does not exist.")
        grant = Grant(user_id=user.id, project_id=project_id, role=role)
        await self._register.change(
            caller, "role.granted", user.id, lambda tx: tx.grants.add(grant), role=role, project=project_id
        )

    async def take(self, caller: Caller, user_id: str, role: str, project_id: ProjectId) -> None:
        """Take a role from a user. Raises NotFound if it has it not, Conflict for the account's last administrator."""
        user = await self._user(caller, "iam:roles:revoke", user_id, project_id)
        grant = Grant(user_id=user.id, project_id=project_id, role=role)
        if grant not in await self.grants(caller, user_id):
            raise NotFound(f"The user {user.name} has no such role {role}.")

        def work(tx: Transaction) -> None:
            tx.grants.remove(grant)
            if role == ADMIN_ROLE and project_id == EVERYWHERE:
                tx.grants.must_keep_an_admin(user.account_id)

        await self._register.change(caller, "role.taken", user.id, work, role=role, project=project_id)

    async def _put(self, caller: Caller, kind: str, account_id: AccountId, role: Role) -> Role:
        put = Role(name=role.name, actions=role.actions, description=role.description, account_id=account_id)
        await self._register.change(
            caller, kind, role.name, lambda tx: tx.grants.put_role(put), account=account_id, actions=role.actions
        )
        return put

    async def _own(self, caller: Caller, account_id: AccountId, name: str) -> None:
        if name in BUILT_IN:
            raise Conflict(f"The role {name} cannot be changed.")
        await self.get(caller, name, account_id)

    async def _account(self, caller: Caller, action: str, account_id: str) -> AccountId:
        account = await self._directory.account(caller, account_id or caller.account_id)
        caller.must_administer(action, account.id)
        return account.id

    async def _user(self, caller: Caller, action: str, user_id: str, project_id: ProjectId) -> User:
        """Return a user that the caller administers; the project, if there is one, must be of its account."""
        user = await self._directory.user(caller, user_id)
        caller.must_administer(action, user.account_id)
        if project_id != EVERYWHERE:
            project = await self._directory.project(caller, project_id)
            if project.account_id != user.account_id:
                raise NotFound(f"The project {project_id} does not exist.")
        return user
