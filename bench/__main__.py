"""`make bench`: measures what is asked for, all by default, and writes the report."""

import argparse
import signal
import sys
import time
import traceback
from importlib import import_module
from pathlib import Path

from bench import report
from bench.measure import Finding, Missing
from bench.plan import Plan

#: What can be measured, in the order of the report: each is a module with `findings`.
NAMES = ("show_job", "show_job_postgres", "openstack", "growth", "lists", "jobs", "watchers", "create", "capture")


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that all that was begun is ended
    wanted = _arguments()
    plan = Plan(rounds=wanted.rounds, seconds=wanted.seconds, full=wanted.full)
    found: dict[str, list[Finding]] = {}
    for name in wanted.names or NAMES:
        began = time.monotonic()
        found[name] = _measured(name, plan)
        report.show(found[name])
        print(f"  ({name}: {time.monotonic() - began:.0f} s)\n", flush=True)
    if wanted.report:
        report.write(wanted.report, plan, found, NAMES)
    return 0


def _measured(name: str, plan: Plan) -> list[Finding]:
    """Return what was found. What fails is a finding too: the others are measured all the same."""
    try:
        return list(import_module(f"bench.{name}").findings(plan))
    except Exception as error:
        traceback.print_exc()
        return [Missing(name, "", f"{type(error).__name__}: {error}")]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--rounds", type=int, default=3, help="alternating rounds (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=5, help="of load in a round (default: %(default)s)")
    parser.add_argument("--full", action="store_true", help="measure ten million jobs, too")
    parser.add_argument("--report", type=Path, metavar="FOLDER", help="write the report there")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
