"""The soak: hundreds of jobs of all kinds on two workers; every few seconds one is killed and started again."""

import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx2

from darkroom import app
from darkroom.drivers.simulated import Fault, Faults
from darkroom.wire.signing import sign

from .fleet import Fleet, claims_file, eventually, fleet, fought_over
from .matrix import Matrix
from .model import broken
from .place import Place, ended, spawn
from .service import order_of_a_server

#: Servers of this name fail while they boot.
DOOMED = "doomed"
Story = list[list[Any]]


@dataclass
class Chain:
    """One server's life: it is made, perhaps built once or twice, perhaps deleted. `jobs` are those begun so far."""

    name: str
    builds: list[bool]  #: whether each is with sysprep
    deleted: bool | None  #: whether recursively; None if it stays
    jobs: list[str] = field(default_factory=list)
    server: str = ""

    @property
    def length(self) -> int:
        return 1 if self.name == DOOMED else 1 + len(self.builds) + (self.deleted is not None)

    def kind_of(self, number: int) -> str:
        """Return what the job of that number in the chain is for."""
        return "make" if number == 0 else "build" if number <= len(self.builds) else "delete"

    @property
    def status(self) -> str | None:
        """The server's status when all has ended; None if it has no record any more."""
        if self.name == DOOMED:
            return "ERROR"
        return None if self.deleted is not None else "BUILT" if self.builds else "ACTIVE"


@dataclass(frozen=True)
class Soaked:
    jobs: int
    kills: int
    wrong: list[str]


class Client:
    """Speaks to the API process by its socket."""

    def __init__(self, place: Place) -> None:
        told = json.loads(place.settings().service_file.read_text())
        self._keys = json.loads(place.settings().credentials.read_text())
        self._http = httpx2.Client(base_url=told["endpoint"], timeout=60, trust_env=False)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        url = f"{self._http.base_url}".rstrip("/") + f"/v1/{self._keys['project_id']}/{path}"
        content = json.dumps(body).encode() if body is not None else b""
        headers = {"X-Project-Id": self._keys["project_id"], "Content-Type": "application/json"}
        keys = {name: self._keys[name] for name in ("access_key", "secret_key")}
        headers |= sign(method, url, headers, content, **keys)
        answer = self._http.request(method, url, content=content, headers=headers)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()


def soak(matrix: Matrix, jobs: int, *, every: float, seed: int = 1) -> Soaked:
    """Let `jobs` jobs be done, with a worker killed about `every` seconds; hold the world against the model."""
    chance = random.Random(seed)
    place = matrix.base(()).copy(matrix.new_folder())
    place = Place(place.data, place.server, place.database, {"simulated_durations": _SHORT, "workers": 8})
    Faults(place.data / "simulated" / "faults.json").set("await_guest", Fault(error="GuestSilent", only=DOOMED))
    chains = _chains(chance, jobs)
    with fleet(place) as ours, _api(place) as client:
        kills = _run(ours, client, chains, chance, every)
        wrong = [*_unlike(place, chains), *broken(place)]
        wrong += [f"two workers wrote by turns to the job {job}" for job in fought_over(place)]
        codes = ours.stop()
    if not set(codes) <= {0, -signal.SIGKILL}:
        wrong.append(f"the workers ended with {Counter(codes)}")
    claims_file(place).unlink(missing_ok=True)
    if not wrong:
        place.remove()
    return Soaked(sum(chain.length for chain in chains), kills, wrong)


_SHORT = "boot=0.2,login=0.05,snapshot=0.05,generalise=0.1,flatten=0.2,delete=0.05,run=0.05"


def _chains(chance: random.Random, jobs: int) -> list[Chain]:
    chains: list[Chain] = []
    while sum(chain.length for chain in chains) < jobs:
        name = DOOMED if chance.random() < 0.1 else f"s{len(chains)}"
        builds = [chance.random() < 0.5 for _ in range(chance.choice((0, 1, 1, 2)))]
        chains.append(Chain(name, builds, chance.choice((None, True, False))))
    return chains


def _run(ours: Fleet, client: Client, chains: list[Chain], chance: random.Random, every: float) -> int:
    """Order all jobs, each when the one before it in its chain has ended, and kill a worker now and then."""
    alive = [ours.add(), ours.add()]
    kills, strike_at = 0, time.monotonic() + every
    deadline = time.monotonic() + 120 + 3 * sum(chain.length for chain in chains)
    waiting = list(chains)
    while waiting:
        assert time.monotonic() < deadline, f"{len(waiting)} chains never ended"
        waiting = [
            chain for chain in waiting if not _advance(ours.place, client, chain, limit=waiting.index(chain) < 12)
        ]
        if time.monotonic() > strike_at:
            victim = alive.pop(chance.randrange(2))
            assert victim.end(signal.SIGKILL) == -signal.SIGKILL
            alive.append(ours.add())
            kills, strike_at = kills + 1, time.monotonic() + every * (0.5 + chance.random())
        time.sleep(0.05)
    ours.until_over()
    return kills


