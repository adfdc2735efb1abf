"""Access keys on the wire: temporary ones (contract section 12.4), and permanent ones in the vendor's shape of them."""

from enum import StrEnum
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from darkroom.domain.accounts import AccessKey, TemporaryKey
from darkroom.wire.directory import Description
from darkroom.wire.iam import Lookup
from darkroom.wire.times import spell_micros

#: How long a temporary key lives if nothing is said, in seconds.
SHORTEST: Final = 900
Life = Annotated[int, Meta(ge=SHORTEST, le=86400)]
IN_WORDS: Final = {
    "credential.user_id": "at most 255 characters, none of them NUL",
    "credential.description": "at most 255 characters, none of them NUL",
}


class TokenSource(msgspec.Struct):
    """The token's id may be in `X-Auth-Token` instead."""

    id: Annotated[str, Meta(max_length=32768)] | None = None
    duration_seconds: Life | None = None


class KeyIdentity(msgspec.Struct):
    methods: Annotated[list[str], Meta(min_length=1, max_length=8)]
    token: TokenSource | None = None


class KeyAuth(msgspec.Struct):
    identity: KeyIdentity


class TemporaryKeyRequest(msgspec.Struct):
    auth: KeyAuth


class TemporaryCredential(msgspec.Struct):
    access: str
    secret: str
    securitytoken: str
    expires_at: str


class TemporaryKeyAnswer(msgspec.Struct):
    """A temporary key."""

    credential: TemporaryCredential


class Status(StrEnum):
    ACTIVE = "active"
    INACTIVE = "inactive"


class NewCredential(msgspec.Struct):
    user_id: Lookup
    description: Description | None = None


class AddCredential(msgspec.Struct):
    credential: NewCredential


class CredentialChanges(msgspec.Struct):
    status: Status | None = None
    description: Description | None = None


class ChangeCredential(msgspec.Struct):
    credential: CredentialChanges


class Credential(msgspec.Struct, kw_only=True):
    """A permanent key; `secret` is there only when it is made."""

    access: str
    secret: str | UnsetType = UNSET
    user_id: str
    status: Status
    create_time: str
    description: str


class OneCredential(msgspec.Struct):
    credential: Credential


class Credentials(msgspec.Struct):
    """Permanent keys, the oldest first."""

    credentials: list[Credential]


def temporary_key(key: TemporaryKey, security_token: str) -> TemporaryKeyAnswer:
    return TemporaryKeyAnswer(TemporaryCredential(key.access, key.secret, security_token, spell_micros(key.expires_at)))


def credential(key: AccessKey, *, with_secret: bool = False) -> Credential:
    return Credential(
        access=key.access,
        secret=key.secret if with_secret else UNSET,
        user_id=key.user_id,
        status=Status.ACTIVE if key.enabled else Status.INACTIVE,
        create_time=spell_micros(key.created_at),
        description=key.description,
    )
