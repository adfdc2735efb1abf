"""ShowImageJob on SQLite, by token and by signature, beside a bare ASGI app that returns the same bytes."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack

from bench.load import load, warm
from bench.measure import Comparison, Finding, Target, alternate, of
from bench.plan import Plan
from bench.processes import announced
from bench.services import answer_to, on_sqlite, scratch, with_signature, with_token

JOBS = 100_000


def findings(plan: Plan) -> Iterator[Finding]:
    with ExitStack() as stack:
        folder = stack.enter_context(scratch())
        reading, _ = stack.enter_context(on_sqlite(JOBS, copy=folder / "copy", keeps=False))
        service, jobs = stack.enter_context(on_sqlite(JOBS))
        by_token, signed = with_token(service, jobs), with_signature(service, jobs)
        body = folder / "body"
        body.write_bytes(answer_to(service, by_token[0]))
        bare = stack.enter_context(announced([sys.executable, "-m", "bench.peers.bare", body], folder / "log"))
        warm(service.endpoint, by_token)
        sides = {
            "token": lambda: load(service.endpoint, by_token, plan.seconds),
            "bare": lambda: load(bare, by_token, plan.seconds),
            "signature": lambda: load(service.endpoint, signed, plan.seconds),
            "reading": lambda: load(reading.endpoint, by_token, plan.seconds),
        }
        found = alternate(plan.rounds, sides)
    beside = "bare ASGI app on the same server, same bytes"
    rates = {side: of(readings, "per_second") for side, readings in found.items()}
    what = "ShowImageJob by {}, SQLite, 100,000 jobs"
    for side, told, target in (
        ("token", f"{what.format('token')}, asked again", Target("≥", 0.6)),
        ("signature", f"{what.format('signature')}, asked again", Target("≥", 0.4)),
        ("reading", f"{what.format('token')}, each read", None),
    ):
        yield Comparison(told, beside, "requests/s", rates[side], rates["bare"], target)
    tails = (of(found[side], "p99") for side in ("token", "bare"))
    yield Comparison(f"{what.format('token')}, asked again: p99", beside, "ms", *tails, Target("≤", 2))
