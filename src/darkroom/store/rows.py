"""Between rows and the nouns of the domain: column lists, JSON columns, ids as integers."""

import re
from typing import Any, ClassVar, Protocol

import msgspec

Row = tuple[Any, ...]


class Reader(Protocol):
    """Runs named SQL with `:name` parameters.

    `settled` is a further condition on events: that no transaction which may yet write one before it is under way.
    """

    settled: ClassVar[str]

    async def one(self, sql: str, **parameters: Any) -> Row | None: ...

    async def all(self, sql: str, **parameters: Any) -> list[Row]: ...

    async def survey(self, sql: str, **parameters: Any) -> list[Row]:
        """Do what `all` does, for queries that may look at very many rows."""


_CANONICAL = re.compile(r"[1-9][0-9]{0,18}\Z", re.ASCII)
_LARGEST = 2**63 - 1


def key_of(snowflake: str) -> int:
    """Return a snowflake as the integer it is stored as; -1, which no row has, for any other text."""
    if not _CANONICAL.match(snowflake):
        return -1
    number = int(snowflake)
    return number if number <= _LARGEST else -1


def to_json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def from_json(text: str) -> Any:
    return msgspec.json.decode(text)
