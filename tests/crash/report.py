"""The report: one row for each workflow, database and blow, as a table for the terminal and a page of the docs."""

import platform
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from darkroom import __version__

from .matrix import Outcome

_PAGE = """\
# Crash matrix

Written by `make crash`; do not edit. What it does is told in [Durability](../explanation/durability.md).

The service runs over the simulated driver. Every effect is a point at which it is struck: each call of the driver, each
file on its way to its name (begun, half written, whole, named), each transaction of the records and each checkpoint of
DBOS Transact, before and after. Then it is started again, and all that is there in the end is held against a run that
nothing disturbed: jobs, sub-jobs, servers, images, events, machines, files and the checkpoints themselves.

{when}. {versions}.{sampled}

{table}

*Points*: different places at which the service was struck. *Ended*: how often that ended the process; a database that
is gone or a clock that jumps need not. *Right*: cases in which the world was as it must be.
{soaks}"""


@dataclass
class Row:
    """What one kind of blow did to the jobs of one workflow on one database."""

    workflow: str
    database: str
    what: str
    cases: int = 0
    ends: int = 0
    right: int = 0
    points: set[str] = field(default_factory=set)

    def count(self, outcome: Outcome) -> None:
        self.cases += 1
        self.ends += outcome.ends
        self.right += not outcome.wrong
        self.points |= outcome.points

    @property
    def cells(self) -> list[str]:
        numbers = (self.cases, len(self.points), self.ends, self.right)
        return [self.workflow, self.database, self.what, *map(str, numbers)]


_MARKS = ("<!-- crash matrix: written by `make crash` -->\n", "<!-- end of the crash matrix -->\n")
_HEAD = ["Workflow", "Database", "What befalls it", "Cases", "Points", "Ended", "Right"]


def table(rows: Iterable[Row]) -> str:
    """Return the rows as a table in Markdown, which reads well on a terminal too."""
    return _drawn([_HEAD, *(row.cells for row in rows)], numbers_from=3)


def _drawn(cells: Sequence[Sequence[str]], numbers_from: int) -> str:
    """Return lines of cells as a table, the first line as its head."""
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    lines = [_line(line, widths, numbers_from) for line in cells]
    ends = [":" if column >= numbers_from else "-" for column in range(len(widths))]
    rule = "|" + "|".join("-" * (width + 1) + end for width, end in zip(widths, ends, strict=True)) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def _line(cells: Sequence[str], widths: Sequence[int], numbers_from: int) -> str:
    padded = (
        cell.rjust(width) if column >= numbers_from else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "| " + " | ".join(padded) + " |"


def write_summary(readme: Path, rows: Sequence[Row], soaks: Sequence[str]) -> None:
    """Write what all workflows came to, one line for each blow, between its two marks in the README."""
    databases = ("sqlite", "postgresql")
    found: dict[str, dict[str, list[Row]]] = {}
    for row in rows:
        found.setdefault(row.what, {}).setdefault(row.database, []).append(row)
    cells = [[what, *(_share(by_database.get(each, [])) for each in databases)] for what, by_database in found.items()]
    drawn = _drawn([["What befalls the service", "SQLite", "PostgreSQL"], *cells], numbers_from=1)
    told = "".join(f"\n{line}\n" for line in soaks)
    before, after = readme.read_text().split(_MARKS[0])[0], readme.read_text().split(_MARKS[1])[1]
    readme.write_text(f"{before}{_MARKS[0]}{drawn}\n{told}{_MARKS[1]}{after}")


def _share(rows: Sequence[Row]) -> str:
    """Return how many cases came out right, of how many."""
    return f"{sum(row.right for row in rows)} of {sum(row.cases for row in rows)}" if rows else ""


def write_page(path: Path, rows: Sequence[Row], soaks: Sequence[str], *, postgres: str, every: int) -> None:
    """Write the page of the reference."""
    when = datetime.now(UTC).date().isoformat()
    versions = [f"Darkroom {__version__}", f"DBOS Transact {version('dbos')}", f"Python {platform.python_version()}",
                f"SQLite {sqlite3.sqlite_version}"]  # fmt: skip
    if postgres:
        versions.append(f"PostgreSQL {postgres}")
    sampled = f" A sample: one point in {every}." if every > 1 else ""
    told = "".join(f"\n{line}\n" for line in soaks)
    text = _PAGE.format(when=when, versions=", ".join(versions), sampled=sampled, table=table(rows), soaks=told)
    path.write_text(text)
