"""Sign-in on the wire: `POST /v3/auth/tokens` by password, for a project (contract section 12.3)."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from darkroom.domain.accounts import Token
from darkroom.wire.times import spell_micros

_Name = Annotated[str, Meta(max_length=255)]


class DomainRef(msgspec.Struct):
    id: _Name = ""
    name: _Name = ""


class UserRef(msgspec.Struct):
    password: Annotated[str, Meta(min_length=1, max_length=1024)]
    id: _Name = ""
    name: _Name = ""
    domain: DomainRef | None = None


class Password(msgspec.Struct):
    user: UserRef


class PasswordIdentity(msgspec.Struct):
    methods: Annotated[list[str], Meta(min_length=1)]
    password: Password


class ProjectRef(msgspec.Struct):
    id: _Name = ""
    name: _Name = ""
    domain: DomainRef | None = None


class ProjectScope(msgspec.Struct):
    project: ProjectRef


class Auth(msgspec.Struct):
    identity: PasswordIdentity
    scope: ProjectScope


class TokenRequest(msgspec.Struct):
    auth: Auth


def token(issued: Token, catalog: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the body that describes a token."""
    domain = {"id": issued.account_id, "name": issued.account_name}
    user = {"id": issued.user_id, "name": issued.user_name, "password_expires_at": "", "domain": domain}
    return {
        "token": {
            "methods": list(issued.methods),
            "issued_at": spell_micros(issued.issued_at),
            "expires_at": spell_micros(issued.expires_at),
            "user": user,
            "project": {"id": issued.project_id, "name": issued.project_name, "domain": domain},
            "roles": [{"id": "0", "name": role} for role in issued.roles],
            "catalog": catalog,
        }
    }


def catalog(endpoint: str, region: str) -> list[dict[str, Any]]:
    """Return the services at one endpoint, as a token's catalogue."""
    services = [("workspace-app", "appstream", "/v1"), ("iam", "identity", "/v3"), ("ims", "image", "")]
    return [
        {
            "id": name,
            "name": name,
            "type": kind,
            "endpoints": [
                {
                    "id": f"{name}-public",
                    "interface": "public",
                    "region": region,
                    "region_id": region,
                    "url": f"{endpoint}{path}",
                }
            ],
        }
        for name, kind, path in services
    ]
