"""Access keys: their shapes, and the temporary ones, which are sealed into their security token (contract 12.4).

Nothing of a temporary key is stored: the caller carries the secret key with each request, in a text that only Darkroom
reads. To the caller it is opaque.
"""

import base64
import secrets
import string
from typing import Final

import msgspec

from darkroom.domain.accounts import AccessKey, TemporaryKey
from darkroom.domain.ids import UserId
from darkroom.domain.times import Clock
from darkroom.errors import Unauthenticated
from darkroom.store.sealing import Sealer

_PURPOSE: Final = "security-token"
#: Temporary access keys begin so, as the vendor's do.
_TEMPORARY: Final = "HST"
_CAPITALS: Final = string.ascii_uppercase + string.digits


def new_access(prefix: str = "") -> str:
    """Return a new AK: 20 capital letters and digits (contract section 12.1)."""
    return prefix + _random(20 - len(prefix), _CAPITALS)


def new_secret() -> str:
    """Return a new SK: 40 letters and digits."""
    return _random(40, string.ascii_letters + string.digits)


class TemporaryKeys:
    """Issues temporary keys and reads them back."""

    def __init__(self, sealer: Sealer, clock: Clock) -> None:
        self._sealer, self._clock = sealer, clock
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(TemporaryKey).decode

    def issue(self, user_id: UserId, seconds: int) -> tuple[str, TemporaryKey]:
        """Return a new key for a user: its security token, and what that says."""
        now = self._clock()
        key = TemporaryKey(
            access=new_access(_TEMPORARY),
            secret=new_secret(),
            user_id=user_id,
            issued_at=now,
            expires_at=now + seconds * 1000,
        )
        return base64.urlsafe_b64encode(self._sealer.seal(self._encode(key), _PURPOSE)).decode(), key

    def read(self, access: str, security_token: str) -> AccessKey:
        """Return the key that a security token carries. Raises Unauthenticated unless it is that of `access`."""
        try:
            sealed = base64.b64decode(security_token.encode("ascii"), b"-_", validate=True)
            key = self._decode(self._sealer.open(sealed, _PURPOSE))
        except ValueError:  # msgspec's errors and SealBroken are ValueErrors too
            raise Unauthenticated("decrypt security token fail") from None
        if key.access != access:
            raise Unauthenticated(f"the security token is not that of ak {access}")
        if self._clock() >= key.expires_at:
            raise Unauthenticated(f"security token of ak {access} expires")
        return AccessKey(
            access=key.access, secret=key.secret, user_id=key.user_id, created_at=key.issued_at, temporary=True
        )


def _random(length: int, alphabet: str) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))
