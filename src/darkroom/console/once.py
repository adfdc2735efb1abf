"""Forms that are sent twice, by a double click or by going back, are carried out once."""

from hashlib import sha256
from typing import Final

from starlette.requests import Request

from darkroom.console.csrf import FIELD
from darkroom.console.forms import Values, first
from darkroom.domain.requests import Once

#: The field that names the form; a new one each time it is shown.
NAME: Final = "once"
LIMIT: Final = 64


def once_of(request: Request, form: Values) -> Once | None:
    """Return the name of the request that a form makes. With other fields it is another request."""
    name = first(form, NAME)[:LIMIT]
    if not name:
        return None
    content = repr((request.url.path, sorted((field, values) for field, values in form.items() if field != FIELD)))
    digest = sha256(content.encode()).hexdigest()
    return Once(key=f"console:{name}:{digest[:16]}", fingerprint=digest)
