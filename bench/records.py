"""Records in bulk: finished jobs of one project, with their sub-jobs, spread over the last 300 days.

Events are left out: no read that is measured here looks at them.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from darkroom.domain.ids import first_minted_at
from darkroom.domain.times import now_ms

_DAY = 86_400_000
_ORDER = (
    '{"server_id":"","image_id":"1f0e6a52-6b9b-4d0c-9f0c-2a4b0f4a7e11","name":"golden","description":"",'
    '"execute_sysprep":true,"status_before":"ACTIVE"}'
)
_TYPE = (
    "CASE i % 5 WHEN 0 THEN 'DELETE_SERVER' WHEN 1 THEN 'CREATE_SERVER' WHEN 2 THEN 'CREATE_SERVER'"
    " ELSE 'CREATE_SERVER_IMAGE' END"
)
_STATUS = "CASE i % 31 WHEN 0 THEN 'FAILED' ELSE 'SUCCESS' END"
_CODE = "CASE i % 31 WHEN 0 THEN 'Darkroom.0201' ELSE '' END"
_MESSAGE = "CASE i % 31 WHEN 0 THEN 'flatten: The disk could not be copied: no space left.' ELSE '' END"
_BATCH = 500_000


@dataclass(frozen=True)
class Jobs:
    """So many jobs of a project: `first` is the id of the oldest, and each next one is `step` greater."""

    project: str
    number: int
    first: int
    step: int

    def sample(self, size: int) -> list[int]:
        """Return the ids of some jobs at random, always the same."""
        draw = random.Random(self.number)
        return [self.first + draw.randrange(self.number) * self.step for _ in range(size)]


def planned(project: str, number: int) -> Jobs:
    begun = now_ms() - 300 * _DAY
    first, last = first_minted_at(begun), first_minted_at(now_ms() - _DAY)
    return Jobs(project, number, first, (last - first) // number)


def insert(jobs: Jobs, run: Callable[[str], object]) -> None:
    """Insert all of them by SQL that both databases understand; `run` runs one statement and commits it."""
    for low in range(0, jobs.number, _BATCH):
        for statement in _statements(jobs, low, min(low + _BATCH, jobs.number)):
            run(statement)


def _statements(jobs: Jobs, low: int, high: int) -> tuple[str, str]:
    begun, gap = now_ms() - 300 * _DAY, 299 * _DAY // jobs.number
    numbers = f"WITH RECURSIVE n(i) AS (SELECT {low} UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {high})"
    key, at = f"{jobs.first} + i * {jobs.step}", f"{begun} + i * CAST({gap} AS BIGINT)"
    return (
        'INSERT INTO jobs (id, project_id, job_type, status, begin_time, end_time, sub_jobs_total, "order")'
        f" {numbers} SELECT {key}, '{jobs.project}', {_TYPE}, {_STATUS}, {at}, {at} + 23456, 1, '{_ORDER}' FROM n",
        "INSERT INTO sub_jobs (id, job_id, project_id, job_type, status, resource_id, resource_name, begin_time,"
        f" end_time, error_code, error_message) {numbers}"
        f" SELECT {key} + 1, {key}, '{jobs.project}', {_TYPE}, {_STATUS},"
        f" '3837213294439' || (10000 + i % 90000), 'golden-' || i, {at}, {at} + 23400, {_CODE}, {_MESSAGE} FROM n",
    )
