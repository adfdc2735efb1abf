"""Requests that change something must come from the console's own pages.

Two defences, each enough by itself: what the browser says of where a request comes from, and a token in every form that
only pages of the same session know. The cookie is the third: SameSite keeps it away from other sites' forms.
"""

import hmac
from hashlib import sha256
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from darkroom.console.i18n import N_
from darkroom.errors import Forbidden

FIELD: Final = "csrf"
HEADER: Final = "x-csrf-token"


class ForeignRequest(Forbidden):
    """The request does not come from a page of this console."""

    cure = N_("Load the page anew and try again.")

    def __init__(self) -> None:
        super().__init__(N_("The request does not come from a page of this console."))


def token_of(session: str) -> str:
    """Return the token that forms of a session carry."""
    return hmac.new(session.encode(), b"darkroom console form", sha256).hexdigest()


def check_origin(headers: Headers) -> None:
    """Raise ForeignRequest if the browser says that the request was made by another site's page.

    A client that says nothing is no browser of these years, and has no cookies that somebody else could abuse.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        if site not in ("same-origin", "none"):
            raise ForeignRequest
        return
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != headers.get("host"):
        raise ForeignRequest


def check_token(session: str, given: str) -> None:
    """Raise ForeignRequest unless the form carries the session's token."""
    if not hmac.compare_digest(token_of(session).encode(), given.encode()):
        raise ForeignRequest
