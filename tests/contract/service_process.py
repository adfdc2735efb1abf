"""A real service in a process of its own, over the simulated driver, and the means to ask it and to look behind it."""

import asyncio
import json
import os
import secrets
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx2

from darkroom.domain.accounts import AccessKey, Account, Project, User
from darkroom.domain.ids import AccountId, ProjectId, UserId, new_hex
from darkroom.drivers.simulated import Fault, Faults
from darkroom.store.sealing import Sealer
from darkroom.store.store import Store
from darkroom.store.transaction import Transaction
from darkroom.wire.signing import sign

T = TypeVar("T")

INSTANT = "boot=0,login=0,snapshot=0,generalise=0,flatten=0,delete=0,run=0"
FLAVOUR = "workspace.appstream.general.large.2"
#: Seconds that anything may take on a busy machine; nothing waits for so long unless it is broken.
PATIENCE = 120


def eventually(look: Callable[[], T | None], what: str) -> T:
    """Look until there is something to see, and return it."""
    deadline = time.monotonic() + PATIENCE
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"it never happened that {what}"
        time.sleep(0.03)


class Signature(httpx2.Auth):
    """Signs a request by AK/SK; what is changed after it is not covered."""

    def __init__(self, access: str, secret: str, *, now_ms: int | None = None) -> None:
        self._access, self._secret, self._now_ms = access, secret, now_ms

    def sync_auth_flow(self, request: httpx2.Request) -> Iterator[httpx2.Request]:
        streamed = request.headers.get("content-type") == "application/octet-stream"
        request.headers.update(
            sign(
                request.method,
                str(request.url),
                request.headers,
                b"" if streamed else request.read(),
                access_key=self._access,
                secret_key=self._secret,
                now_ms=self._now_ms,
                unsigned_payload=streamed,
            )
        )
        yield request


