"""200 clients watching 200 running jobs by streams of events, beside a service that nobody watches."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Thread

from bench.measure import Comparison, Figure, Finding, Reading, Target, of
from bench.plan import Plan
from bench.processes import cpu_seconds, resident_kib
from bench.services import QUIET, running, scratch, token_of
from contract.service_process import INSTANT, Service

WATCHED = 200
#: Machines take an hour to boot, and nothing else takes any time.
SLOW = INSTANT.replace("boot=0", "boot=3600")
SETTINGS = {**QUIET, "DARKROOM_POLL_INTERVAL": "0.1"}


def findings(plan: Plan) -> Iterator[Finding]:
    with ExitStack() as stack:
        data = stack.enter_context(scratch()) / "data"
        with running(Service(data, settings=SETTINGS)) as service:
            server = service.new_server(service.add_image(), "to-build-from")
            image = service.server(server)["image_ref"]["id"]
            service.stop()
        service = Service(data, durations=SLOW, workers=256, settings=SETTINGS)
        stack.enter_context(running(service))
        rest = [_rest(service, plan.seconds) for _ in range(plan.rounds)]
        resident = resident_kib(_pid(service)) / 1024
        watched = [service.create(image, f"watched-{number}") for number in range(WATCHED)]
        service.succeeded(service.build(server))  # all others have begun by then
        idle, busy, memory, looking = [], [], [], []
        for _ in range(plan.rounds):
            idle.append(_round(service, server, plan.seconds))
            alone, before = _rest(service, plan.seconds), resident_kib(_pid(service))
            with _watching(service, watched):
                memory.append((resident_kib(_pid(service)) - before) / WATCHED)
                looking.append(_rest(service, plan.seconds)["cpu"] - alone["cpu"])
                busy.append(_round(service, server, plan.seconds))
    what = f"{WATCHED} clients watching {WATCHED} running jobs"
    yield Comparison(
        f"{what}: a build of no work, POST to SUCCESS",
        "the same service with nobody watching",
        "ms",
        of(busy, "p50"),
        of(idle, "p50"),
        Target("≤", 1.2),
    )
    yield Figure(f"{what}: memory of a watcher", "KiB", memory, at_most=50)
    yield Figure(f"{what}: share of a processor", "%", looking)
    yield Figure("An idle service, looking for jobs every 0.1 s: share of a processor", "%", of(rest, "cpu"))
    yield Figure("An idle service: memory", "MiB", [resident])


def _round(service: Service, server: str, seconds: float) -> Reading:
    """Build one image after the other."""
    times, began = [], time.monotonic()
    while time.monotonic() < began + seconds:
        started = time.monotonic()
        job = service.build(server)
        while service.job(job)["status"] == "RUNNING":
            time.sleep(0.005)
        times.append((time.monotonic() - started) * 1e3)
    return {"p50": sorted(times)[len(times) // 2]}


def _rest(service: Service, seconds: float) -> Reading:
    """Let the service alone; return its share of a processor in per cent."""
    used = cpu_seconds(_pid(service))
    time.sleep(seconds)
    return {"cpu": (cpu_seconds(_pid(service)) - used) / seconds * 100}


def _pid(service: Service) -> int:
    assert service.process is not None
    return service.process.pid


@contextmanager
def _watching(service: Service, jobs: list[str]) -> Iterator[None]:
    """Have a client for each job that reads the stream of its events, from its beginning."""
    loop, token = asyncio.new_event_loop(), token_of(service)
    thread = Thread(target=loop.run_forever)
    thread.start()

    async def watch() -> list[asyncio.StreamWriter]:
        return [await _opened(service, token, job) for job in jobs]

    streams = asyncio.run_coroutine_threadsafe(watch(), loop).result()
    time.sleep(1)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(lambda: [stream.close() for stream in streams])
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _opened(service: Service, token: str, job: str) -> asyncio.StreamWriter:
    host, port = service.endpoint.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    path = f"/v1/{service.project_id}/image-server-jobs/{job}/events"
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nX-Auth-Token: {token}\r\n\r\n".encode())
    status = await reader.readline()
    assert b" 200 " in status, status
    return writer
