"""Chores: what housekeeping does again and again, and the problems that it found and could not mend."""

import msgspec

from darkroom.domain.ids import ProjectId
from darkroom.domain.jobs import SubJob


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Something that somebody should know of, about one resource of a project: an image server, an image, a job."""

    project_id: ProjectId
    resource_id: str
    problem: str


class ChoreRecord(msgspec.Struct, frozen=True, kw_only=True):
    """How a chore went the last time. Time in milliseconds; `failure` is empty if it came to its end."""

    name: str
    ran_at: int
    failure: str = ""
    problems: list[Problem] = []


class Remains(msgspec.Struct, frozen=True, kw_only=True):
    """What an ABNORMAL sub-job left behind: which undos failed and why, and what of it is still there."""

    sub_job: SubJob
    failed: dict[str, str]
    still_there: list[str]
