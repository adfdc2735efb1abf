"""Timestamps as the contract writes them (section 2.5), from and to milliseconds since the Unix epoch."""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated

from msgspec import Meta

#: A timestamp as `spell` writes it.
Timestamp = Annotated[
    str,
    Meta(
        pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{0,2}[1-9])?Z$",
        extra_json_schema={"format": "date-time"},
    ),
]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH = _EPOCH.replace(tzinfo=None)
#: Times that are kept spelled: jobs under way are asked for again and again, and begin when their sub-jobs do.
_KEPT = 4096
_SPELLED = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,3}))?Z", re.ASCII)


@lru_cache(maxsize=_KEPT)
def spell(ms: int) -> str:
    """Return a time as `2024-05-20T10:39:49.61Z`: milliseconds, with the zeros at the end of the fraction cut off."""
    # strftime would take ten times as long, and every answer has several times.
    text = (_NAIVE_EPOCH + timedelta(0, 0, 0, ms)).isoformat()
    return text.rstrip("0") + "Z" if ms % 1000 else text + "Z"


def parse(text: str) -> int:
    """Return the milliseconds of a time that `spell` wrote. Raises ValueError for anything else."""
    match = _SPELLED.fullmatch(text)
    if match is None:
        raise ValueError(f"not a timestamp of the contract: {text!r}")
    whole = datetime.fromisoformat(match[1]).replace(tzinfo=UTC)
    return (whole - _EPOCH) // timedelta(milliseconds=1) + int((match[2] or "0").ljust(3, "0"))


def spell_micros(ms: int) -> str:
    """Return a time as the identity service writes it: always six digits of a fraction (section 12.3)."""
    return f"{_instant(ms):%Y-%m-%dT%H:%M:%S.%f}Z"


def spell_seconds(ms: int) -> str:
    """Return a time as the image service writes it: whole seconds (section 8)."""
    return f"{_instant(ms):%Y-%m-%dT%H:%M:%S}Z"


def _instant(ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=ms)
