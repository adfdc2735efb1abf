"""What is beside the contract: the events of an image server, and how housekeeping goes."""

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from darkroom.domain import chores as domain
from darkroom.domain.events import Event
from darkroom.wire.times import Timestamp, spell


class ServerEvent(msgspec.Struct, kw_only=True):
    """A change; `data` are its particulars."""

    time: Timestamp
    kind: str
    job_id: str | UnsetType = UNSET
    data: dict[str, Any]


class ServerEvents(msgspec.Struct):
    """A page of events; `count` is how many there are in all."""

    count: int
    items: list[ServerEvent]


class Problem(msgspec.Struct):
    resource_id: str
    problem: str


class Chore(msgspec.Struct):
    """How a chore went the last time; `failure` is empty if it came to its end."""

    name: str
    ran_at: Timestamp
    failure: str
    problems: list[Problem]


class Remains(msgspec.Struct):
    """What an ABNORMAL sub-job left behind. `failed` are the errors of its undos, by their step."""

    job_id: str
    sub_job_id: str
    job_type: str
    resource_id: str
    resource_name: str
    failed: dict[str, str]
    still_there: list[str]


class Housekeeping(msgspec.Struct):
    chores: list[Chore]
    remains: list[Remains]


def events(count: int, found: list[Event]) -> ServerEvents:
    return ServerEvents(
        count,
        [
            ServerEvent(time=spell(event.at), kind=event.kind, job_id=event.job_id or UNSET, data=event.data)
            for event in found
        ],
    )


def housekeeping(chores: list[domain.ChoreRecord], remains: list[domain.Remains]) -> Housekeeping:
    return Housekeeping(
        [_chore(each) for each in chores],
        [_remains(each) for each in remains],
    )


def _chore(found: domain.ChoreRecord) -> Chore:
    problems = [Problem(each.resource_id, each.problem) for each in found.problems]
    return Chore(found.name, spell(found.ran_at), found.failure, problems)


def _remains(found: domain.Remains) -> Remains:
    sub_job = found.sub_job
    return Remains(
        sub_job.job_id,
        sub_job.id,
        sub_job.job_type,
        sub_job.resource_id,
        sub_job.resource_name,
        found.failed,
        found.still_there,
    )
