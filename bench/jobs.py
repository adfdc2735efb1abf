"""Jobs of no work, on the simulated driver without delays, beside the bare engine running as many empty steps."""

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
from dbos import DBOSClient

from bench.measure import Comparison, Figure, Finding, Reading, Target, alternate, of
from bench.peers.engine import QUEUE, STEPS, VERSION, WORKFLOW
from bench.plan import Plan
from bench.processes import announced
from bench.services import QUIET, running, scratch
from contract.service_process import INSTANT, Service
from postgres import DURABLE, running_server

#: Seconds between two looks whether a job has ended.
LOOK = 0.005
#: Jobs that one worker runs at a time.
WORKERS = 8
SETTINGS = {**QUIET, "DARKROOM_POLL_INTERVAL": "0.1"}


def findings(plan: Plan) -> Iterator[Finding]:
    yield from _latency(plan)
    yield from _throughput(plan)


def _latency(plan: Plan) -> Iterator[Finding]:
    """Measure one job after the other on SQLite, from the request to the client's seeing its end."""
    with ExitStack() as stack:
        folder = stack.enter_context(scratch())
        service = stack.enter_context(running(Service(folder / "data", settings=SETTINGS)))
        image = service.add_image()
        url = f"sqlite:///{folder / 'bare.db'}"
        stack.enter_context(announced([sys.executable, "-m", "bench.peers.engine", url, str(WORKERS)], folder / "log"))
        with _client(url) as client:
            found = alternate(
                plan.rounds,
                {
                    "ours": lambda: _percentiles(lambda: _one_job(service, image), plan.seconds * 2),
                    "bare": lambda: _percentiles(lambda: _one_workflow(client), plan.seconds * 2),
                },
            )
    what = "One job of no work, POST to SUCCESS, SQLite"
    ours, theirs = of(found["ours"], "p50"), of(found["bare"], "p50")
    yield Comparison(f"{what}: p50", f"bare engine, {STEPS} empty steps", "ms", ours, theirs, Target("≤", 1.5))
    yield Figure(f"{what}: p50", "ms", ours, at_most=150)


def _percentiles(once: Callable[[], None], seconds: float) -> Reading:
    times, deadline = [], time.monotonic() + seconds
    while time.monotonic() < deadline:
        began = time.monotonic()
        once()
        times.append((time.monotonic() - began) * 1e3)
        time.sleep(secrets.randbelow(100) / 1000)  # so that no job comes in step with the engine's looks
    times.sort()
    return {"p50": times[len(times) // 2], "most": times[-1]}


def _one_job(service: Service, image: str) -> None:
    job = service.create(image, "bench")
    while (status := service.job(job)["status"]) == "RUNNING":
        time.sleep(LOOK)
    assert status == "SUCCESS", status


def _one_workflow(client: DBOSClient) -> None:
    handle = _enqueue(client)
    while (status := client.retrieve_workflow(handle).get_status().status) not in ("SUCCESS", "ERROR"):
        time.sleep(LOOK)
    assert status == "SUCCESS", status


def _enqueue(client: DBOSClient) -> str:
    options = {"queue_name": QUEUE, "workflow_name": WORKFLOW, "app_version": VERSION}
    return client.enqueue(options).workflow_id  # type: ignore[arg-type]


def _throughput(plan: Plan) -> Iterator[Finding]:
    """Measure many jobs on PostgreSQL with two workers, from the 10th to the 90th hundredth of their ends."""
    number = int(20 * plan.seconds)
    with ExitStack() as stack:
        folder = stack.enter_context(scratch())
        server = stack.enter_context(running_server(DURABLE))
        ours, bare = (server.url(server.create()) for _ in range(2))
        shared = {**SETTINGS, "DARKROOM_DATABASE": ours}
        service = Service(folder / "data", settings={**shared, "DARKROOM_ROLE": "api"})
        stack.enter_context(running(service))
        image = service.add_image()
        for _ in range(2):
            stack.enter_context(_worker(folder, shared))
            command = [sys.executable, "-m", "bench.peers.engine", bare, str(WORKERS)]
            stack.enter_context(announced(command, folder / "log"))
        client = stack.enter_context(_client(bare))
        found = alternate(
            plan.rounds,
            {
                "ours": lambda: _rate(ours, _OURS, lambda: service.create(image, "bench"), number),
                "bare": lambda: _rate(bare, _BARE, lambda: _enqueue(client), number),
            },
        )
    yield Comparison(
        "Jobs of no work, two workers, PostgreSQL",
        f"bare engine, {STEPS} empty steps",
        "jobs/s",
        of(found["ours"], "per_second"),
        of(found["bare"], "per_second"),
        Target("≥", 0.7),
    )


#: The ends, in ms, of what ended last.
_OURS = "SELECT end_time FROM jobs WHERE status = 'SUCCESS' ORDER BY id DESC LIMIT %s"
_BARE = "SELECT completed_at FROM dbos.workflow_status WHERE status = 'SUCCESS' ORDER BY created_at DESC LIMIT %s"
_COUNTS = {_OURS: "SELECT count(*) FROM jobs", _BARE: "SELECT count(*) FROM dbos.workflow_status"}


def _rate(url: str, ends: str, start: Callable[[], object], number: int) -> Reading:
    """Start so many at once; return how many ended in a second."""
    with psycopg.connect(url, autocommit=True) as connection:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: start(), range(number)))
        while _unfinished(connection, _COUNTS[ends]):
            time.sleep(0.1)
        times = sorted(row[0] for row in connection.execute(ends, [number]).fetchall())
    early, late = number // 10, number * 9 // 10
    return {"per_second": (late - early) / (times[late] - times[early]) * 1000}


def _unfinished(connection: psycopg.Connection, count: str) -> int:
    row = connection.execute(f"{count} WHERE status NOT IN ('SUCCESS', 'FAILED', 'ERROR')").fetchone()  # type: ignore[arg-type]
    return int(row[0]) if row else 0


@contextmanager
def _worker(folder: Path, settings: Mapping[str, str]) -> Iterator[None]:
    """Run one more worker over the records and the folder of a service."""
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "darkroom.cli", "serve"], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env={**os.environ, **settings, "DARKROOM_ROLE": "worker", "DARKROOM_DATA": str(folder / "data"),
                 "DARKROOM_DRIVER": "simulated", "DARKROOM_SIMULATED_DURATIONS": INSTANT,
                 "DARKROOM_WORKERS": str(WORKERS)},
        )  # fmt: skip
    try:
        yield
    finally:
        process.terminate()
        process.wait()


@contextmanager
def _client(url: str) -> Iterator[DBOSClient]:
    client = DBOSClient(system_database_url=url, application_name="bare")
    try:
        yield client
    finally:
        client.destroy()
