"""Standing: who is who and may do what, all of it, at one moment. What every request is judged by."""

from collections import defaultdict
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from darkroom.domain.accounts import Account, Caller, Project, Token, User
from darkroom.domain.ids import AccountId, ProjectId, UserId
from darkroom.domain.roles import ADMIN_ROLE, BUILT_IN, EVERYWHERE, Grant, Role

#: Tokens whose carriers are kept: those of the callers of the last seconds.
_KEPT: Final = 1024


class Standing:
    """All of identity but secrets, ready to be asked: every question is answered from dictionaries."""

    def __init__(
        self,
        revision: int = -1,
        *,
        accounts: Iterable[Account] = (),
        projects: Iterable[Project] = (),
        users: Iterable[User] = (),
        roles: Iterable[Role] = (),
        grants: Iterable[Grant] = (),
        revoked: Iterable[str] = (),
    ) -> None:
        self.revision = revision
        self.accounts = {account.id: account for account in accounts}
        self.projects = {project.id: project for project in projects}
        self.users = {user.id: user for user in users}
        self.roles = {(role.account_id, role.name): role for role in roles}
        self.revoked = frozenset(revoked)
        self.grants: defaultdict[UserId, list[Grant]] = defaultdict(list)
        for grant in grants:
            self.grants[grant.user_id].append(grant)
        self._held: dict[tuple[UserId, ProjectId], tuple[Role, ...]] = {}
        self._callers: dict[tuple[UserId, ProjectId], Caller] = {}
        self.carrier = lru_cache(maxsize=_KEPT)(self._carrier)

    def role(self, account_id: AccountId, name: str) -> Role | None:
        """Return an account's role, of its own or built in."""
        return BUILT_IN.get(name) or self.roles.get((account_id, name))

    def active(self, user_id: UserId) -> User | None:
        """Return a user who may act: both it and its account are enabled."""
        user = self.users.get(user_id)
        account = self.accounts.get(user.account_id) if user else None
        return user if user and user.enabled and account and account.enabled else None

    def held(self, user: User, project_id: ProjectId) -> tuple[Role, ...]:
        """Return the roles of a user in a project, those for the whole account among them."""
        key = (user.id, project_id)
        found = self._held.get(key)
        if found is None:
            names = sorted({grant.role for grant in self._grants(user.id) if grant.project_id in (EVERYWHERE, key[1])})
            roles = (self.role(user.account_id, name) for name in names)
            found = self._held[key] = tuple(role for role in roles if role)
        return found

    def usable(self, user: User, project_id: ProjectId) -> Project | None:
        """Return a project that is enabled and in which the user has a role."""
        project = self.projects.get(project_id)
        if project is None or not project.enabled or project.account_id != user.account_id:
            return None
        return project if self.held(user, project_id) else None

    def may_be(self, token: Token) -> User | None:
        """Return the user of a token, unless it was revoked, or the user or the project is enabled no more."""
        if token.id in self.revoked or token.origin in self.revoked:
            return None
        user = self.active(token.user_id)
        if user is None or token.issued_at < user.tokens_from:
            return None
        if token.project_id is None:
            return user
        project = self.projects.get(token.project_id)
        return user if project and project.enabled else None

    def caller(self, user: User, project_id: ProjectId) -> Caller:
        """Return a user at work in a project, or `EVERYWHERE`, with all its roles there."""
        key = (user.id, project_id)
        found = self._callers.get(key)
        if found is None:
            found = self._callers[key] = self._caller(user, project_id, self.held(user, project_id))
        return found

    def _carrier(self, token: Token) -> Caller | None:
        """Return who carries a token, if it may be used; its roles are those of the token that the user still has."""
        user, project_id = self.may_be(token), token.project_id or EVERYWHERE
        if user is None:
            return None
        roles = tuple(role for role in self.held(user, project_id) if role.name in token.roles)
        return self._caller(user, project_id, roles)

    def _caller(self, user: User, project_id: ProjectId, roles: tuple[Role, ...]) -> Caller:
        is_admin = any(role.name == ADMIN_ROLE for role in roles) and any(
            grant.role == ADMIN_ROLE and grant.project_id == EVERYWHERE for grant in self._grants(user.id)
        )
        return Caller(
            user_id=user.id,
            user_name=user.name,
            account_id=user.account_id,
            project_id=project_id,
            roles=roles,
            is_admin=is_admin,
            is_main_admin=is_admin and self.accounts[user.account_id].main,
        )

    def _grants(self, user_id: UserId) -> list[Grant]:
        return self.grants.get(user_id, [])
