"""`make crash`: all cases on both databases and on real guests, the handovers, the soak; prints and keeps the table."""

import argparse
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from postgres import running_server

from . import guests
from .handover import play
from .matrix import Matrix, Outcome
from .plan import batches, handovers
from .report import Row, table, write_page, write_summary
from .scenarios import SCENARIOS
from .soak import soak

_ROOT = Path(__file__).parents[2]
PAGE = _ROOT / "docs" / "reference" / "crash-matrix.md"
README = _ROOT / "README.md"
#: What befalls real guests.
GUESTS = "killed in every step; QEMU killed under a step"


class Run:
    """Counts outcomes into rows, and tells of each that is wrong as soon as it is known."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str, str], Row] = {}
        self.soaks: list[str] = []
        self.wrong = 0

    def count(self, workflow: str, database: str, what: str, outcomes: Iterable[Outcome]) -> None:
        row = self.rows.setdefault((workflow, database, what), Row(workflow, database, what))
        for outcome in outcomes:
            row.count(outcome)
            if outcome.wrong:
                self.wrong += 1
                print(f"WRONG: {outcome.case}", *outcome.wrong, sep="\n    ", flush=True)
        print(f"{workflow}, {database}, {what}: {row.right} of {row.cases} right", file=sys.stderr, flush=True)

    def soak(self, matrix: Matrix, jobs: int, every: float) -> None:
        soaked = soak(matrix, jobs, every=every)
        self.wrong += bool(soaked.wrong)
        print(*soaked.wrong, sep="\n    ", flush=True)
        ended = "not all right" if soaked.wrong else "and every one ended right"
        self.soaks.append(
            f"Soak on PostgreSQL: {soaked.jobs} mixed jobs on two workers, of which {soaked.kills} were killed and"
            f" started again on the way, {ended}."
        )


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that all that was begun is ended
    wanted = _arguments()
    run = Run()
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="darkroom-crash-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        server = stack.enter_context(running_server()) if "postgresql" in wanted.database else None
        for database in wanted.database:
            matrix = Matrix(folder, server if database == "postgresql" else None)
            for batch in batches(matrix, every=wanted.every, only=wanted.only):
                run.count(batch.workflow, database, batch.what, matrix.play(batch.cases))
            if wanted.guests:
                run.count("all, on real guests", database, GUESTS, guests.played(folder, database))
        if server:
            matrix = Matrix(folder, server)
            for handover in handovers(matrix, every=wanted.every, only=wanted.only):
                what = f"one of two workers {handover.what}"
                run.count(SCENARIOS[handover.scenario].workflow, "postgresql", what, [play(matrix, handover)])
            if wanted.soak:
                run.soak(matrix, wanted.soak, wanted.kill_every)
        rows = sorted(run.rows.values(), key=lambda row: (row.workflow, row.database != "sqlite"))
        print(table(rows), *run.soaks, sep="\n")
        if wanted.page:
            write_page(wanted.page, rows, run.soaks, postgres=server.version if server else "", every=wanted.every)
        if wanted.page == PAGE and wanted.is_whole:
            write_summary(README, rows, run.soaks)
    print(f"{run.wrong} wrong" if run.wrong else "All ended right.")
    return 1 if run.wrong else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="crash", description=__doc__)
    parser.add_argument("--database", nargs="+", choices=["sqlite", "postgresql"], default=["sqlite", "postgresql"])
    parser.add_argument("--every", type=int, default=1, help="play one point in so many")
    parser.add_argument("--only", default="", help="scenarios that have this in their name")
    parser.add_argument(
        "--soak", type=int, default=int(os.environ.get("SOAK", "500")), help="jobs of the soak; 0: none"
    )
    parser.add_argument("--kill-every", type=float, default=3.0, help="seconds between two kills of the soak, about")
    parser.add_argument("--no-guests", dest="guests", action="store_false", help="nothing on real guests")
    parser.add_argument("--page", type=Path, default=PAGE, help="page to write")
    parser.add_argument("--no-page", dest="page", action="store_const", const=None, help="write no page")
    wanted = parser.parse_args()
    wanted.is_whole = (
        wanted.every == 1 and not wanted.only and wanted.guests and wanted.soak and len(wanted.database) == 2
    )
    return wanted


if __name__ == "__main__":
    sys.exit(main())
