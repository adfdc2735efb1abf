"""Sealing: authenticated encryption of what must not be read or altered outside Darkroom.

AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce, under a key of its own for every purpose, derived by HKDF
(RFC 5869): what was sealed for one purpose does not open for another. Layout: version (1 byte), nonce (12), ciphertext
and tag (16 more than the plain text). With random nonces one purpose's key may seal 2**32 times (SP 800-38D, 8.3).
"""

import secrets
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES: Final = 32
_VERSION: Final = b"\x01"
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_START: Final = len(_VERSION) + _NONCE_BYTES
#: Purposes whose ciphers are kept ready.
_READY: Final = 64


class SealBroken(ValueError):
    """The sealed bytes are damaged, or sealed with another key or for another purpose."""


class Sealer:
    """Seals bytes with one master key of 32 bytes."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a sealing key has {KEY_BYTES} bytes, not {len(key)}")
        self._key = bytes(key)
        self._cipher = lru_cache(maxsize=_READY)(self._derive)

    @staticmethod
    def new_key() -> bytes:
        """Return a new random master key."""
        return secrets.token_bytes(KEY_BYTES)

    def seal(self, plain: bytes, purpose: str) -> bytes:
        """Return `plain` sealed; only `open` with the same key and purpose gives it back."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return _VERSION + nonce + self._cipher(purpose).encrypt(nonce, plain, _bound_to(purpose))

    def open(self, sealed: bytes, purpose: str) -> bytes:
        """Return what was sealed. Raises SealBroken if a single bit differs, or the key or the purpose."""
        if len(sealed) < _START + _TAG_BYTES or not sealed.startswith(_VERSION):
            raise SealBroken(SealBroken.__doc__)
        try:
            return self._cipher(purpose).decrypt(sealed[1:_START], sealed[_START:], _bound_to(purpose))
        except InvalidTag:
            raise SealBroken(SealBroken.__doc__) from None

    def _derive(self, purpose: str) -> AESGCM:
        info = b"darkroom sealing\x00" + purpose.encode()
        return AESGCM(HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info).derive(self._key))


def _bound_to(purpose: str) -> bytes:
    return _VERSION + purpose.encode()
