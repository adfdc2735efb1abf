"""What Darkroom is measured beside, each in a process of its own."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
FASTAPI = Path(__file__).with_name("fastapi_orm.py")


class PeerMissing(Exception):
    """A peer is not installed."""


def python(venv: str) -> Path:
    """Return the Python of a peer's virtual environment, which `make bench` makes. Raises PeerMissing."""
    found = ROOT / ".bench-venv" / venv / "bin" / "python"
    if not found.exists():
        raise PeerMissing(f"{found.relative_to(ROOT)} is missing: run bench/setup.sh")
    return found


def signed_token(claims: Mapping[str, str], secret: str) -> str:
    """Return a JSON web token, signed by HMAC with SHA-256 (RFC 7519)."""
    head = _part(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
    signed = f"{head}.{_part(json.dumps(claims).encode())}"
    return f"{signed}.{_part(hmac.digest(secret.encode(), signed.encode(), hashlib.sha256))}"


def _part(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
