"""Reading requests: bodies and queries, refused with the name of the field that is wrong."""

import re
from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Any, TypeVar

import msgspec
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.types import Receive, Scope, Send

from darkroom.domain.ids import ProjectId
from darkroom.domain.requests import Once
from darkroom.errors import InvalidParameter, TooLarge, UnsupportedMediaType
from darkroom.wire.errors import invalid

T = TypeVar("T")

#: The contract's limit for a signed request's body (section 12.1).
BODY_LIMIT = 12 * 1024 * 1024
ID_LIMIT = 128
KEY_LIMIT = 255
WAIT_LIMIT = 60
#: Types of bodies that are read as JSON, and none (contract section 11, decision 29); others end in `+json`.
_MAY_BE_JSON = frozenset({"", "application/json", "text/json", "*/*"})
_SECONDS = re.compile(r"\d{1,9}", re.ASCII)


class QuickHeaders(Headers):
    """Headers that are found by their name at once; of several of one name, the first, as by the framework's."""

    def __init__(self, scope: Scope) -> None:
        self._list = scope["headers"]
        self._first = dict(reversed(self._list))

    def __getitem__(self, name: str) -> str:
        return self._first[_spelled(name)].decode("latin-1")

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and _spelled(name) in self._first

    def get(self, name: str, default: Any = None) -> Any:
        value = self._first.get(_spelled(name))
        return default if value is None else value.decode("latin-1")


@lru_cache(maxsize=64)  # the names are ours, and few
def _spelled(name: str) -> bytes:
    return name.lower().encode("latin-1")


class QuickRequest(Request):
    """A request whose headers are asked for more than once or twice."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        super().__init__(scope, receive, send)
        self._quick = QuickHeaders(scope)

    @property
    def headers(self) -> Headers:
        return self._quick


async def whole_body(request: Request) -> bytes:
    """Return the request's body. Raises TooLarge."""
    if "content-length" not in request.headers and "transfer-encoding" not in request.headers:
        return b""  # it has none (RFC 9112, section 6.3): nothing to wait for
    body, more = bytearray(), True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > BODY_LIMIT:
            raise TooLarge(f"The request body is larger than {BODY_LIMIT} bytes.")
    return bytes(body)


def decode(request: Request, body: bytes, into: type[T], in_words: Mapping[str, str]) -> T:
    """Return a JSON body as a struct. Raises UnsupportedMediaType or InvalidParameter."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in _MAY_BE_JSON and not media_type.endswith("+json"):
        raise UnsupportedMediaType(f"The request body must be application/json, not {media_type}.")
    try:
        decoded = msgspec.json.decode(body, type=into)
        if b"\\u0000" in body:
            _refuse_nul(msgspec.json.decode(body), "")
    except msgspec.ValidationError as error:
        raise invalid(error, in_words) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise InvalidParameter("", "The request body is not JSON.") from None
    return decoded


def _refuse_nul(value: Any, field: str) -> None:
    """Raise InvalidParameter for a text with a NUL character: no database and no guest takes it as it is."""
    if isinstance(value, str) and "\0" in value:
        raise InvalidParameter(field, "must not contain a NUL character")
    if isinstance(value, dict):
        for name, member in value.items():
            _refuse_nul(member, f"{field}.{name}".lstrip("."))
    if isinstance(value, list):
        for number, member in enumerate(value):
            _refuse_nul(member, f"{field}[{number}]")


def once_of(request: Request, body: bytes, *more: str) -> Once | None:
    """Return the name that the caller gave the request in `Idempotency-Key`, or in one of more headers, if any."""
    name = next((name for name in ("idempotency-key", *more) if request.headers.get(name)), None)
    if name is None:
        return None
    key = request.headers[name]
    if len(key) > KEY_LIMIT:
        raise InvalidParameter(name.title(), f"must not be longer than {KEY_LIMIT} characters")
    digest = sha256(f"{request.method} {request.url.path}\n".encode() + body).hexdigest()
    return Once(key=key, fingerprint=digest)


def wait_of(request: Request) -> int:
    """Return how many seconds, at most 60, the caller would have its answer held: `Prefer: wait=N` (RFC 7240)."""
    preferences = request.headers.get("prefer")
    if not preferences:
        return 0
    for preference in preferences.split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        if name.strip().lower() == "wait" and _SECONDS.fullmatch(value.strip().strip('"')):
            return min(int(value.strip().strip('"')), WAIT_LIMIT)
    return 0  # a preference that makes no sense is passed over, as the RFC has it


def base_url(request: Request) -> str:
    """Return where the client reaches this service, without a path."""
    return f"{request.url.scheme}://{request.url.netloc}"


def project_of(request: HTTPConnection) -> ProjectId:
    return ProjectId(path_id(request, "project_id"))


def path_id(request: HTTPConnection, name: str) -> str:
    """Return an id from the path. Raises InvalidParameter if it is longer than the contract allows."""
    value: str = request.path_params[name]
    if len(value) > ID_LIMIT:
        raise InvalidParameter(name, f"must not be longer than {ID_LIMIT} characters")
    return value
