"""Parameters of queries: each reads itself from a request, and describes itself for the OpenAPI document."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeVar

from starlette.requests import Request

from darkroom.errors import InvalidParameter

E = TypeVar("E", bound=StrEnum)

ID_LIMIT = 128
_NUMBER = re.compile(r"\d{1,10}", re.ASCII)


class Parameter(Protocol):
    """What every parameter is: a name that it has on the wire, and a description."""

    @property
    def name(self) -> str: ...

    def described(self) -> dict[str, Any]:
        """Return the parameter as OpenAPI describes it."""


@dataclass(frozen=True)
class Number:
    """A whole number."""

    name: str
    default: int
    least: int
    most: int
    meaning: str = ""

    def read(self, request: Request) -> int:
        """Return its value, or the default. Raises InvalidParameter."""
        text = request.query_params.get(self.name)
        if text is None:
            return self.default
        if not _NUMBER.fullmatch(text) or not self.least <= int(text) <= self.most:
            raise InvalidParameter(self.name, f"must be a whole number between {self.least} and {self.most}")
        return int(text)

    def described(self) -> dict[str, Any]:
        schema = {"type": "integer", "minimum": self.least, "maximum": self.most, "default": self.default}
        return _described(self.name, schema, self.meaning)


@dataclass(frozen=True)
class NumberHeader:
    """A whole number in a header."""

    name: str
    least: int
    most: int
    meaning: str = ""

    def read(self, request: Request) -> int | None:
        """Return its value, None if it is not there. Raises InvalidParameter."""
        text = request.headers.get(self.name)
        if text is None:
            return None
        if not _NUMBER.fullmatch(text) or not self.least <= int(text) <= self.most:
            raise InvalidParameter(self.name, f"must be a whole number between {self.least} and {self.most}")
        return int(text)

    def described(self) -> dict[str, Any]:
        schema = {"type": "integer", "minimum": self.least, "maximum": self.most}
        return {**_described(self.name, schema, self.meaning), "in": "header"}


@dataclass(frozen=True)
class Text:
    """Any text up to a length."""

    name: str
    most: int
    meaning: str = ""

    def read(self, request: Request) -> str:
        """Return its value, empty if it is not there. Raises InvalidParameter."""
        value = request.query_params.get(self.name, "")
        if len(value) > self.most:
            raise InvalidParameter(self.name, f"must not be longer than {self.most} characters")
        if "\0" in value:  # the database would take it for the end of the text
            raise InvalidParameter(self.name, "must not contain a NUL character")
        return value

    def described(self) -> dict[str, Any]:
        return _described(self.name, {"type": "string", "maxLength": self.most}, self.meaning)


@dataclass(frozen=True)
class Flag:
    """Yes or no; without it, either."""

    name: str
    meaning: str = ""

    def read(self, request: Request) -> bool | None:
        """Return its value; None if it is empty or not there. Raises InvalidParameter."""
        value = request.query_params.get(self.name, "").lower()
        if value not in ("", "true", "false"):
            raise InvalidParameter(self.name, "must be true or false")
        return value == "true" if value else None

    def described(self) -> dict[str, Any]:
        return _described(self.name, {"type": "boolean"}, self.meaning)


@dataclass(frozen=True)
class Choice(Generic[E]):
    """One of an enumeration; an empty value chooses all."""

    name: str
    among: type[E]
    mandatory: bool = False
    meaning: str = ""

    def read(self, request: Request) -> E | None:
        """Return its value; None if it is empty or, unless mandatory, not there. Raises InvalidParameter."""
        value = request.query_params.get(self.name)
        if value is None and self.mandatory:
            raise InvalidParameter(self.name, f"it is mandatory: one of {', '.join(self.among)}, or empty for all")
        if not value:
            return None
        try:
            return self.among(value)
        except ValueError:
            raise InvalidParameter(self.name, f"must be one of {', '.join(self.among)}") from None

    def described(self) -> dict[str, Any]:
        schema = {"type": "string", "pattern": f"^({'|'.join(self.among)})?$"}
        return _described(self.name, schema, self.meaning, required=self.mandatory)


@dataclass(frozen=True)
class Choices(Generic[E]):
    """Some of an enumeration, divided by commas."""

    name: str
    among: type[E]
    meaning: str = ""

    def read(self, request: Request) -> frozenset[E]:
        """Return its values; none if it is empty or not there. Raises InvalidParameter."""
        text = Text(self.name, ID_LIMIT).read(request)
        try:
            return frozenset(self.among(value) for value in text.split(",") if value)
        except ValueError:
            raise InvalidParameter(self.name, f"must be of {', '.join(self.among)}, divided by commas") from None

    def described(self) -> dict[str, Any]:
        return _described(self.name, {"type": "string", "maxLength": ID_LIMIT}, self.meaning)


OFFSET = Number("offset", default=0, least=0, most=2**31 - 1, meaning="How many records to pass over.")
LIMIT = Number("limit", default=10, least=1, most=100, meaning="How many records to return at most.")
PAGE = (OFFSET, LIMIT)


def page_of(request: Request) -> dict[str, int]:
    """Return `offset` and `limit` of a list (contract section 2.6)."""
    return {parameter.name: parameter.read(request) for parameter in PAGE}


def _described(name: str, schema: dict[str, Any], meaning: str, *, required: bool = False) -> dict[str, Any]:
    described: dict[str, Any] = {"name": name, "in": "query", "required": required, "schema": schema}
    if required:
        described["allowEmptyValue"] = True
    if meaning:
        described["description"] = meaning
    return described