def _advance(place: Place, client: Client, chain: Chain, *, limit: bool) -> bool:
    """Order the chain's next job if it may go on and is due; say whether the chain has come to its end."""
    if chain.jobs:
        ((status,),) = place.rows(f"SELECT status FROM jobs WHERE id = {chain.jobs[-1]}")
        if status == "RUNNING":
            return False
        if len(chain.jobs) == chain.length:
            return True
    elif not limit:
        return False
    chain.jobs.append(_order(place, client, chain))
    return False


def _order(place: Place, client: Client, chain: Chain) -> str:
    number = len(chain.jobs)
    if number == 0:
        ((image,),) = place.rows("SELECT id FROM images WHERE name = 'base'")
        apps = [str(row[0]) for row in place.rows("SELECT id FROM app_records ORDER BY id")]
        job = str(client.ask("POST", "image-servers", order_of_a_server(chain.name, image, attach_apps=apps))["job_id"])
        ((chain.server,),) = place.rows(f"SELECT resource_id FROM sub_jobs WHERE job_id = {job}")
        return job
    if number <= len(chain.builds):
        order: dict[str, Any] = {"name": f"{chain.name}-{number}", "execute_sysprep": chain.builds[number - 1]}
        return str(client.ask("POST", f"image-servers/{chain.server}/actions/recreate-image", order)["job_id"])
    order = {"items": [chain.server], "recursive": chain.deleted}
    return str(client.ask("PATCH", "image-servers/actions/batch-delete", order)["job_id"])


def _unlike(place: Place, chains: list[Chain]) -> Iterator[str]:
    """Compare all that there is with what the chains must have led to."""
    servers = {str(key): status for key, status in place.rows("SELECT id, status FROM image_servers")}
    wanted = {chain.server: chain.status for chain in chains if chain.status}
    if servers != wanted:
        yield f"servers: {set(servers.items()) ^ set(wanted.items())}"
    machines = {path.stem for path in (place.data / "simulated" / "machines").glob("*.json")}
    if machines != (alive := {server for server, status in wanted.items() if status != "ERROR"}):
        yield f"machines: {machines ^ alive}"
    released = {path.stem for path in (place.data / "simulated" / "released").glob("*.json")}
    if released != (let_go := {chain.server for chain in chains if chain.length > 1 and chain.deleted is False}):
        yield f"released machines: {released ^ let_go}"
    images = sorted(name for (name,) in place.rows("SELECT name FROM images WHERE name <> 'base'"))
    built = sorted(
        f"{chain.name}-{number + 1}" for chain in chains if chain.length > 1 for number in range(len(chain.builds))
    )
    if images != built:
        yield f"images: {set(images) ^ set(built)}, {len(images)} of {len(built)}"
    yield from _untold(place, chains)


def _untold(place: Place, chains: list[Chain]) -> Iterator[str]:
    """See that all jobs of a kind tell the same story, each event once, and that the jobs end as they must."""
    statuses = {str(key): status for key, status in place.rows("SELECT id, status FROM jobs")}
    stories: dict[str, Story] = {}
    sql = (
        "SELECT job_id, kind, data FROM events WHERE job_id IS NOT NULL"
        " AND kind NOT IN ('step.progress', 'step.resumed') ORDER BY seq"
    )
    for job, kind, data in place.rows(sql):
        told = json.loads(data)
        stories.setdefault(str(job), []).append([kind, *(told.get(key) for key in ("phase", "name", "status"))])
    kinds: dict[Any, Counter[str]] = {}
    for chain in chains:
        for number, job in enumerate(chain.jobs):
            should = "FAILED" if chain.name == DOOMED else "SUCCESS"
            if statuses[job] != should:
                yield f"job {job} ended as {statuses[job]}, not {should}"
            kind = (chain.kind_of(number), should)
            story = [
                event[:1] if event[0].startswith(("server.", "image.", "app.")) else event for event in stories[job]
            ]
            kinds.setdefault(kind, Counter())[json.dumps(story)] += 1
    for kind, told_by in kinds.items():
        if len(told_by) != 1:
            yield f"jobs of the kind {kind} tell {len(told_by)} stories: {told_by.most_common(3)}"


@contextmanager
def _api(place: Place) -> Iterator[Client]:
    """Run an API process; lend a client of it."""
    file = place.settings().service_file
    file.unlink(missing_ok=True)

    def serve() -> None:
        with suppress(KeyboardInterrupt):
            app.run(place.settings(role="api"))

    child = spawn(serve, place.log)
    try:
        eventually(file.exists, "the API process announces itself")
        yield Client(place)
    finally:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGTERM)
        ended(child)
