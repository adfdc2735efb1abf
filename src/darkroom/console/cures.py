"""What can be done about a job's error, by its code."""

from collections.abc import Iterator
from functools import cache

from darkroom.errors import DarkroomError, JobFault


def cure_of(code: str) -> str:
    """Return what whoever meets the error can do, in English; empty for a code that is not known."""
    return _cures().get(code, "")


def every_cure() -> Iterator[str]:
    """Yield the cures of all errors."""
    yield from (error.cure for error in _tree(DarkroomError))


@cache
def _cures() -> dict[str, str]:
    return {error.code: error.cure for error in _tree(JobFault)}


def _tree(root: type[DarkroomError]) -> Iterator[type[DarkroomError]]:
    yield root
    for child in root.__subclasses__():
        yield from _tree(child)
