"""Tokens: who a caller is, sealed into a text that the caller carries and only Darkroom reads (contract section 12.3).

Nothing is stored but which ones were revoked: every process that has the sealing key reads every token. To the caller
the text is opaque.
"""

import base64
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

import msgspec

from darkroom.domain.accounts import Token
from darkroom.domain.ids import AccountId, ProjectId, UserId, new_hex
from darkroom.domain.times import Clock
from darkroom.errors import TokenInvalid
from darkroom.store.sealing import Sealer

#: A token's life in milliseconds: 24 hours.
LIFE_MS: Final = 24 * 60 * 60 * 1000
#: The vendor's tokens, signed messages in base64, begin so too (contract section 12.3). It means nothing.
_PREFIX: Final = "MII"
_PURPOSE: Final = "token"
#: Tokens that are kept opened: those of the callers of the last seconds.
_KEPT: Final = 1024
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Tokens:
    """Issues tokens and reads them back."""

    def __init__(self, sealer: Sealer, clock: Clock, life_ms: int = LIFE_MS) -> None:
        self._sealer, self._clock, self._life_ms = sealer, clock, life_ms
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(Token).decode
        # What a text says never changes, so it is kept; whether it is still good is asked each time.
        self._said = lru_cache(maxsize=_KEPT)(self._open)

    def issue(
        self,
        *,
        user_id: UserId,
        user_name: str,
        account_id: AccountId,
        account_name: str,
        project_id: ProjectId | None = None,
        project_name: str = "",
        roles: Iterable[str] = (),
        methods: Iterable[str] = ("password",),
        got_by: Token | None = None,
    ) -> tuple[str, Token]:
        """Return a new token as the text that the caller carries, and what it says.

        One that was got by another token expires no later than that: nobody stays signed in by renewing tokens.
        """
        now = self._clock()
        token = Token(
            id=new_hex(),
            user_id=user_id,
            user_name=user_name,
            account_id=account_id,
            account_name=account_name,
            project_id=project_id,
            project_name=project_name,
            roles=tuple(roles),
            methods=tuple(methods),
            issued_at=now,
            expires_at=got_by.expires_at if got_by else now + self._life_ms,
            origin=(got_by.origin or got_by.id) if got_by else "",
        )
        return _armour(self._sealer.seal(self._encode(token), _PURPOSE)), token

    def read(self, text: str) -> Token:
        """Return what a token says. Raises TokenInvalid, in the contract's words, if it is not ours or expired."""
        try:
            token = self._said(text)
        except ValueError:  # msgspec's errors and SealBroken are ValueErrors too
            raise TokenInvalid("decrypt token fail") from None
        if self._clock() >= token.expires_at:
            raise TokenInvalid(f"token expires, expires_at: {_spelled(token.expires_at)}")
        return token

    def _open(self, text: str) -> Token:
        return self._decode(self._sealer.open(_bare(text), _PURPOSE))


def _armour(sealed: bytes) -> str:
    return _PREFIX + base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()


def _bare(text: str) -> bytes:
    sealed = base64.urlsafe_b64decode(text[len(_PREFIX) :].encode("ascii") + b"==")
    if _armour(sealed) != text:  # the decoder overlooks stray characters and bits: a token has one spelling
        raise ValueError("not a token's text")
    return sealed


def _spelled(ms: int) -> str:
    """Return a time as the identity service writes it: UTC, six digits of a fraction."""
    return (_EPOCH + timedelta(milliseconds=ms)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
