"""ShowImageJob on SQLite, beside OpenStack Glance's read of an image with a Keystone token."""

from collections.abc import Iterator
from contextlib import ExitStack

from bench.load import load
from bench.measure import Comparison, Finding, Target, alternate, of
from bench.peers.openstack import glance
from bench.plan import Plan
from bench.services import on_sqlite, scratch, with_token

JOBS = 100_000


def findings(plan: Plan) -> Iterator[Finding]:
    with ExitStack() as stack:
        peer = stack.enter_context(glance(stack.enter_context(scratch())))
        service, jobs = stack.enter_context(on_sqlite(JOBS, keeps=False))
        reads = with_token(service, jobs)
        found = alternate(
            plan.rounds,
            {
                "ours": lambda: load(service.endpoint, reads, plan.seconds),
                "glance": lambda: load(peer.endpoint, [peer.read], plan.seconds),
            },
        )
    what = "ShowImageJob by token, SQLite, 100,000 jobs, each read"
    beside = "OpenStack Glance, GET /v2/images/{id} with a Keystone token"
    ours, theirs = of(found["ours"], "per_second"), of(found["glance"], "per_second")
    yield Comparison(what, beside, "requests/s", ours, theirs, Target("≥", 10))