class Service:
    """A service over one data folder; it may be stopped, killed and started again."""

    def __init__(
        self, data: Path, *, durations: str = INSTANT, workers: int = 16, settings: Mapping[str, str] | None = None
    ) -> None:
        self.data, self._durations, self._workers = data, durations, workers
        self._settings = dict(settings or {})
        self.faults = Faults(data / "simulated" / "faults.json")
        self.process: subprocess.Popen[bytes] | None = None
        self.log = data.with_name(f"{data.name}.log")
        self._client: httpx2.Client | None = None
        self.endpoint = ""
        self.credentials: dict[str, str] = {}

    # The process

    def start(self) -> None:
        """Start the service and wait until it is well."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DARKROOM_")} | {
            "DARKROOM_DATA": str(self.data),
            "DARKROOM_PORT": "0",
            "DARKROOM_DRIVER": "simulated",
            "DARKROOM_SIMULATED_DURATIONS": self._durations,
            "DARKROOM_WORKERS": str(self._workers),
            "DARKROOM_LOG_FORMAT": "json",
            "PYTHONPATH": str(Path(__file__).parents[2] / "src"),
            **self._settings,
        }
        service_file = self.data / "service.json"
        service_file.unlink(missing_ok=True)  # of a service that was killed
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "darkroom.cli", "serve"],
                env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

        def is_there() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, f"the service ended by itself:\n{self.log_tail()}"
            return service_file.exists()

        eventually(is_there, "the service announces itself")
        self.endpoint = json.loads(service_file.read_text())["endpoint"]
        self.credentials = json.loads((self.data / "credentials.json").read_text())
        self._client = httpx2.Client(base_url=self.endpoint, timeout=60, trust_env=False)

        def is_well() -> bool:
            try:
                return self.http("GET", "/health").json()["status"] == "ok"
            except httpx2.ConnectError:
                return False

        eventually(is_well, "the service is well")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Tell the service to stop, wait for its end and return its exit code."""
        assert self.process is not None
        if self._client:
            self._client.close()
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def stop_cleanly(self) -> None:
        """Stop the service as its users do, and see that it ends well and leaves nothing running."""
        pid = self.process.pid if self.process else 0
        assert self.stop() == 0, self.log_tail()
        assert not processes_of(pid), "a process of the service outlived it"
        assert not (self.data / "service.json").exists()

    def kill(self) -> None:
        """End the service at once, as a loss of power does."""
        assert self.stop(signal.SIGKILL) == -signal.SIGKILL

    def end(self) -> None:
        """Leave no process behind, whatever a test has done."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE)

    def log_tail(self, lines: int = 40) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def logged_errors(self) -> list[str]:
        """Return the log's lines of level error or worse, and any traceback that nobody caught."""
        lines = self.log.read_text(errors="replace").splitlines()
        return [
            line for line in lines if '"level": "error"' in line or '"level": "critical"' in line or "Traceback" in line
        ]

    # Requests

    @property
    def project_id(self) -> str:
        return self.credentials["project_id"]

    @property
    def signature(self) -> Signature:
        return Signature(self.credentials["access_key"], self.credentials["secret_key"])

    def http(self, method: str, path: str, **more: Any) -> httpx2.Response:
        """Send a request as it is, without sign-in."""
        assert self._client is not None
        return self._client.request(method, path, **more)

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        auth: httpx2.Auth | None = None,
        **query: Any,
    ) -> httpx2.Response:
        """Send a signed request. A path without a leading slash is one within the project."""
        path = path if path.startswith("/") else f"/v1/{self.project_id}/{path}"
        if content is None and body is not None:
            content = json.dumps(body, ensure_ascii=False).encode()
        given = {"X-Project-Id": self.project_id, **({"Content-Type": "application/json"} if content else {})}
        return self.http(
            method,
            path,
            content=content,
            headers={**given, **(headers or {})},
            params=query or None,
            auth=auth or self.signature,
        )

    def get(self, path: str, **query: Any) -> Any:
        answer = self.ask("GET", path, **query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    # What tests need to be there

    def add_image(self, content: bytes = b"disk", *, image_type: str = "private") -> str:
        added = self.ask("POST", "/v2/images", {"name": "base", "__imagetype": image_type})
        assert added.status_code == 201, added.text
        image_id = added.json()["id"]
        upload = self.ask(
            "PUT",
            f"/v2/images/{image_id}/file",
            content=content,
            headers={"Content-Type": "application/octet-stream"},
        )
        assert upload.status_code == 204, upload.text
        return str(image_id)

    def order(self, image_id: str, **changes: Any) -> dict[str, Any]:
        """Return the body of a create request with what is mandatory, and changes."""
        return {
            "name": "img-srv-a",
            "product_id": FLAVOUR,
            "vpc_id": "8d0f2a55-6d6c-4c0e-9b1d-0c5d5b5f1a11",
            "subnet_id": "4f7b0b3e-2f0a-4f52-8a1c-9a2c1d7e2b22",
            "root_volume": {"type": "SAS", "size": 80},
            "image_ref": {"id": image_id, "image_type": "private"},
            "authorize_accounts": [{"account": "builder", "account_type": "USER"}],
            **changes,
        }

    def accept(self, method: str, path: str, body: Any) -> str:
        """Send a request that starts a job; return the job's id."""
        answer = self.ask(method, path, body)
        assert answer.status_code == 200, answer.text
        assert answer.json().keys() == {"job_id"}
        return str(answer.json()["job_id"])

    def create(self, image_id: str, name: str) -> str:
        """Order a server; return the job's id."""
        return self.accept("POST", "image-servers", self.order(image_id, name=name))

    def build(self, server_id: str, name: str = "golden", **more: Any) -> str:
        return self.accept("POST", f"image-servers/{server_id}/actions/recreate-image", {"name": name, **more})

    def delete(self, *server_ids: str, recursive: bool = True) -> str:
        body = {"items": list(server_ids), "recursive": recursive}
        return self.accept("PATCH", "image-servers/actions/batch-delete", body)

    def job(self, job_id: str) -> Any:
        return self.get(f"image-server-jobs/{job_id}")

    def ended(self, job_id: str) -> Any:
        """Wait for a job's end and return it. On the way it is never WAITING: Terraform would give up."""

        def look() -> Any:
            job = self.job(job_id)
            assert job["status"] in ("RUNNING", "SUCCESS", "FAILED")
            return job if job["status"] != "RUNNING" else None

        return eventually(look, f"the job {job_id} ends")

    def succeeded(self, job_id: str) -> Any:
        job = self.ended(job_id)
        assert job["status"] == "SUCCESS", job
        return job

    def new_server(self, image_id: str, name: str = "img-srv-a") -> str:
        """Make a server; return its id when it is ACTIVE."""
        job = self.succeeded(self.create(image_id, name))
        return str(job["sub_jobs"][0]["job_resource_info"]["resource_id"])

    def server(self, server_id: str) -> Any:
        return self.get(f"image-servers/{server_id}")

    def server_of(self, job_id: str) -> str:
        """Return the server that a running CREATE_SERVER job makes."""
        return str(self.job(job_id)["sub_jobs"][0]["job_resource_info"]["resource_id"])

    def fault(self, call: str, only: str, **how: Any) -> None:
        """Let a call of the driver fail for one server or image."""
        self.faults.set(call, Fault(only=only, **how))

    # Behind the scenes

    def hangs(self) -> None:
        """Wait until every fault has struck that strikes so many times. That a step has begun does not say so yet."""
        eventually(lambda: not any(fault.times for fault in self.faults.load().values()), "the faults strike")

    def rows(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Read the database directly."""
        with closing(sqlite3.connect(f"file:{self.data / 'darkroom.db'}?mode=ro", uri=True, timeout=30)) as connection:
            return connection.execute(sql, parameters).fetchall()

    def census(self) -> list[tuple[Any, ...]]:
        """Return how many jobs, servers and images there are."""
        return self.rows(
            "SELECT (SELECT count(*) FROM jobs), (SELECT count(*) FROM image_servers), (SELECT count(*) FROM images)"
        )

    def machines(self) -> set[str]:
        """Return the ids of the servers whose machines there are."""
        return _names(self.data / "simulated" / "machines", {".json"})

    def image_files(self) -> set[str]:
        """Return the ids of the images of which anything is on the disk."""
        return _names(self.data / "images", {".json", ".disk"})

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Change the service's records from outside, where its API has no call for it."""
        store = Store(f"sqlite:///{self.data / 'darkroom.db'}", Sealer((self.data / "secret.key").read_bytes()))
        try:
            return asyncio.run(store.write(work))
        finally:
            store.close()

    def add_project(self, project_id: str = "", account_id: str = "") -> str:
        """Add a project to the first account, or to another one."""
        project_id = project_id or new_hex()
        account_id = account_id or self.credentials["account_id"]
        project = Project(id=ProjectId(project_id), account_id=AccountId(account_id), name=f"project-{project_id}")
        self.write(lambda tx: tx.accounts.add_project(project))
        return project_id

    def add_key(self, user_id: str = "", *, enabled: bool = True) -> tuple[str, str]:
        """Add an access key of the first user, or of another one."""
        key = AccessKey(
            access=f"TEST{secrets.token_hex(8).upper()}",
            secret=secrets.token_hex(20),
            user_id=UserId(user_id or self.credentials["user_id"]),
            enabled=enabled,
        )
        self.write(lambda tx: tx.accounts.add_access_key(key))
        return key.access, key.secret

    def add_stranger(self) -> "Stranger":
        """Add another account with a project, a user and an access key of its own."""
        account = Account(id=AccountId(new_hex()), name=f"account-{new_hex()}")
        user = User(
            id=UserId(new_hex()), account_id=account.id, name="stranger", password_hash="!", roles=("te_admin",)
        )
        self.write(lambda tx: tx.accounts.add_account(account))
        self.write(lambda tx: tx.accounts.add_user(user))
        return Stranger(self.add_project(account_id=account.id), Signature(*self.add_key(user.id)))


class Stranger:
    """A caller of another account."""

    def __init__(self, project_id: str, signature: Signature) -> None:
        self.project_id, self.signature = project_id, signature


@contextmanager
def served(data: Path, **how: Any) -> Iterator[Service]:
    """Run a service. It must end well, and have met nothing unexpected."""
    service = Service(data, **how)
    try:
        service.start()
        yield service
        service.stop_cleanly()
        assert not service.logged_errors()
    finally:
        service.end()


def held(service: Service, image: str, name: str) -> str:
    """Start a create job that hangs while its guest boots; return its id once it does."""
    service.fault("await_guest", name, hang=True, times=1)
    job_id = service.create(image, name)
    service.hangs()
    return job_id


def cancel(service: Service, job_id: str) -> None:
    assert service.ask("POST", f"image-server-jobs/{job_id}/actions/cancel").status_code == 202


@contextmanager
def nothing_changes(service: Service) -> Iterator[None]:
    """See that no job, server or image comes or goes."""
    before = service.census()
    yield
    assert service.census() == before


def processes_of(session: int) -> list[str]:
    """Return the processes of a session (the service is the leader of its own) that have not ended."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _parent, _group, its_session = stat.read_text().rpartition(")")[2].split()[:4]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(its_session) == session and state != "Z":
            found.append(stat.parent.name)
    return found


def _names(folder: Path, endings: Collection[str]) -> set[str]:
    """Return the names of the files of a folder; one that nobody would look for is a mistake."""
    files = [path for path in folder.iterdir() if path.name != ".lock"] if folder.exists() else []
    assert {path.suffix for path in files} <= set(endings), files
    return {path.stem for path in files}
