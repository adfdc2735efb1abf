"""The first start: makes the main account with a project, a user who may do everything, and an access key."""

import secrets
from collections.abc import Callable

import msgspec

from darkroom.domain.accounts import AccessKey, Account, Project, User
from darkroom.domain.ids import AccountId, ProjectId, UserId, new_hex
from darkroom.domain.roles import ADMIN_ROLE
from darkroom.domain.times import Clock
from darkroom.errors import Conflict
from darkroom.services.keys import new_access, new_secret
from darkroom.services.passwords import Passwords
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


async def bootstrap(
    store: Store, passwords: Passwords, clock: Clock, region: str, keep: Callable[[Credentials], None]
) -> Credentials | None:
    """Make the main account, its project, user and access key; return None if there is an account already.

    `keep` is given the credentials before anything of that is in force: what it cannot keep is not made.
    """
    made = Credentials(
        region=region,
        account="darkroom",
        account_id=AccountId(new_hex()),
        project=region,
        project_id=ProjectId(new_hex()),
        user="admin",
        user_id=UserId(new_hex()),
        password=secrets.token_urlsafe(18),
        access_key=new_access(),
        secret_key=new_secret(),
    )
    password_hash = await passwords.hash(made.password)

    def make(tx: Transaction) -> bool:
        if tx.accounts.any_account():
            return False
        account_id = made.account_id
        tx.accounts.add_account(Account(id=account_id, name=made.account, main=True))
        tx.accounts.add_project(Project(id=made.project_id, account_id=account_id, name=region))
        tx.accounts.add_user(
            User(
                id=made.user_id,
                account_id=account_id,
                name=made.user,
                password_hash=password_hash,
                roles=(ADMIN_ROLE,),
            )
        )
        tx.accounts.add_access_key(
            AccessKey(access=made.access_key, secret=made.secret_key, user_id=made.user_id, created_at=clock())
        )
        keep(made)
        return True

    try:
        return made if await store.write(make) else None
    except Conflict:  # another process has started first
        return None
