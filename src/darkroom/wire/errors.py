"""Errors on the wire: the contract's envelopes (sections 2.7, 8, 9.1 and 9.3)."""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec

from darkroom.errors import DarkroomError, InvalidParameter

#: Longest `error_msg` by the contract, but for the gateway's, which echoes a canonical request.
MESSAGE_LIMIT = 255
_INDEX = re.compile(r"\[\d+\]")
_AT = re.compile(r"^(?P<problem>.*?)(?: - at `(?:key in )?\$(?P<path>.*)`)?$", re.DOTALL)


def envelope(error: DarkroomError, request_id: str) -> dict[str, Any]:
    """Return the body of a service's or, for codes `APIGW.`, of the gateway's error."""
    if error.code.startswith("APIGW."):
        return {"error_msg": error.message, "error_code": error.code, "request_id": request_id}
    return {"error_code": error.code, "error_msg": _short(error.message)}


def image_envelope(error: DarkroomError) -> dict[str, Any]:
    """Return the body of an error of the image service."""
    return {"error": {"code": f"IMG.{error.status:04}", "message": error.message}}


def identity_envelope(error: DarkroomError) -> dict[str, Any]:
    """Return the body of an error of the identity service."""
    title = HTTPStatus(error.status).phrase
    return {"error": {"code": error.status, "message": error.message, "title": title}}


def invalid(error: msgspec.ValidationError, in_words: Mapping[str, str]) -> InvalidParameter:
    """Return an error of validation as one that names the field; patterns are told in words."""
    match = _AT.match(str(error))
    assert match is not None
    field = (match["path"] or "").lstrip(".")
    problem = match["problem"]
    missing = re.match(r"Object missing required field `(.*)`", problem)
    if missing:
        return InvalidParameter(f"{field}.{missing[1]}".lstrip("."), "it is mandatory")
    words = in_words.get(_INDEX.sub("[...]", field))
    if words and ("regex" in problem or "length" in problem):
        return InvalidParameter(field, f"must be {words}")
    return InvalidParameter(field, problem[:1].lower() + problem[1:])


def _short(message: str) -> str:
    return message if len(message) <= MESSAGE_LIMIT else message[: MESSAGE_LIMIT - 1] + "…"
