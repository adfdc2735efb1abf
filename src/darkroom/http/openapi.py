"""The OpenAPI document, made of the routes and of the types they read and write."""

import re
from collections.abc import Iterable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from darkroom import __version__
from darkroom.http.answers import JSON
from darkroom.http.operations import Operation

_PATH_NAME = re.compile(r"{(\w+)}")
_REF = "#/components/schemas/{name}"
#: What may go wrong anywhere, by status.
_ERRORS = {
    400: "Malformed or rule-breaking request",
    401: "Sign-in failed",
    403: "No permission",
    404: "No such resource",
    405: "The path exists, the method does not",
    409: "Conflicts with a resource, or its state",
    413: "The body is too large",
    415: "The body is not JSON",
    429: "Too many requests",
    500: "Internal fault",
    503: "Service unavailable",
}
#: Where errors have a body of their own (contract sections 8 and 9.3): the beginnings of paths, and names for them.
_KEYSTONE, _KEYSTONE_ERROR = "/v3/", "Identity"
_IMAGES, _IMAGE_ERROR = "/v2/", "Image"


class IdentityProblem(msgspec.Struct):
    code: int
    message: str
    title: str


class IdentityError(msgspec.Struct):
    """An error of the identity service. `code` is the status."""

    error: IdentityProblem


class ImageProblem(msgspec.Struct):
    code: str
    message: str


class ImageError(msgspec.Struct):
    """An error of the image service."""

    error: ImageProblem


class Error(msgspec.Struct):
    """An error. `request_id` is there if it was found before the service itself was asked."""

    error_code: str
    error_msg: str
    request_id: str = ""


def routes(described: Iterable[BaseRoute]) -> list[BaseRoute]:
    """Return the route of the document that describes these routes."""
    body = msgspec.json.encode(document(described))

    async def show_document(_request: Request) -> Response:
        return Response(body, media_type=JSON.media_type)

    return [Route("/openapi.json", show_document, methods=["GET"])]


def document(described: Iterable[BaseRoute]) -> dict[str, Any]:
    """Return the document that describes these routes, as plain data."""
    operations = [route for route in described if isinstance(route, Operation)]
    kinds = [kind for each in operations for kind in (each.description.body, each.description.answer)]
    types = [kind for kind in dict.fromkeys(kinds) if kind not in (None, bytes)]
    kinds_of_error = {"": Error, _KEYSTONE_ERROR: IdentityError, _IMAGE_ERROR: ImageError}
    types += kinds_of_error.values()
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    schema_of = dict(zip(types, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        methods = paths.setdefault(operation.path, {"parameters": _path_parameters(operation.path)})
        methods[operation.method.lower()] = _operation(operation, schema_of)
    made: dict[str, Any] = _with_readable_patterns(
        {
            "openapi": "3.1.0",
            "info": {"title": "Darkroom", "version": __version__, "license": {"name": "Apache-2.0"}},
            "security": [{"token": []}, {"aksk": []}],
            "paths": paths,
            "components": {
                "schemas": components,
                "responses": {
                    f"{kind}{status}": {"description": meaning, "content": _json(schema_of[body])}
                    for kind, body in kinds_of_error.items()
                    for status, meaning in _ERRORS.items()
                },
                "securitySchemes": {
                    "token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"},
                    "aksk": {"type": "apiKey", "in": "header", "name": "Authorization"},
                },
            },
        }
    )
    return made


def _with_readable_patterns(node: Any) -> Any:
    """Return schemas with the end of their patterns written as JSON Schema has it: only Python tells it from `$`."""
    if isinstance(node, dict):
        return {
            key: value.replace(r"\Z", "$") if key == "pattern" else _with_readable_patterns(value)
            for key, value in node.items()
        }
    return [_with_readable_patterns(each) for each in node] if isinstance(node, list) else node


def _path_parameters(path: str) -> list[dict[str, Any]]:
    schema = {"type": "string", "minLength": 1, "maxLength": 128}
    return [{"name": name, "in": "path", "required": True, "schema": schema} for name in _PATH_NAME.findall(path)]


def _operation(described: Operation, schema_of: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    description = described.description
    answer: dict[str, Any] = {"description": description.summary}
    if description.answer is not None:
        answer["content"] = _content(description.answer, description.media_type, schema_of)
    errors = {
        str(status): {"$ref": f"#/components/responses/{_error_kind(described.path, status)}{status}"}
        for status in _ERRORS
    }
    operation: dict[str, Any] = {
        "operationId": description.operation_id,
        "summary": description.summary,
        "parameters": [parameter.described() for parameter in description.parameters],
        "responses": {str(description.status): answer, **errors},
    }
    if description.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": _content(description.body, description.media_type, schema_of),
        }
    if not description.signed_in:
        operation["security"] = [{}]
    return operation


def _error_kind(path: str, status: int) -> str:
    if path.startswith(_KEYSTONE):
        return _KEYSTONE_ERROR
    # That sign-in failed is said by the gateway, before the image service is asked.
    return _IMAGE_ERROR if path.startswith(_IMAGES) and status != 401 else ""


def _content(kind: Any, media_type: str, schema_of: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    if kind is bytes:
        return {media_type: {"schema": {"type": "string", "format": "binary"}}}
    return _json(schema_of[kind])


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
