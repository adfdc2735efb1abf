"""Tokens on the wire (contract section 12.3): what is asked for, and what is said of them."""

from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from darkroom.domain.accounts import Token
from darkroom.errors import Forbidden, InvalidParameter
from darkroom.wire.times import spell_micros

#: An id or a name that is looked up; the database would take NUL for the end of the text.
Lookup = Annotated[str, Meta(max_length=255, pattern=r"^[^\x00]*\Z")]
Secret = Annotated[str, Meta(min_length=1, max_length=1024)]
#: Ways to sign in that exist elsewhere, and what they need that is not there.
NOT_OFFERED: Final = {"assume_role": "Agencies", "hw_assume_role": "Agencies", "totp": "One-time passwords"}
IN_WORDS: Final = {
    f"auth.{field}": "at most 255 characters, none of them NUL"
    for field in (
        "identity.password.user.id",
        "identity.password.user.name",
        "identity.password.user.domain.id",
        "identity.password.user.domain.name",
        "scope.project.id",
        "scope.project.name",
        "scope.project.domain.id",
        "scope.project.domain.name",
        "scope.domain.id",
        "scope.domain.name",
    )
}


class DomainRef(msgspec.Struct):
    id: Lookup | None = None
    name: Lookup | None = None


class UserRef(msgspec.Struct):
    password: Secret
    id: Lookup | None = None
    name: Lookup | None = None
    domain: DomainRef | None = None


class Password(msgspec.Struct):
    user: UserRef


class TokenRef(msgspec.Struct):
    id: Annotated[str, Meta(min_length=1, max_length=32768)]


class Identity(msgspec.Struct):
    methods: Annotated[list[str], Meta(min_length=1, max_length=8)]
    password: Password | None = None
    token: TokenRef | None = None


class ProjectRef(msgspec.Struct):
    id: Lookup | None = None
    name: Lookup | None = None
    domain: DomainRef | None = None


class ScopeRef(msgspec.Struct):
    project: ProjectRef | None = None
    domain: DomainRef | None = None


class Auth(msgspec.Struct):
    identity: Identity
    scope: ScopeRef | None = None


class TokenRequest(msgspec.Struct):
    auth: Auth


def method_of(methods: list[str], among: tuple[str, ...]) -> str:
    """Return the one way to sign in that is asked for. Raises InvalidParameter, or Forbidden for an agency."""
    for method in methods:
        if method in NOT_OFFERED:
            refusal = f"{NOT_OFFERED[method]} ({method}) are not offered."
            raise Forbidden(refusal) if "assume" in method else InvalidParameter("auth.identity.methods", refusal)
    if len(methods) != 1 or methods[0] not in among:
        raise InvalidParameter("auth.identity.methods", f"must be one of {', '.join(among)}, alone")
    return methods[0]


def checked_scope(scope: ScopeRef | None) -> ScopeRef:
    """Return the scope, an empty one where there is none. Raises InvalidParameter for one that names nothing."""
    if scope is None:
        return ScopeRef()
    if scope.project and scope.domain:
        raise InvalidParameter("auth.scope", "must be a project or a domain, not both")
    if scope.project:
        if not scope.project.id and not scope.project.name:
            raise InvalidParameter("auth.scope.project", "needs an id or a name")
    elif not scope.domain:
        raise InvalidParameter("auth.scope", "needs a project or a domain")
    elif not scope.domain.id and not scope.domain.name:
        raise InvalidParameter("auth.scope.domain", "needs an id or a name")
    return scope


class Named(msgspec.Struct):
    id: str
    name: str


class TokenUser(msgspec.Struct):
    id: str
    name: str
    domain: Named
    password_expires_at: str = ""


class TokenProject(msgspec.Struct):
    id: str
    name: str
    domain: Named


class Endpoint(msgspec.Struct):
    id: str
    interface: str
    region: str
    region_id: str
    url: str


class Service(msgspec.Struct):
    id: str
    name: str
    type: str
    endpoints: list[Endpoint]


class TokenBody(msgspec.Struct, kw_only=True):
    methods: list[str]
    issued_at: str
    expires_at: str
    user: TokenUser
    project: TokenProject | UnsetType = UNSET
    domain: Named | UnsetType = UNSET
    roles: list[Named]
    catalog: list[Service]


class TokenAnswer(msgspec.Struct):
    """What a token says."""

    token: TokenBody


def token(said: Token, catalog: list[Service]) -> TokenAnswer:
    """Return the body that describes a token."""
    domain = Named(said.account_id, said.account_name)
    project = TokenProject(said.project_id, said.project_name, domain) if said.project_id else UNSET
    return TokenAnswer(
        TokenBody(
            methods=list(said.methods),
            issued_at=spell_micros(said.issued_at),
            expires_at=spell_micros(said.expires_at),
            user=TokenUser(said.user_id, said.user_name, domain),
            project=project,
            domain=UNSET if project else domain,
            roles=[Named("0", role) for role in said.roles],
            catalog=catalog,
        )
    )


def catalog(endpoint: str, region: str) -> list[Service]:
    """Return the services at one endpoint, as a token's catalogue."""
    services = [("workspace-app", "appstream", "/v1"), ("iam", "identity", "/v3"), ("ims", "image", "")]
    return [
        Service(name, name, kind, [Endpoint(f"{name}-public", "public", region, region, f"{endpoint}{path}")])
        for name, kind, path in services
    ]
