"""Identity: accounts own projects, users belong to accounts, and a caller is a user at work in one project."""

from collections.abc import Awaitable, Callable

import msgspec

from darkroom.domain.ids import AccountId, ProjectId, UserId
from darkroom.domain.roles import ADMIN_ROLE, Role
from darkroom.errors import Forbidden


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """`main` is the account made at first start: who administers it looks after all the others too."""

    id: AccountId
    name: str
    enabled: bool = True
    main: bool = False


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """`parent_id` is the account's id for a region's project, else that of a region's project (contract 12.2)."""

    id: ProjectId
    account_id: AccountId
    name: str
    parent_id: str = ""
    enabled: bool = True
    description: str = ""


class User(msgspec.Struct, frozen=True, kw_only=True):
    """`roles` are those for the whole account. Tokens issued before `tokens_from` (milliseconds) are good no more."""

    id: UserId
    account_id: AccountId
    name: str
    password_hash: str
    roles: tuple[str, ...] = ()
    enabled: bool = True
    tokens_from: int = 0


class AccessKey(msgspec.Struct, frozen=True, kw_only=True):
    """An AK/SK pair; the secret is sealed at rest and plain only here. Temporary ones are recorded nowhere."""

    access: str
    secret: str
    user_id: UserId
    enabled: bool = True
    created_at: int = 0
    description: str = ""
    temporary: bool = False


class Token(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What a token says. Times in milliseconds; `project_id` is None if it is good for the account, not a project.

    On the wire it is an array: new fields go to the end, with defaults, so that tokens in use stay readable.
    """

    id: str
    user_id: UserId
    user_name: str
    account_id: AccountId
    account_name: str
    project_id: ProjectId | None
    project_name: str
    roles: tuple[str, ...]
    methods: tuple[str, ...]
    issued_at: int
    expires_at: int
    origin: str = ""  #: the token it was first got by; empty if that is itself


class TemporaryKey(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What a security token says: a pair that is good until `expires_at` (contract section 12.4). See `Token`."""

    access: str
    secret: str
    user_id: UserId
    issued_at: int
    expires_at: int


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who makes a request, and in which project; `project_id` is empty for one at work in the account as a whole."""

    user_id: UserId
    user_name: str
    account_id: AccountId
    project_id: ProjectId
    roles: tuple[Role, ...]
    is_admin: bool = False  #: administers the whole account
    is_main_admin: bool = False  #: administers the main account, and so all

    def may(self, action: str) -> bool:
        for role in self.roles:  # noqa: SIM110 - any() would take twice as long, at every request
            if role.allows(action):
                return True
        return False

    def must(self, action: str, project_id: ProjectId) -> None:
        """Raise Forbidden unless this caller works in that project and its roles allow the action."""
        if not self.project_id:
            raise Forbidden("This needs a project: sign in to one, or name it in X-Project-Id.")
        if project_id != self.project_id:
            raise Forbidden("The project in the path is not the one you are signed in to.")
        if not self.may(action):
            raise Forbidden(f"Your roles do not allow the action {action}.")

    def must_administer(self, action: str, account_id: AccountId) -> None:
        """Raise Forbidden unless this caller administers that account. The action is named for the message alone."""
        if not (self.is_main_admin or (self.is_admin and account_id == self.account_id)):
            raise Forbidden(f"The action {action} needs the role {ADMIN_ROLE} for the whole account.")

    def sees(self, account_id: AccountId) -> bool:
        """Tell whether that account exists as far as this caller is concerned."""
        return self.is_main_admin or account_id == self.account_id


#: Returns a caller as of now. Raises Unauthenticated or Forbidden.
Again = Callable[[], Awaitable[Caller]]
