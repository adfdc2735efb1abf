"""ShowImageJob on SQLite, by token and by signature, beside a bare ASGI app that returns the same bytes."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack

from bench.load import load
from bench.measure import Comparison, Finding, Target, alternate, of
from bench.plan import Plan
from bench.processes import announced
from bench.services import answer_to, on_sqlite, scratch, with_signature, with_token

JOBS = 100_000


def findings(plan: Plan) -> Iterator[Finding]:
    with ExitStack() as stack:
        folder = stack.enter_context(scratch())
        service, jobs = stack.enter_context(on_sqlite(JOBS))
        by_token, signed = with_token(service, jobs), with_signature(service, jobs)
        body = folder / "body"
        body.write_bytes(answer_to(service, by_token[0]))
        bare = stack.enter_context(announced([sys.executable, "-m", "bench.peers.bare", body], folder / "log"))
        sides = {
            "token": lambda: load(service.endpoint, by_token, plan.seconds),
            "bare": lambda: load(bare, by_token, plan.seconds),
            "signature": lambda: load(service.endpoint, signed, plan.seconds),
        }
        found = alternate(plan.rounds, sides)
    beside = "bare ASGI app on the same server, same bytes"
    for how, bound in (("token", 0.6), ("signature", 0.4)):
        what = f"ShowImageJob by {how}, SQLite, 100,000 jobs"
        ours, theirs = found[how], found["bare"]
        yield Comparison(
            what, beside, "requests/s", of(ours, "per_second"), of(theirs, "per_second"), Target("≥", bound)
        )
        if how == "token":
            yield Comparison(f"{what}: p99", beside, "ms", of(ours, "p99"), of(theirs, "p99"), Target("≤", 2))
