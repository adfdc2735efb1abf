"""Accounts, projects and users on the wire, in Keystone's shapes (contract section 12.2); an account is a domain."""

from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from darkroom.domain import accounts as domain
from darkroom.wire.iam import Lookup, Secret

ProjectName = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+\Z")]
AccountName = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+\Z")]
UserName = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.@-]+\Z")]
Description = Annotated[str, Meta(max_length=255, pattern=r"^[^\x00]*\Z")]
NewPassword = Annotated[str, Meta(min_length=8, max_length=128)]

_NOT_NUL: Final = "at most 255 characters, none of them NUL"
_NEW_PASSWORD: Final = "8 to 128 characters long"  # noqa: S105
#: What the patterns ask for, in words.
IN_WORDS: Final = {
    "project.name": "1 to 64 letters (A-Z, a-z), digits, '_' or '-'",
    "domain.name": "1 to 64 letters (A-Z, a-z), digits, '_', '.' or '-'",
    "user.name": "1 to 64 letters (A-Z, a-z), digits, '_', '.', '@' or '-'",
    "user.password": _NEW_PASSWORD,
    "user.original_password": "1 to 1024 characters long",
    **dict.fromkeys(("project.description", "project.domain_id", "project.parent_id", "user.domain_id"), _NOT_NUL),
}


class Link(msgspec.Struct):
    own: str = msgspec.field(name="self")


class Links(msgspec.Struct):
    own: str = msgspec.field(name="self")
    next: str | None = None
    previous: str | None = None


class Project(msgspec.Struct, kw_only=True):
    id: str
    name: str
    domain_id: str
    parent_id: str
    enabled: bool
    is_domain: bool = False
    description: str
    links: Links


class Projects(msgspec.Struct):
    """Projects by name."""

    projects: list[Project]
    links: Links


class OneProject(msgspec.Struct):
    project: Project


class Domain(msgspec.Struct, kw_only=True):
    id: str
    name: str
    enabled: bool
    description: str = ""
    links: Link


class Domains(msgspec.Struct):
    """Accounts by name."""

    domains: list[Domain]
    links: Link


class OneDomain(msgspec.Struct):
    domain: Domain


class User(msgspec.Struct, kw_only=True):
    id: str
    name: str
    domain_id: str
    enabled: bool
    password_expires_at: str | None = None
    description: str = ""
    links: Links


class Users(msgspec.Struct):
    """Users by name."""

    users: list[User]
    links: Links


class OneUser(msgspec.Struct):
    user: User


class NewProject(msgspec.Struct):
    name: ProjectName
    domain_id: Lookup | None = None
    parent_id: Lookup | None = None
    description: Description | None = None


class AddProject(msgspec.Struct):
    project: NewProject


class ProjectChanges(msgspec.Struct):
    name: ProjectName | None = None
    enabled: bool | None = None
    description: Description | None = None


class ChangeProject(msgspec.Struct):
    project: ProjectChanges


class NewDomain(msgspec.Struct):
    name: AccountName


class AddDomain(msgspec.Struct):
    domain: NewDomain


class DomainChanges(msgspec.Struct):
    name: AccountName | None = None
    enabled: bool | None = None


class ChangeDomain(msgspec.Struct):
    domain: DomainChanges


class NewUser(msgspec.Struct):
    name: UserName
    password: NewPassword
    domain_id: Lookup | None = None
    enabled: bool | None = None


class AddUser(msgspec.Struct):
    user: NewUser


class UserChanges(msgspec.Struct):
    name: UserName | None = None
    password: NewPassword | None = None
    enabled: bool | None = None


class ChangeUser(msgspec.Struct):
    user: UserChanges


class OwnPassword(msgspec.Struct):
    password: NewPassword
    original_password: Secret


class ChangeOwnPassword(msgspec.Struct):
    user: OwnPassword


def changes(wanted: msgspec.Struct) -> dict[str, Any]:
    """Return the fields of a request that say something."""
    return {name: value for name, value in msgspec.structs.asdict(wanted).items() if value is not None}


def project(found: domain.Project, base: str) -> Project:
    return Project(
        id=found.id,
        name=found.name,
        domain_id=found.account_id,
        parent_id=found.parent_id or found.account_id,
        enabled=found.enabled,
        description=found.description,
        links=Links(f"{base}/v3/projects/{found.id}"),
    )


def projects(found: Sequence[domain.Project], base: str, own: str) -> Projects:
    return Projects([project(each, base) for each in found], Links(own))


def account(found: domain.Account, base: str) -> Domain:
    return Domain(id=found.id, name=found.name, enabled=found.enabled, links=Link(f"{base}/v3/domains/{found.id}"))


def accounts(found: Sequence[domain.Account], base: str, own: str) -> Domains:
    return Domains([account(each, base) for each in found], Link(own))


def user(found: domain.User, base: str) -> User:
    return User(
        id=found.id,
        name=found.name,
        domain_id=found.account_id,
        enabled=found.enabled,
        links=Links(f"{base}/v3/users/{found.id}"),
    )


def users(found: Sequence[domain.User], base: str, own: str) -> Users:
    return Users([user(each, base) for each in found], Links(own))


def version(base: str) -> dict[str, Any]:
    """Return what the identity service says of its one version. Go clients know it by this very id."""
    return {
        "id": "v3.0",
        "status": "stable",
        "updated": "2026-01-01T00:00:00Z",
        "links": [{"rel": "self", "href": f"{base}/v3/"}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}],
    }
