"""Roles and their assignments on the wire, in Keystone's shapes. A role's id is its name; `actions` are our own."""

from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from darkroom.domain import roles as domain
from darkroom.domain.accounts import User
from darkroom.domain.roles import EVERYWHERE
from darkroom.wire.directory import Description, Link
from darkroom.wire.iam import Lookup

RoleName = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+\Z")]
Action = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^!?[A-Za-z0-9_.:*-]+\Z")]
Actions = Annotated[list[Action], Meta(min_length=1, max_length=100)]

#: What the patterns ask for, in words.
IN_WORDS: Final = {
    "role.name": "1 to 64 letters (A-Z, a-z), digits, '_' or '-'",
    "role.actions[...]": "an action such as workspace:imageServer:create, with * for any text; ! before it takes away",
    "role.description": "at most 255 characters, none of them NUL",
    "role.domain_id": "at most 255 characters, none of them NUL",
}


class NewRole(msgspec.Struct):
    name: RoleName
    actions: Actions
    description: Description | None = None
    domain_id: Lookup | None = None


class AddRole(msgspec.Struct):
    role: NewRole


class RoleChanges(msgspec.Struct):
    actions: Actions
    description: Description | None = None
    domain_id: Lookup | None = None


class ChangeRole(msgspec.Struct):
    role: RoleChanges


class Role(msgspec.Struct):
    id: str
    name: str
    domain_id: str | None
    description: str
    actions: list[str]


class Roles(msgspec.Struct):
    """Roles: those that every account has, then the account's own."""

    roles: list[Role]
    links: Link


class OneRole(msgspec.Struct):
    role: Role


class Ref(msgspec.Struct):
    id: str


class RoleRef(msgspec.Struct):
    id: str
    name: str


class AssignmentScope(msgspec.Struct):
    project: Ref | UnsetType = UNSET
    domain: Ref | UnsetType = UNSET


class Assignment(msgspec.Struct):
    role: RoleRef
    user: Ref
    scope: AssignmentScope


class Assignments(msgspec.Struct):
    """Which roles a user has, and where. A domain stands for all of the account's projects."""

    role_assignments: list[Assignment]
    links: Link


def role(found: domain.Role) -> Role:
    return Role(found.name, found.name, found.account_id or None, found.description, list(found.actions))


def assignment(found: domain.Grant, user: User) -> Assignment:
    everywhere = found.project_id == EVERYWHERE
    scope = AssignmentScope(domain=Ref(user.account_id)) if everywhere else AssignmentScope(Ref(found.project_id))
    return Assignment(RoleRef(found.role, found.role), Ref(user.id), scope)
