"""ShowImageJob on PostgreSQL, beside the bare SELECT of the row and beside FastAPI with SQLAlchemy's ORM."""

import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from bench import peers
from bench.load import Request, load
from bench.measure import Comparison, Finding, Reading, Target, alternate, of
from bench.plan import Plan
from bench.processes import ROOT, announced
from bench.services import answer_to, on_postgres, scratch, with_token
from postgres import running_server

JOBS = 100_000


def findings(plan: Plan) -> Iterator[Finding]:
    with ExitStack() as stack:
        folder = stack.enter_context(scratch())
        server = stack.enter_context(running_server())
        url = server.url(server.create())
        service, jobs = stack.enter_context(on_postgres(url, JOBS, folder))
        reads = with_token(service, jobs)
        body, ids = folder / "body", folder / "ids"
        body.write_bytes(answer_to(service, reads[0]))
        ids.write_text("\n".join(map(str, jobs.sample(len(reads)))))
        log = folder / "log"
        bare = stack.enter_context(announced([sys.executable, "-m", "bench.peers.bare", body, url, ids], log))
        secret = secrets.token_hex(32)
        fastapi = stack.enter_context(announced([peers.python("fastapi"), peers.FASTAPI, url, secret], log))
        token = peers.signed_token({"project_id": jobs.project}, secret)
        same_reads = [Request(read.path, {"X-Auth-Token": token}) for read in reads]
        found = alternate(
            plan.rounds,
            {
                "ours": lambda: load(service.endpoint, reads, plan.seconds),
                "app": lambda: load(bare, reads, plan.seconds),
                "select": lambda: _select(url, ids, plan.seconds),
                "fastapi": lambda: load(fastapi, same_reads, plan.seconds),
            },
        )
    what = "ShowImageJob by token, PostgreSQL, 100,000 jobs"
    for side, beside, bound in (
        ("app", "bare ASGI app that does one prepared SELECT of the row", 0.7),
        ("select", "prepared SELECTs of the row by asyncpg, without HTTP", 0.7),
        ("fastapi", "FastAPI and SQLAlchemy's ORM doing the same", 4),
    ):
        ours, theirs = of(found["ours"], "per_second"), of(found[side], "per_second")
        yield Comparison(what, beside, "requests/s", ours, theirs, Target("≥", bound))


def _select(url: str, ids: Path, seconds: float) -> Reading:
    command = [sys.executable, "-m", "bench.peers.prepared_select", url, str(ids), str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return {"per_second": float(done.stdout)}
