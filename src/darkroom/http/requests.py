"""Reading requests: bodies and queries, refused with the name of the field that is wrong."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

import msgspec
from starlette.requests import Request

from darkroom.domain.ids import ProjectId
from darkroom.errors import InvalidParameter, TooLarge, UnsupportedMediaType
from darkroom.wire.errors import invalid

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)

#: The contract's limit for a signed request's body (section 12.1).
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
BODY_LIMIT = 12 * 1024 * 1024
ID_LIMIT = 128
OFFSET_LIMIT = 2**31 - 1
_NUMBER = re.compile(r"\d{1,10}", re.ASCII)


async def whole_body(request: Request) -> bytes:
    """Return the request's body. Raises TooLarge."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_LIMIT:
            raise TooLarge(f"The request body is larger than {BODY_LIMIT} bytes.")
    return bytes(body)


def decode(request: Request, body: bytes, into: type[T], in_words: Mapping[str, str]) -> T:
    """Return a JSON body as a struct. Raises UnsupportedMediaType or InvalidParameter."""
    media_type = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        raise UnsupportedMediaType(f"The request body must be application/json, not {media_type}.")
    if _NUL.search(body):
        raise InvalidParameter("", "The request body must not contain a NUL character.")
    try:
        return msgspec.json.decode(body, type=into)
    except msgspec.ValidationError as error:
        raise invalid(error, in_words) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise InvalidParameter("", "The request body is not JSON.") from None


def base_url(request: Request) -> str:
    """Return where the client reaches this service, without a path."""
    return f"{request.url.scheme}://{request.url.netloc}"


def project_of(request: Request) -> ProjectId:
    return ProjectId(path_id(request, "project_id"))


def path_id(request: Request, name: str) -> str:
    """Return an id from the path. Raises InvalidParameter if it is longer than the contract allows."""
    value: str = request.path_params[name]
    if len(value) > ID_LIMIT:
        raise InvalidParameter(name, f"must not be longer than {ID_LIMIT} characters")
    return value


def page_of(request: Request) -> dict[str, int]:
    """Return `offset` and `limit` of the query (contract section 2.6)."""
    return {
        "offset": number(request, "offset", default=0, least=0, most=OFFSET_LIMIT),
        "limit": number(request, "limit", default=10, least=1, most=100),
    }


def number(request: Request, name: str, *, default: int, least: int, most: int) -> int:
    """Return a whole number of the query."""
    text = request.query_params.get(name)
    if text is None:
        return default
    if not _NUMBER.fullmatch(text) or not least <= int(text) <= most:
        raise InvalidParameter(name, f"must be a whole number between {least} and {most}")
    return int(text)


def text(request: Request, name: str, *, most: int) -> str:
    """Return a text of the query; empty if it is not there."""
    value = request.query_params.get(name, "")
    if len(value) > most:
        raise InvalidParameter(name, f"must not be longer than {most} characters")
    if "\0" in value:  # the database would take it for the end of the text
        raise InvalidParameter(name, "must not contain a NUL character")
    return value


def choice(request: Request, name: str, among: type[E], *, mandatory: bool = False) -> E | None:
    """Return a value of the query as one of an enumeration; None if it is empty or, unless mandatory, not there."""
    value = request.query_params.get(name)
    if value is None and mandatory:
        raise InvalidParameter(name, f"it is mandatory: one of {', '.join(among)}, or empty for all")
    if not value:
        return None
    try:
        return among(value)
    except ValueError:
        raise InvalidParameter(name, f"must be one of {', '.join(among)}") from None


def choices(request: Request, name: str, among: type[E]) -> frozenset[E]:
    """Return values of the query, divided by commas, as ones of an enumeration; none if it is empty or not there."""
    values = [value for value in text(request, name, most=ID_LIMIT).split(",") if value]
    try:
        return frozenset(among(value) for value in values)
    except ValueError:
        raise InvalidParameter(name, f"must be of {', '.join(among)}, divided by commas") from None
