"""Roles: what callers may do, as patterns of actions (contract section 2.9); grants: who has a role, and where."""

from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Final

import msgspec

from darkroom.domain.ids import AccountId, ProjectId, UserId

#: The role that may do everything. Held for the whole account, it also manages the account's identities.
ADMIN_ROLE: Final = "te_admin"
#: Stands for all projects of an account, those to come included.
EVERYWHERE: Final = ProjectId("")


class Role(msgspec.Struct, frozen=True, kw_only=True):
    """A name for some actions. `*` in a pattern is any text; a pattern that begins with `!` takes away again."""

    name: str
    actions: tuple[str, ...]
    account_id: AccountId = AccountId("")  #: empty for a role that every account has
    description: str = ""

    def allows(self, action: str) -> bool:
        """Tell whether a pattern names the action and none takes it away."""
        return _allow(self.actions, action)


@lru_cache(maxsize=4096)
def _allow(patterns: tuple[str, ...], action: str) -> bool:
    taken = any(fnmatchcase(action, pattern[1:]) for pattern in patterns if pattern.startswith("!"))
    return not taken and any(fnmatchcase(action, pattern) for pattern in patterns)


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """A user's role in one project, or in all of the account's (`EVERYWHERE`)."""

    user_id: UserId
    project_id: ProjectId
    role: str


#: The roles that every account has.
BUILT_IN: Final = {
    role.name: role
    for role in (
        Role(name=ADMIN_ROLE, actions=("*",), description="Everything, the account's identities included."),
        Role(name="operator", actions=("*", "!iam:*"), description="Everything but managing identities."),
        Role(
            name="readonly",
            actions=("*:get*", "*:list*", "*:count*", "!iam:*", "!workspace:imageServer:getAccess"),
            description="Looking, but not at what signs in to image servers.",
        ),
    )
}
