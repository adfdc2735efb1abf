"""What the doctor finds in a service that runs: how housekeeping goes, and what needs somebody's attention."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Any

import msgspec

from darkroom.cli import output, remains
from darkroom.cli.client import Api
from darkroom.cli.failures import Failure


class Mark(StrEnum):
    GOOD = "✓"
    MIND = "!"  #: it works, but not as well or not all of it
    BAD = "✗"  #: the service cannot do its work


class Finding(msgspec.Struct, frozen=True):
    """What one check found; `advice` says what to do about it."""

    mark: Mark
    subject: str
    finding: str
    advice: str = ""


def findings(api: Api) -> Iterator[Finding]:
    """Yield what a service tells of its upkeep; nothing where it tells nothing."""
    try:
        told = api.get("/v1/{project}/housekeeping")
    except Failure:
        return  # an older service, or one that does not tell this user
    yield from map(_chore, told["chores"])
    for chore in told["chores"]:
        for problem in chore["problems"]:
            yield Finding(Mark.MIND, chore["name"], f"{problem['resource_id']}: {problem['problem']}")
    for left in told["remains"]:
        yield Finding(Mark.MIND, "left behind", remains.told(left), f"darkroom jobs clean {left['job_id']}")


def _chore(chore: dict[str, Any]) -> Finding:
    finding = f"last looked after at {output.time(chore['ran_at'])}"
    if chore["failure"]:
        return Finding(Mark.MIND, chore["name"], f"{finding}, but: {chore['failure']}", "The service's log tells more.")
    return Finding(Mark.GOOD, chore["name"], finding)
