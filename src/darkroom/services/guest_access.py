"""Making the sign-in data of an image server's account."""

import secrets

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from darkroom.domain.servers import ServerAccess


def new_access(account: str) -> ServerAccess:
    """Return a new password and a new key for an account."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return ServerAccess(
        account=account,
        # A policy for passwords in the guest may want letters of both cases, a digit and a mark.
        password=f"{secrets.token_urlsafe(15)}-aA1",
        private_key=private.decode(),
        public_key=f"{public.decode()} {account}",
    )
