"""Signing in: tokens by password or by another token, looked at and revoked (contract section 12.3)."""

import msgspec

from darkroom.domain.accounts import Caller, Project, TemporaryKey, Token, User
from darkroom.domain.ids import AccountId, ProjectId, UserId
from darkroom.domain.roles import EVERYWHERE
from darkroom.domain.standing import Standing
from darkroom.domain.times import Clock
from darkroom.errors import Forbidden, NotFound, TokenInvalid, Unauthenticated, WrongPassword
from darkroom.services.identity import Identity
from darkroom.services.keys import TemporaryKeys
from darkroom.services.passwords import Passwords
from darkroom.services.register import Register
from darkroom.services.tokens import Tokens
from darkroom.store.store import Store


class Who(msgspec.Struct, frozen=True, kw_only=True):
    """The user who signs in: by id, or by name in an account that is given by id or name."""

    user_id: str = ""
    user_name: str = ""
    account_id: str = ""
    account_name: str = ""


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """What a token is asked for: a project, by id or by name in an account (by default the user's), or an account."""

    project_id: str = ""
    project_name: str = ""
    account_id: str = ""
    account_name: str = ""


class SubjectInvalid(NotFound):
    """The token in X-Subject-Token is not valid."""

    def __init__(self) -> None:
        super().__init__("The token in X-Subject-Token is not valid.")


class SignIn:
    """Gives tokens and temporary keys to those who prove who they are."""

    def __init__(
        self,
        store: Store,
        register: Register,
        identity: Identity,
        passwords: Passwords,
        tokens: Tokens,
        temporary_keys: TemporaryKeys,
        clock: Clock,
    ) -> None:
        self._store, self._register, self._identity = store, register, identity
        self._passwords, self._tokens, self._temporary_keys = passwords, tokens, temporary_keys
        self._clock = clock

    async def by_password(self, who: Who, password: str, scope: Scope) -> tuple[str, Token]:
        """Return a new token, as text and as what it says. Raises WrongPassword or Forbidden."""
        user = await self._user(who)
        await self._passwords.check(user.password_hash if user else None, password)
        standing = await self._register.look()
        present = standing.active(user.id) if user else None
        if user is None or present is None or present.tokens_from != user.tokens_from:  # changed while it was checked
            raise WrongPassword
        return self._issue(standing, user, scope, methods=("password",))

    async def by_token(self, text: str, scope: Scope) -> tuple[str, Token]:
        """Return a token for another scope. It expires and is revoked with the one it was got by."""
        token, _ = await self._identity.token(text)
        standing = await self._register.look()
        user = standing.may_be(token)
        if user is None:
            raise TokenInvalid
        methods = (*(method for method in token.methods if method != "token"), "token")
        return self._issue(standing, user, scope, methods=methods, got_by=token)

    async def temporary_key(self, text: str, seconds: int) -> tuple[str, TemporaryKey]:
        """Return a temporary key for the user of a token, and its security token (contract section 12.4)."""
        token, _ = await self._identity.token(text)
        return self._temporary_keys.issue(token.user_id, seconds)

    async def examine(self, caller: Caller, text: str) -> Token:
        """Return what a valid token says: one's own, or as administrator of its account. Raises SubjectInvalid."""
        try:
            token, carrier = await self._identity.token(text)
        except Unauthenticated:
            raise SubjectInvalid from None
        if not caller.sees(token.account_id):
            raise SubjectInvalid
        if token.user_id != caller.user_id:
            caller.must_administer("iam:tokens:examine", token.account_id)
        return msgspec.structs.replace(token, roles=tuple(role.name for role in carrier.roles))

    async def revoke(self, caller: Caller, text: str) -> None:
        """Make a token, and those got by it, good no more. Whose tokens, and what is raised: see `examine`."""
        token = await self.examine(caller, text)
        await self._register.change(
            caller,
            "token.revoked",
            token.user_id,
            lambda tx: tx.grants.revoke_token(token.id, token.expires_at, self._clock()),
        )

    async def end(self, text: str) -> None:
        """Sign out: make a token of one's own good no more, with the one it was first got by and all got by that."""
        token, caller = await self._identity.token(text)
        await self._register.change(
            caller,
            "token.revoked",
            token.user_id,
            lambda tx: tx.grants.revoke_token(token.origin or token.id, token.expires_at, self._clock()),
        )

    def _issue(
        self, standing: Standing, user: User, scope: Scope, *, methods: tuple[str, ...], got_by: Token | None = None
    ) -> tuple[str, Token]:
        project = _project(standing, user, scope)
        return self._tokens.issue(
            user_id=user.id,
            user_name=user.name,
            account_id=user.account_id,
            account_name=standing.accounts[user.account_id].name,
            project_id=project.id if project else None,
            project_name=project.name if project else "",
            roles=[role.name for role in standing.held(user, project.id if project else EVERYWHERE)],
            methods=methods,
            got_by=got_by,
        )

    async def _user(self, who: Who) -> User | None:
        accounts, account_id = self._store.accounts, who.account_id
        if who.user_id:
            return await accounts.user(UserId(who.user_id))
        if who.account_name and not account_id:
            account = await accounts.account_named(who.account_name)
            account_id = account.id if account else ""
        return await accounts.user_named(AccountId(account_id), who.user_name)


def _project(standing: Standing, user: User, scope: Scope) -> Project | None:
    """Return the project of a scope, None if it is the user's account. Raises Forbidden, alike for what is not there.

    Without a scope the account is meant, as there is no other default that every user has.
    """
    account = standing.accounts[user.account_id]
    is_own = scope.account_id in ("", account.id) and scope.account_name in ("", account.name)
    if not scope.project_id and not scope.project_name:
        if not is_own:
            raise Forbidden("You have no access to the account, or there is no such account.")
        return None
    project_id = ProjectId(scope.project_id)
    if not project_id and is_own:
        named = (
            project.id
            for project in standing.projects.values()
            if project.name == scope.project_name and project.account_id == user.account_id
        )
        project_id = next(named, ProjectId(""))
    project = standing.usable(user, project_id)
    if project is None:
        raise Forbidden("You have no access to the project, or there is no such project.")
    return project
