"""ShowImageJob on PostgreSQL, beside the bare SELECT of the row and beside FastAPI with SQLAlchemy's ORM."""

import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from bench import peers
from bench.load import Request, load, warm
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
        urls = [server.url(server.create()) for _ in range(2)]
        service, jobs = stack.enter_context(on_postgres(urls[0], JOBS, folder / "keeping"))
        reading, same_jobs = stack.enter_context(on_postgres(urls[1], JOBS, folder / "reading", keeps=False))
        reads, each_read = with_token(service, jobs), with_token(reading, same_jobs)
        body, ids = folder / "body", folder / "ids"
        body.write_bytes(answer_to(service, reads[0]))
        ids.write_text("\n".join(map(str, jobs.sample(len(reads)))))
        log = folder / "log"
        bare = stack.enter_context(announced([sys.executable, "-m", "bench.peers.bare", body, urls[0], ids], log))
        secret = secrets.token_hex(32)
        fastapi = stack.enter_context(announced([peers.python("fastapi"), peers.FASTAPI, urls[0], secret], log))
        token = peers.signed_token({"project_id": jobs.project}, secret)
        same_reads = [Request(read.path, {"X-Auth-Token": token}) for read in reads]
        warm(service.endpoint, reads)
        found = alternate(
            plan.rounds,
            {
                "kept": lambda: load(service.endpoint, reads, plan.seconds),
                "reading": lambda: load(reading.endpoint, each_read, plan.seconds),
                "app": lambda: load(bare, reads, plan.seconds),
                "select": lambda: _select(urls[0], ids, plan.seconds),
                "fastapi": lambda: load(fastapi, same_reads, plan.seconds),
            },
        )
    what = "ShowImageJob by token, PostgreSQL, 100,000 jobs"
    sides = {
        "app": "bare ASGI app that does one prepared SELECT of the row",
        "select": "prepared SELECTs of the row by asyncpg, without HTTP",
        "fastapi": "FastAPI and SQLAlchemy's ORM doing the same",
    }
    for ours, told, side, target in (
        ("kept", f"{what}, asked again", "app", Target("≥", 0.7)),
        ("kept", f"{what}, asked again", "select", Target("≥", 0.7)),
        ("reading", f"{what}, each read", "app", None),
        ("reading", f"{what}, each read", "select", None),
        ("reading", f"{what}, each read", "fastapi", Target("≥", 4)),
    ):
        rates = (of(found[each], "per_second") for each in (ours, side))
        yield Comparison(told, sides[side], "requests/s", *rates, target)


def _select(url: str, ids: Path, seconds: float) -> Reading:
    command = [sys.executable, "-m", "bench.peers.prepared_select", url, str(ids), str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return {"per_second": float(done.stdout)}
