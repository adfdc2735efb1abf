"""The composition root: the one module that knows every room, and puts them together by the settings."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from functools import partial
from typing import Any

import structlog
import uvicorn
import uvloop
from starlette.routing import BaseRoute

from darkroom import __version__
from darkroom.console import assets, rooms, session
from darkroom.console import routes as console
from darkroom.domain.flavours import FLAVOURS
from darkroom.domain.ids import WORKERS, Snowflakes
from darkroom.domain.limits import Quota, Room, Rooms
from darkroom.domain.times import now_ms
from darkroom.drivers.base import Compute, ImageStore
from darkroom.drivers.outbound import Outbound
from darkroom.errors import Unavailable
from darkroom.http import apps as app_routes
from darkroom.http import attach as attach_routes
from darkroom.http import evidence as evidence_routes
from darkroom.http import health, iam, openapi, watching
from darkroom.http import images as image_routes
from darkroom.http import jobs as job_routes
from darkroom.http import servers as server_routes
from darkroom.http import terminals as terminal_routes
from darkroom.http import upkeep as upkeep_routes
from darkroom.http import webhooks as webhook_routes
from darkroom.http.application import Application
from darkroom.http.auth import Authenticator
from darkroom.http.operations import Operations
from darkroom.http.protocol import Http
from darkroom.http.sockets import WebSockets
from darkroom.http.throttle import Throttle
from darkroom.services.apps import Apps
from darkroom.services.attach import Attaching
from darkroom.services.cleaning import Cleaning
from darkroom.services.evidence import Failures
from darkroom.services.iam import Iam
from darkroom.services.images import Images
from darkroom.services.jobs import Jobs
from darkroom.services.new_jobs import NewJobs
from darkroom.services.retries import Retries
from darkroom.services.servers import Servers
from darkroom.services.terminals import Terminals
from darkroom.services.timeline import Timelines
from darkroom.services.upkeep import Upkeep
from darkroom.services.versions import Versions
from darkroom.services.watching import Watching
from darkroom.services.webhooks import Webhooks
from darkroom.settings import Settings
from darkroom.startup import CannotStart, alone, announce, forget, keep, listening, secret_key, write_private
from darkroom.store.app_files import AppFiles
from darkroom.store.migrate import TooNew
from darkroom.store.sealing import SealBroken, Sealer
from darkroom.store.store import Store
from darkroom.telemetry import logging
from darkroom.wire.webhooks import cloud_event
from darkroom.workflows.engine import Engine
from darkroom.workflows.housekeeping import Chore, Housekeeping
from darkroom.workflows.kept import Reaper
from darkroom.workflows.plan import Limits, Tools
from darkroom.workflows.reconcile import Machines
from darkroom.workflows.reconcile_apps import AppUploads
from darkroom.workflows.reconcile_captures import Captures
from darkroom.workflows.reconcile_images import ImageFiles
from darkroom.workflows.retention import Retention
from darkroom.workflows.webhooks import Postman

log = structlog.get_logger("darkroom")

#: Seconds between two looks for jobs that need not be kept any longer.
RETENTION_INTERVAL = 3600.0


class Service:
    """All rooms put together over one data folder."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.sealer = Sealer(secret_key(settings.data / "secret.key", settings.records))
        self.store = Store(settings.database_url, self.sealer)
        self.compute, self.image_store = _driver(settings)
        self.snowflakes = snowflakes = Snowflakes(now_ms)
        limits = Limits(
            boot=settings.boot_timeout,
            login=settings.login_timeout,
            generalise=settings.generalise_timeout,
            attach=settings.attach_timeout,
            step=settings.step_timeout,
        )
        files = AppFiles(settings.data / "apps", limit=settings.app_size_limit)
        tools = Tools(self.store, self.compute, self.image_store, files, snowflakes, now_ms, limits)
        rooms = Rooms(
            machines=Room(in_all=settings.max_machines, per_project=settings.max_machines_per_project),
            builds=Room(in_all=settings.max_builds, per_project=settings.max_builds_per_project),
        )
        quota = Quota(
            servers=settings.quota_servers, images=settings.quota_images, image_bytes=settings.quota_image_bytes
        )
        self.engine = Engine(
            self.store,
            tools,
            rooms,
            works=settings.role != "api",
            workers=settings.workers,
            poll_interval=settings.poll_interval,
        )
        self.iam = Iam(self.store, self.sealer, now_ms, settings.region)
        self.images = Images(self.store, self.image_store, quota, now_ms)
        self.apps = Apps(self.store, files, snowflakes, now_ms)
        self.attaching = Attaching(self.store, self.compute, files, now_ms, timeout=settings.attach_timeout)
        new_jobs = NewJobs(self.store, self.engine.accept, snowflakes, now_ms)
        self.jobs = Jobs(self.store, self.engine.release, now_ms)
        self.cleaning = Cleaning(self.store, self.engine.clean, now_ms)
        self.upkeep = Upkeep(self.store, self.compute, self.image_store)
        self.housekeeping = Housekeeping(self.store, _chores(settings, tools, self.engine), now_ms)
        self.watching = Watching(self.store)
        self.versions = Versions(self.store, job_routes.render, settings.answer_memory, shared=settings.is_shared)
        outbound = Outbound(private_addresses=settings.webhook_private_addresses)
        self.webhooks = Webhooks(self.store, outbound, cloud_event, snowflakes, now_ms)
        self.postman = Postman(self.store, outbound, cloud_event, snowflakes, now_ms)
        self.retries = Retries(self.store, new_jobs, now_ms)
        self.terminals = Terminals(self.store, self.compute)
        self.servers = Servers(
            self.store, new_jobs, FLAVOURS, quota, snowflakes, now_ms, keep_minutes=settings.keep_on_failure
        )
        self.timelines = Timelines(self.store, now_ms)
        self.failures = Failures(self.store)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start everything in order and stop it in reverse. The first time, the first user is made and announced."""
        async with AsyncExitStack() as stack:
            stack.callback(self.store.close)
            try:
                self.store.migrate()
                await self.store.check_seal()
            except SealBroken:
                raise CannotStart("The secret.key is not the one that the records were sealed with.") from None
            except TooNew as error:
                raise CannotStart(f"{error} Start that version, or restore the backup made before it.") from None
            except Unavailable as error:
                raise _no_database(error) from None
            credentials = await self.iam.bootstrap(partial(keep, self.settings.credentials))
            if credentials:
                announce(self.settings.credentials, credentials)
            if self.settings.is_shared:
                worker, turn = await asyncio.to_thread(self.store.number, WORKERS)
                stack.callback(turn.close)
                self.snowflakes.work_as(worker)
            else:
                await self.apps.recover()
                await self.images.recover()
                await self.attaching.recover()
            await self.compute.start()
            stack.push_async_callback(self.compute.stop)
            stack.push_async_callback(asyncio.to_thread, self.engine.stop)
            try:
                await asyncio.to_thread(self.engine.start)
            except Unavailable as error:
                raise _no_database(error) from None
            if self.settings.role != "api":
                await stack.enter_async_context(self.housekeeping.running())
                await stack.enter_async_context(self.postman.running())
            yield

    def application(self) -> Application:
        """Return the ASGI application; it expects the service to run."""
        throttle = Throttle(reads=self.settings.throttle_reads, changes=self.settings.throttle_changes)
        operations = Operations(Authenticator(self.iam.identity, now_ms), throttle)
        described = [
            # Before those of jobs: to them, `events` would be the id of a job.
            *watching.routes(operations, self.watching),
            *job_routes.routes(operations, self.jobs, self.versions, self.retries),
            *evidence_routes.routes(operations, self.timelines, self.failures),
            *server_routes.routes(operations, self.servers),
            *terminal_routes.routes(operations, self.terminals),
            *attach_routes.routes(operations, self.attaching),
            *app_routes.routes(operations, self.apps),
            *image_routes.routes(operations, self.images),
            *upkeep_routes.routes(operations, self.upkeep, self.cleaning, self.servers),
            *webhook_routes.routes(operations, self.webhooks),
            *iam.routes(operations, self.iam, self.settings.region),
            *health.routes(self.store, self.settings.driver),
        ]
        return Application([*self._console(throttle), *described, *openapi.routes(described)])

    def _console(self, throttle: Throttle) -> list[BaseRoute]:
        """Return the routes of the web console; none, if what it takes from npm is not there."""
        if not assets.are_whole():
            log.warning("the web console is not served: its files from npm are missing; `make setup` fetches them")
            return []
        its_rooms = rooms.Rooms(
            sessions=session.Sessions(self.iam),
            jobs=self.jobs,
            timelines=self.timelines,
            failures=self.failures,
            retries=self.retries,
            cleaning=self.cleaning,
            watching=self.watching,
            servers=self.servers,
            terminals=self.terminals,
            images=self.images,
            apps=self.apps,
        )
        return console.routes(its_rooms, throttle, FLAVOURS, now_ms)


def _no_database(error: Unavailable) -> CannotStart:
    return CannotStart(f"The database does not answer: {error.__cause__}")


def run(settings: Settings) -> None:
    """Serve until told to stop. Raises CannotStart, with the reason, where it cannot begin."""
    logging.set_up(settings.log_level, settings.log_format)
    try:
        settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise CannotStart(f"The data folder {settings.data} cannot be made: {error.strerror}.") from None
    with ExitStack() as stack:
        if not settings.is_shared:
            if settings.role != "all":
                raise CannotStart("SQLite is for one process, of role `all`; --database names a PostgreSQL for many.")
            stack.enter_context(alone(settings.data))
        if settings.role == "worker":
            _run(_work(settings))
        else:
            _run(_serve(settings, stack.enter_context(listening(settings.host, settings.port))))


def _run(work: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)


async def _work(settings: Settings) -> None:
    """Run jobs until told to stop."""
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        # By the loop: an exception raised by a handler may strike a callback of a library, and be lost there.
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    async with Service(settings).running():
        log.info("working", driver=settings.driver, data=str(settings.data))
        await told.wait()


async def _serve(settings: Settings, listener: socket.socket) -> None:
    """Answer requests, and unless others do that run jobs, until told to stop."""
    service = Service(settings)
    config = uvicorn.Config(
        service.application(),
        http=Http,
        ws=WebSockets,
        ws_max_size=1 << 20,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=10,
    )
    async with service.running():
        host, port = listener.getsockname()[:2]
        endpoint = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        write_private(settings.service_file, {"endpoint": endpoint, "pid": os.getpid(), "version": __version__})
        log.info("serving", endpoint=endpoint, driver=settings.driver, data=str(settings.data))
        try:
            await uvicorn.Server(config).serve(sockets=[listener])
        finally:
            forget(settings.service_file)


def _chores(settings: Settings, tools: Tools, engine: Engine) -> list[Chore]:
    every, days = settings.reconcile_interval, settings.job_retention_days
    retention = Retention(tools.store, engine.forget, now_ms, days=days)
    return [
        Chore("admission", every, engine.readmit),
        Chore("machines", every, Machines(tools).reconcile),
        Chore("captures", every, Captures(tools).reconcile),
        Chore("kept machines", every, Reaper(tools).reap),
        Chore("images", every, ImageFiles(tools).reconcile),
        Chore("applications", every, AppUploads(tools).reconcile),
        Chore("retention", RETENTION_INTERVAL if days else 0, retention.purge),
    ]


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
