"""Darkroom's services that are measured: real ones, on the simulated driver, with records made beforehand."""

import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import httpx2
import msgspec
import psycopg

from bench import records
from bench.load import Request
from bench.processes import ROOT
from bench.records import Jobs
from contract.service_process import Service
from darkroom.wire.signing import sign

#: Nothing but requests and jobs is to happen while it is measured.
QUIET = {
    "DARKROOM_JOB_RETENTION_DAYS": "0",
    "DARKROOM_RECONCILE_INTERVAL": "0",
    "DARKROOM_LOG_LEVEL": "error",
    "DARKROOM_POLL_INTERVAL": "5",
}
#: The same, with every answer read from the records.
READING = {**QUIET, "DARKROOM_ANSWER_MEMORY": "0"}
SAMPLE = 20_000
VERSIONS = ROOT / "src" / "darkroom" / "store" / "migrations" / "versions"


def cache() -> Path:
    """Return the folder where records are kept from one run to the next."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = base / "darkroom-bench"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def scratch() -> Iterator[Path]:
    """Give a folder that is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="darkroom-bench-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running(service: Service) -> Iterator[Service]:
    with ExitStack() as stack:
        stack.callback(service.end)
        service.start()
        yield service


@contextmanager
def on_sqlite(number: int, *, copy: Path | None = None, keeps: bool = True) -> Iterator[tuple[Service, Jobs]]:
    """Run a service over so many jobs on SQLite, made the first time, and anew where the tables have changed since.

    With `copy` it has a copy of them in that folder. Unless it `keeps` answers, it reads the records for each one.
    """
    data = cache() / f"sqlite-{number}-{max(path.name[:4] for path in VERSIONS.glob('[0-9]*.py'))}"
    told = data / "jobs.json"
    if not told.exists():
        for former in cache().glob(f"sqlite-{number}-*[0-9]"):  # and not its log
            shutil.rmtree(former)
        _fill_sqlite(data, number)
    jobs = msgspec.json.decode(told.read_bytes(), type=Jobs)
    if copy:
        data = shutil.copytree(data, copy)
    with running(Service(data, settings=QUIET if keeps else READING)) as service:
        yield service, jobs


def _fill_sqlite(data: Path, number: int) -> None:
    with running(Service(data, settings=QUIET)) as service:
        jobs = records.planned(service.project_id, number)
        service.stop()
    with closing(sqlite3.connect(data / "darkroom.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -500000")
        records.insert(jobs, connection.execute)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (data / "jobs.json").write_bytes(msgspec.json.encode(jobs))


@contextmanager
def on_postgres(url: str, number: int, data: Path, *, keeps: bool = True) -> Iterator[tuple[Service, Jobs]]:
    """Run a service over so many jobs in an empty database. Unless it `keeps` answers, it reads each time."""
    settings = {**(QUIET if keeps else READING), "DARKROOM_DATABASE": url}
    with running(Service(data, settings=settings)) as service:
        jobs = records.planned(service.project_id, number)
        with psycopg.connect(url, autocommit=True) as connection:
            records.insert(jobs, connection.execute)
            connection.execute("VACUUM ANALYZE")
        yield service, jobs


def path_of(jobs: Jobs, job_id: int) -> str:
    return f"/v1/{jobs.project}/image-server-jobs/{job_id}"


def token_of(service: Service) -> str:
    """Sign in, and return the token."""
    known = service.credentials
    who = {"name": known["user"], "password": known["password"], "domain": {"name": known["account"]}}
    body = {
        "auth": {
            "identity": {"methods": ["password"], "password": {"user": who}},
            "scope": {"project": {"id": known["project_id"]}},
        }
    }
    answer = service.http("POST", "/v3/auth/tokens", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.headers["x-subject-token"])


def with_token(service: Service, jobs: Jobs) -> list[Request]:
    """Return reads of jobs at random, each with the same token."""
    headers = {"X-Auth-Token": token_of(service)}
    return [Request(path_of(jobs, job_id), headers) for job_id in jobs.sample(SAMPLE)]


def with_signature(service: Service, jobs: Jobs) -> list[Request]:
    """Return reads of jobs at random, each with its own AK/SK signature, good for some minutes."""
    known = service.credentials

    def signed(job_id: int) -> Request:
        path = path_of(jobs, job_id)
        given = {"X-Project-Id": jobs.project, "Content-Type": "application/json"}
        made = sign(
            "GET", service.endpoint + path, given, access_key=known["access_key"], secret_key=known["secret_key"]
        )
        return Request(path, {**given, **made})

    return [signed(job_id) for job_id in jobs.sample(SAMPLE)]


def answer_to(service: Service, request: Request) -> bytes:
    """Return what the service answers, seen to be a job."""
    answer = httpx2.get(service.endpoint + request.path, headers=dict(request.headers), trust_env=False)
    assert answer.status_code == 200, answer.text
    assert json.loads(answer.content)["sub_jobs"], answer.text
    return answer.content
