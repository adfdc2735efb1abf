"""Identity: accounts own projects, users belong to accounts, and a caller is a user at work in one project."""

from fnmatch import fnmatchcase

import msgspec

from darkroom.domain.ids import AccountId, ProjectId, UserId
from darkroom.errors import Forbidden

#: The role that may do everything in its account's projects.
ADMIN_ROLE = "te_admin"


class Account(msgspec.Struct, frozen=True, kw_only=True):
    id: AccountId
    name: str


class Project(msgspec.Struct, frozen=True, kw_only=True):
    id: ProjectId
    account_id: AccountId
    name: str


class User(msgspec.Struct, frozen=True, kw_only=True):
    id: UserId
    account_id: AccountId
    name: str
    password_hash: str
    roles: tuple[str, ...] = (ADMIN_ROLE,)
    enabled: bool = True


class AccessKey(msgspec.Struct, frozen=True, kw_only=True):
    """A permanent AK/SK pair; the secret is sealed at rest and plain only here."""

    access: str
    secret: str
    user_id: UserId
    enabled: bool = True


#: What each role may do, as patterns of actions.
ROLES: dict[str, tuple[str, ...]] = {ADMIN_ROLE: ("*",)}


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


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who makes a request, and in which project."""

    user_id: UserId
    user_name: str
    account_id: AccountId
    project_id: ProjectId
    roles: tuple[str, ...]

    def may(self, action: str) -> bool:
        patterns = (pattern for role in self.roles for pattern in ROLES.get(role, ()))
        return any(fnmatchcase(action, pattern) for pattern in patterns)

    def must(self, action: str, project_id: ProjectId) -> None:
        """Raise Forbidden unless this caller works in that project and its roles allow the action."""
        if project_id != self.project_id:
            raise Forbidden("The project in the path is not the one you are signed in to.")
        if not self.may(action):
            raise Forbidden(f"Your roles do not allow the action {action}.")
