"""Errors on the wire: the contract's envelopes (sections 2.7, 8, 9.1 and 9.3)."""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec

from darkroom.errors import (
    DarkroomError,
    InvalidParameter,
    TokenInvalid,
    Unauthenticated,
    UnknownPath,
    WrongPassword,
)

#: Longest `error_msg` by the contract, but for the gateway's, which echoes a canonical request.
MESSAGE_LIMIT = 255
#: Codes of the identity service's own paths, by status (section 9.3).
_NATIVE_CODES = {401: "IAM.0001", 403: "IAM.0002", 404: "IAM.0004", 409: "IAM.0005", 429: "IAM.0012"}
_INDEX = re.compile(r"\[\d+\]")
_AT = re.compile(r"^(?P<problem>.*?)(?: - at `(?:key in )?\$(?P<path>.*)`)?$", re.DOTALL)


def envelope_for(path: str, error: DarkroomError, request_id: str) -> dict[str, Any]:
    """Return the body of an error in the manner of the service that the path belongs to."""
    if path == "/v3" or path.startswith("/v3/"):
        return identity_envelope(error)
    if path.startswith("/v3.0/") and not isinstance(error, UnknownPath):
        return native_envelope(error)
    if path.startswith("/v2/") and not error.code.startswith("APIGW."):
        return image_envelope(error)
    return envelope(error, request_id)


def envelope(error: DarkroomError, request_id: str) -> dict[str, Any]:
    """Return the body of a service's or, for codes `APIGW.`, of the gateway's error."""
    if error.code.startswith("APIGW."):
        return gateway_envelope(error.code, error.message, request_id)
    return {"error_code": error.code, "error_msg": _short(error.message)}


def gateway_envelope(code: str, message: str, request_id: str) -> dict[str, Any]:
    """Return the body of an error of the gateway."""
    return {"error_msg": message, "error_code": code, "request_id": request_id}


def image_envelope(error: DarkroomError) -> dict[str, Any]:
    """Return the body of an error of the image service."""
    return {"error": {"code": f"IMG.{error.status:04}", "message": error.message}}


def identity_envelope(error: DarkroomError) -> dict[str, Any]:
    """Return the body of an error of the identity service, where its paths are Keystone's (section 9.3)."""
    title = HTTPStatus(error.status).phrase
    return {"error": {"code": error.status, "message": _identity_message(error), "title": title}}


def native_envelope(error: DarkroomError) -> dict[str, Any]:
    """Return the body of an error of the identity service, where its paths are the vendor's own (section 9.3)."""
    return {"error_msg": _short(_identity_message(error)), "error_code": _native_code(error)}


def _identity_message(error: DarkroomError) -> str:
    if not isinstance(error, Unauthenticated) or isinstance(error, WrongPassword):
        return error.message
    if isinstance(error, TokenInvalid):
        return f"The token is not valid: {error.reason}"
    if error.reason == Unauthenticated().reason:
        return "The request requires authentication."
    return f"The request is not authenticated: {error.reason}"


def _native_code(error: DarkroomError) -> str:
    if isinstance(error, TokenInvalid):
        return "IAM.0066" if "expires" in error.reason else "IAM.0067"
    if isinstance(error, InvalidParameter):
        if not error.field:
            return "IAM.0011"
        return "IAM.0072" if error.message.endswith("mandatory") else "IAM.0073"
    return _NATIVE_CODES.get(error.status, "IAM.0007" if error.status < 500 else "IAM.0006")


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
