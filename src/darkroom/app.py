"""The composition root: the one module that knows every room, and puts them together by the settings."""

import asyncio
import fcntl
import os
import secrets
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import IO

import msgspec
import structlog
import uvicorn
from starlette.applications import Starlette

from darkroom import __version__
from darkroom.domain.flavours import FLAVOURS
from darkroom.domain.ids import Snowflakes
from darkroom.domain.times import now_ms
from darkroom.drivers.base import Compute, ImageStore
from darkroom.errors import DarkroomError
from darkroom.http import application, health, iam, openapi
from darkroom.http import images as image_routes
from darkroom.http import jobs as job_routes
from darkroom.http import servers as server_routes
from darkroom.http.auth import Authenticator
from darkroom.http.operations import Operations
from darkroom.services.identity import Credentials, Identity
from darkroom.services.images import Images
from darkroom.services.jobs import Jobs
from darkroom.services.servers import Servers
from darkroom.services.tokens import Tokens
from darkroom.settings import Settings
from darkroom.store.sealing import Sealer
from darkroom.store.store import Store
from darkroom.telemetry import logging
from darkroom.workflows.engine import Engine
from darkroom.workflows.plan import Limits, Tools

log = structlog.get_logger("darkroom")


class CannotStart(DarkroomError):
    """The service cannot start."""


class Service:
    """All rooms put together over one data folder."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.sealer = Sealer(_secret_key(settings.data / "secret.key"))
        self.store = Store(settings.database, self.sealer)
        self.compute, self.image_store = _driver(settings)
        snowflakes = Snowflakes(now_ms)
        limits = Limits(
            boot=settings.boot_timeout, login=settings.login_timeout, generalise=settings.generalise_timeout
        )
        tools = Tools(self.store, self.compute, self.image_store, snowflakes, now_ms, limits)
        self.engine = Engine(self.store, tools, workers=settings.workers, poll_interval=settings.poll_interval)
        self.identity = Identity(self.store, Tokens(self.sealer, now_ms))
        self.images = Images(self.store, self.image_store, now_ms)
        self.jobs = Jobs(self.store, now_ms)
        self.servers = Servers(self.store, self.engine.accept, FLAVOURS, snowflakes, now_ms)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Credentials | None]:
        """Start everything in order and stop it in reverse. Yields the first user's credentials, the first time."""
        self.store.migrate()
        try:
            credentials = await self.identity.bootstrap(self.settings.region)
            await self.images.recover()
            await self.compute.start()
            try:
                await asyncio.to_thread(self.engine.start)
                try:
                    yield credentials
                finally:
                    await asyncio.to_thread(self.engine.stop)
            finally:
                await self.compute.stop()
        finally:
            self.store.close()

    def application(self) -> Starlette:
        """Return the ASGI application; it expects the service to run."""
        operations = Operations(Authenticator(self.identity, now_ms))
        described = [
            *job_routes.routes(operations, self.jobs),
            *server_routes.routes(operations, self.servers),
            *image_routes.routes(operations, self.images),
            *iam.routes(self.identity, self.settings.region),
            *health.routes(self.store, self.settings.driver),
        ]
        return application.application([*described, *openapi.routes(described)])


def run(settings: Settings) -> None:
    """Serve until told to stop. Raises CannotStart, with the reason, where it cannot begin."""
    logging.set_up(settings.log_level, settings.log_format)
    try:
        settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise CannotStart(f"The data folder {settings.data} cannot be made: {error.strerror}.") from None
    with _alone(settings.data), _listening(settings.host, settings.port) as listener:
        asyncio.run(_serve(settings, listener))


async def _serve(settings: Settings, listener: socket.socket) -> None:
    service = Service(settings)
    config = uvicorn.Config(
        service.application(),
        loop="uvloop",
        http="httptools",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=10,
    )
    async with service.running() as credentials:
        host, port = listener.getsockname()[:2]
        endpoint = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        if credentials:
            _announce(settings.credentials, credentials)
        _write(settings.service_file, {"endpoint": endpoint, "pid": os.getpid(), "version": __version__})
        log.info("serving", endpoint=endpoint, driver=settings.driver, data=str(settings.data))
        try:
            await uvicorn.Server(config).serve(sockets=[listener])
        finally:
            settings.service_file.unlink(missing_ok=True)


def _driver(settings: Settings) -> tuple[Compute, ImageStore]:
    if settings.driver == "simulated":
        from darkroom.drivers.simulated import SimulatedCompute, SimulatedImageStore

        images = SimulatedImageStore(settings.data)
        return SimulatedCompute(settings.data, images, durations=settings.simulated_durations), images
    from darkroom.drivers.qemu.compute import QemuCompute

    compute = QemuCompute(
        settings.data,
        settings.kit,
        accelerator=settings.accelerator,
        qemu_user=settings.qemu_user,
    )
    return compute, compute.image_store


def _secret_key(path: Path) -> bytes:
    """Return the key that seals tokens and secrets, made the first time. Without it, what it sealed is lost."""
    if not path.exists():
        _write_bytes(path, Sealer.new_key())
    return path.read_bytes()


def _announce(path: Path, credentials: Credentials) -> None:
    """Keep the first user's credentials in a file for its owner alone, and show them this once."""
    _write(path, msgspec.to_builtins(credentials))
    print(
        f"\nFirst start: this user has been made. It is shown once, and kept in {path} (mode 0600).\n\n"
        f"  account     {credentials.account}\n"
        f"  user        {credentials.user}\n"
        f"  password    {credentials.password}\n"
        f"  project     {credentials.project}  {credentials.project_id}\n"
        f"  access key  {credentials.access_key}\n"
        f"  secret key  {credentials.secret_key}\n",
        flush=True,
    )


def _write(path: Path, content: object) -> None:
    _write_bytes(path, msgspec.json.format(msgspec.json.encode(content)) + b"\n")


def _write_bytes(path: Path, content: bytes) -> None:
    """Write a file for its owner alone, whole or not at all."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


@contextmanager
def _alone(data: Path) -> Iterator[IO[str]]:
    """Hold the data folder: two services on one would each believe the machines to be theirs."""
    with (data / "service.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CannotStart(f"Another service uses the data folder {data}.") from None
        yield lock


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(1024)
        except OSError as error:
            raise CannotStart(f"Cannot listen on {host}:{port}: {error.strerror}.") from None
        listener.set_inheritable(False)
        yield listener
