"""Identity: the built-in IAM. Users sign in by password for a token, or sign each request with an access key."""

import asyncio
import secrets
import string

import msgspec
from argon2 import PasswordHasher
from argon2.exceptions import VerificationError

from darkroom.domain.accounts import AccessKey, Account, Caller, Project, Token, User
from darkroom.domain.ids import AccountId, ProjectId, UserId, new_hex
from darkroom.errors import Forbidden, Unauthenticated
from darkroom.services.tokens import Tokens
from darkroom.store.store import Store
from darkroom.store.transaction import Transaction


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """All that the first user needs to sign in. Shown once, when it is made."""

    region: str
    account: str
    account_id: AccountId
    project: str
    project_id: ProjectId
    user: str
    user_id: UserId
    password: str
    access_key: str
    secret_key: str


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """The project a token is asked for: by id, or by name in an account (by default the user's own)."""

    project_id: str = ""
    project_name: str = ""
    account_id: str = ""
    account_name: str = ""


class WrongPassword(Unauthenticated):
    """The username or password is wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.message = "The username or password is wrong."


class Identity:
    """Says who a caller is."""

    def __init__(self, store: Store, tokens: Tokens) -> None:
        self._store, self._tokens = store, tokens
        self._hasher = PasswordHasher()
        self._no_hash = self._hasher.hash(secrets.token_hex())

    async def bootstrap(self, region: str) -> Credentials | None:
        """Make the first account, project, user and access key; return None if there is an account already."""
        credentials = Credentials(
            region=region,
            account="darkroom",
            account_id=AccountId(new_hex()),
            project=region,
            project_id=ProjectId(new_hex()),
            user="admin",
            user_id=UserId(new_hex()),
            password=secrets.token_urlsafe(18),
            access_key=_random(20, string.ascii_uppercase + string.digits),
            secret_key=_random(40, string.ascii_letters + string.digits),
        )
        password_hash = await asyncio.to_thread(self._hasher.hash, credentials.password)

        def make(tx: Transaction) -> bool:
            if tx.accounts.any_account():
                return False
            account_id, user_id = credentials.account_id, credentials.user_id
            tx.accounts.add_account(Account(id=account_id, name=credentials.account))
            tx.accounts.add_project(Project(id=credentials.project_id, account_id=account_id, name=region))
            tx.accounts.add_user(
                User(id=user_id, account_id=account_id, name=credentials.user, password_hash=password_hash)
            )
            key = AccessKey(access=credentials.access_key, secret=credentials.secret_key, user_id=user_id)
            tx.accounts.add_access_key(key)
            return True

        return credentials if await self._store.write(make) else None

    async def sign_in(
        self, *, user_id: str, user_name: str, account_id: str, account_name: str, password: str, scope: Scope
    ) -> tuple[str, Token]:
        """Check a password; return a token, as text and as what it says. Raises WrongPassword or Forbidden."""
        user = await self._user(user_id, user_name, account_id, account_name)
        await self._check_password(user, password)
        if user is None or not user.enabled:
            raise WrongPassword
        account = await self._store.accounts.account(user.account_id)
        assert account is not None
        project = await self._scope(user, scope)
        return self._tokens.issue(
            user_id=user.id,
            user_name=user.name,
            account_id=account.id,
            account_name=account.name,
            project_id=project.id,
            project_name=project.name,
            roles=user.roles,
        )

    def token_caller(self, text: str) -> Caller:
        """Return who carries a token. Raises Unauthenticated."""
        token = self._tokens.read(text)
        return Caller(
            user_id=token.user_id,
            user_name=token.user_name,
            account_id=token.account_id,
            project_id=token.project_id or ProjectId(""),
            roles=token.roles,
        )

    async def key(self, access: str) -> AccessKey:
        """Return an enabled access key. Raises Unauthenticated."""
        key = await self._store.accounts.access_key(access)
        if key is None or not key.enabled:
            raise Unauthenticated(f"ak {access} not exist")
        return key

    async def key_caller(self, key: AccessKey, project_id: str) -> Caller:
        """Return who has signed with a key, at work in that project. Raises Unauthenticated or Forbidden."""
        user = await self._store.accounts.user(key.user_id)
        if user is None or not user.enabled:
            raise Unauthenticated(f"ak {key.access} not exist")
        project = await self._store.accounts.project(ProjectId(project_id))
        if project is None or project.account_id != user.account_id:
            raise Forbidden(f"You have no access to the project {project_id}.")
        return Caller(
            user_id=user.id,
            user_name=user.name,
            account_id=user.account_id,
            project_id=project.id,
            roles=user.roles,
        )

    async def _user(self, user_id: str, user_name: str, account_id: str, account_name: str) -> User | None:
        if user_id:
            return await self._store.accounts.user(UserId(user_id))
        if account_name and not account_id:
            account = await self._store.accounts.account_named(account_name)
            account_id = account.id if account else ""
        return await self._store.accounts.user_named(AccountId(account_id), user_name)

    async def _check_password(self, user: User | None, password: str) -> None:
        """Raise WrongPassword unless it is the user's. Takes as long for a user who does not exist."""
        expected = user.password_hash if user else self._no_hash
        try:
            await asyncio.to_thread(self._hasher.verify, expected, password)
        except VerificationError:
            raise WrongPassword from None

    async def _scope(self, user: User, scope: Scope) -> Project:
        accounts = self._store.accounts
        if scope.project_id:
            project = await accounts.project(ProjectId(scope.project_id))
        else:
            account_id = scope.account_id or user.account_id
            if scope.account_name:
                account = await accounts.account_named(scope.account_name)
                account_id = account.id if account else ""
            project = await accounts.project_named(AccountId(account_id), scope.project_name)
        if project is None or project.account_id != user.account_id:
            raise Forbidden("You have no access to the project, or there is no such project.")
        return project


def _random(length: int, alphabet: str) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))
