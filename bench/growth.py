"""ShowImageJob as the records grow, beside itself with 10,000 jobs."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

from bench.load import Request, load, warm
from bench.measure import Comparison, Curve, Finding, Reading, Target, alternate, of
from bench.plan import Plan
from bench.services import on_sqlite, with_token

LEAST = 10_000
SIZES = (LEAST, 100_000, 1_000_000)
LARGEST = 10_000_000
TARGETS = {1_000_000: Target("≥", 0.9), LARGEST: Target("≥", 0.8)}


def findings(plan: Plan) -> Iterator[Finding]:
    sides: dict[str, Callable[[], Reading]] = {}
    with ExitStack() as stack:
        for size in (*SIZES, *((LARGEST,) if plan.full else ())):
            service, jobs = stack.enter_context(on_sqlite(size, keeps=False))
            reads = with_token(service, jobs)
            warm(service.endpoint, reads)  # what grows is to be measured, and not the disk
            sides[str(size)] = _reads(service.endpoint, reads, plan.seconds)
        found = {int(size): of(readings, "per_second") for size, readings in alternate(plan.rounds, sides).items()}
    for size, target in TARGETS.items():
        if size in found:
            what = f"ShowImageJob by token, SQLite, {size:,} jobs, each read"
            yield Comparison(what, f"itself with {LEAST:,} jobs", "requests/s", found[size], found[LEAST], target)
    yield Curve("growth", "ShowImageJob as the records grow", "jobs recorded", "requests/s", found)


def _reads(endpoint: str, reads: list[Request], seconds: float) -> Callable[[], Reading]:
    return lambda: load(endpoint, reads, seconds)
