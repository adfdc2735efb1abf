"""Passwords: kept as Argon2id hashes, checked in a thread."""

import asyncio
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from darkroom.errors import WrongPassword


class Passwords:
    """Hashes passwords and checks them."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher()
        self._no_hash = self._hasher.hash(secrets.token_hex())

    async def hash(self, password: str) -> str:
        return await asyncio.to_thread(self._hasher.hash, password)

    async def check(self, expected: str | None, password: str) -> None:
        """Raise WrongPassword unless it is the one. Takes as long where there is no hash to compare with."""
        try:
            await asyncio.to_thread(self._hasher.verify, expected or self._no_hash, password)
        except (VerificationError, InvalidHashError):
            raise WrongPassword from None
