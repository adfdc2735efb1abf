"""Reading forms: every field is judged by its type, and what is wrong is told field by field."""

from collections.abc import Mapping
from typing import Any, Final, Generic, TypeVar
from urllib.parse import parse_qsl

import msgspec

from darkroom.errors import InvalidParameter, Refused, TooLarge

T = TypeVar("T", bound=msgspec.Struct)

#: How many fields a form may have.
MOST: Final = 300
#: What is wrong with a field, where its own hint says what would be right.
EMPTY, WRONG = "empty", "wrong"

Values = Mapping[str, list[str]]


def read(body: bytes) -> Values:
    """Return what a form holds, each field with all its values. Raises InvalidParameter or TooLarge."""
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=MOST)
    except UnicodeDecodeError:
        raise InvalidParameter("", "The request body is not a form.") from None
    except ValueError:
        raise TooLarge("The form has too many fields.") from None
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        if "\0" in value:
            raise InvalidParameter(name, "must not contain a NUL character")
        values.setdefault(name, []).append(value)
    return values


def first(values: Values, name: str) -> str:
    """Return a field's first value, or an empty text."""
    return values.get(name, [""])[0]


class Form(Generic[T]):
    """A form as it was sent: what it means, or what is wrong with it, and what to show in its fields again."""

    def __init__(self, into: type[T], values: Values) -> None:
        """`into` has a field for each of the form's, with a default for those that a browser may leave out.

        Texts are stripped; a list takes all values of its field.
        """
        self.values: dict[str, Any] = {}
        #: What is wrong, by field; of the whole form, by the empty name.
        self.errors: dict[str, str] = {}
        self.status = 400
        for field in msgspec.structs.fields(into):
            given = _given(field, values)
            try:
                self.values[field.name] = msgspec.convert(given, field.type, strict=False)
            except msgspec.ValidationError:
                self.values[field.name] = given
                self.errors[field.name] = WRONG if given else EMPTY
        self._into = into

    @property
    def wanted(self) -> T:
        """What the form asks for, if nothing is wrong with it."""
        return self._into(**self.values)

    def refuse(self, error: Refused, fields: Mapping[str, str] | None = None) -> None:
        """Put what a service says against the field that it means, or else against the whole form.

        `fields` are the form's by the service's.
        """
        named = error.field if isinstance(error, InvalidParameter) else ""
        self.errors[(fields or {}).get(named, "")] = error.message.removeprefix(f"{named}: ")
        self.status = error.status


def _given(field: msgspec.structs.FieldInfo, values: Values) -> Any:
    if field.default_factory is list:
        return values.get(field.name, [])
    if field.name not in values and field.default is not msgspec.NODEFAULT:
        return field.default
    return first(values, field.name).strip().replace("\r\n", "\n")
