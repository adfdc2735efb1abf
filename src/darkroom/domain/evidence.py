"""Evidence: what was seen of a machine when a step about it failed, before what the job had done was undone."""

from typing import Final

import msgspec

from darkroom.domain.ids import JobId, SubJobId

#: Bounds of what is kept of one failure: characters of a text, lines, bytes of the picture.
TEXT_LIMIT: Final = 20_000
LINE_LIMIT: Final = 500
CONSOLE_LINES: Final = 200
CAUSES: Final = 10
SCREEN_LIMIT: Final = 2 << 20


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """What a machine showed: its state, what its agent said, its console, its screen (PNG), as far as it could be had.

    `missing` says of what could not be had why, by the name of the field.
    """

    machine: dict[str, str] = {}
    guest: dict[str, str] = {}
    console: list[str] = []
    screen: bytes | None = None
    missing: dict[str, str] = {}


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Why a sub-job failed: the step, the error with its causes, and the sight of the machine. Time in milliseconds.

    `screen_size` is that of the picture in bytes, 0 if there is none.
    """

    job_id: JobId
    sub_job_id: SubJobId
    at: int
    step: str
    code: str
    message: str
    causes: list[str] = []
    machine: dict[str, str] = {}
    guest: dict[str, str] = {}
    console: list[str] = []
    missing: dict[str, str] = {}
    screen_size: int = 0


def bounded(text: str, limit: int) -> str:
    """Return a text of at most so many characters that every database takes; its end is what stays."""
    clean = text.replace("\0", "").encode(errors="replace").decode()
    return clean if len(clean) <= limit else f"…{clean[1 - limit :]}"
