"""ShowImageJob on SQLite, by token and by signature, beside a bare ASGI app that returns the same bytes."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

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
        loads = {
            "token": (service.endpoint, by_token),
            "bare by token": (bare, by_token),
            "signature": (service.endpoint, signed),
            "bare by signature": (bare, signed),  # more headers than with a token
            "reading": (reading.endpoint, by_token),
        }
        found = alternate(plan.rounds, {side: partial(load, *asked, plan.seconds) for side, asked in loads.items()})
    beside = "bare ASGI app on the same server, same requests, same bytes"
    rates = {side: of(readings, "per_second") for side, readings in found.items()}
    what = "ShowImageJob by {}, SQLite, 100,000 jobs"
    for side, other, told, target in (
        ("token", "bare by token", f"{what.format('token')}, asked again", Target("≥", 0.6)),
        ("signature", "bare by signature", f"{what.format('signature')}, asked again", Target("≥", 0.4)),
        ("reading", "bare by token", f"{what.format('token')}, each read", None),
    ):
        yield Comparison(told, beside, "requests/s", rates[side], rates[other], target)
    tails = (of(found[side], "p99") for side in ("token", "bare by token"))
    yield Comparison(f"{what.format('token')}, asked again: p99", beside, "ms", *tails, Target("≤", 2))
