"""Headers of every answer: what a page may load and who may see it."""

from typing import Final

from starlette.datastructures import MutableHeaders

#: Nothing but what this service serves; no script and no style inside of pages.
_POLICY: Final = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
    "base-uri": "'none'",
}


def policy(**more: str) -> str:
    """Return the Content-Security-Policy, with more sources for some kinds: `policy(img_src="data:")`."""
    extra = {name.replace("_", "-"): sources for name, sources in more.items()}
    return "; ".join(f"{kind} {sources} {extra.get(kind, '')}".strip() for kind, sources in _POLICY.items())


def secure(headers: MutableHeaders) -> None:
    """Add what is not there yet."""
    headers.setdefault("content-security-policy", policy())
    headers.setdefault("cache-control", "no-store")
    headers.setdefault("x-content-type-options", "nosniff")
    headers.setdefault("referrer-policy", "same-origin")
    headers.setdefault("cross-origin-opener-policy", "same-origin")
