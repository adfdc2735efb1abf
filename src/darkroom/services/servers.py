"""Image servers: ordering them, building images of them, deleting them. Each of these starts a job."""

from collections.abc import Sequence

from darkroom.domain.accounts import Caller
from darkroom.domain.events import Event
from darkroom.domain.flavours import Flavour, find
from darkroom.domain.ids import JobId, ProjectId, ServerId, Snowflakes, new_uuid
from darkroom.domain.images import Image, ImageStatus
from darkroom.domain.jobs import JobType
from darkroom.domain.limits import Quota
from darkroom.domain.requests import Once
from darkroom.domain.servers import ALLOWED, Action, ImageOrder, ImageServer, ServerAccess, ServerOrder, ServerStatus
from darkroom.domain.times import Clock
from darkroom.errors import ImageNotFound, InvalidParameter, ServerNotReady
from darkroom.services.apps import usable
from darkroom.services.guest_access import new_access
from darkroom.services.new_jobs import NewJobs
from darkroom.services.quotas import check_images, check_servers
from darkroom.store.store import Store
from darkroom.store.transaction import Transaction
from darkroom.workflows.kept import ORDERED

GIB = 1 << 30


class _Changed(Exception):
    """A server is no longer in the state that it was just read in."""


class Servers:
    """What callers may do with image servers."""

    def __init__(
        self,
        store: Store,
        new_jobs: NewJobs,
        flavours: Sequence[Flavour],
        quota: Quota,
        snowflakes: Snowflakes,
        clock: Clock,
        *,
        keep_minutes: int = 0,
    ) -> None:
        """`keep_minutes` is for how long the machine of a creation that fails is kept, unless the request says."""
        self._store, self._new_jobs, self._flavours, self._quota = store, new_jobs, flavours, quota
        self._snowflakes, self._clock, self._keep_minutes = snowflakes, clock, keep_minutes

    async def show(self, caller: Caller, project_id: ProjectId, server_id: str) -> ImageServer:
        """Return an image server. Raises ServerNotFound, also for another project's."""
        caller.must("workspace:imageServer:get", project_id)
        return await self._store.servers.get(project_id, server_id)

    async def page(
        self,
        caller: Caller,
        project_id: ProjectId,
        *,
        name_contains: str = "",
        server_id: str = "",
        enterprise_project_id: str = "",
        offset: int,
        limit: int,
    ) -> tuple[int, list[ImageServer]]:
        """Return how many image servers match, and one page of them, newest first. Empty filters match all."""
        caller.must("workspace:imageServer:list", project_id)
        return await self._store.servers.page(
            project_id,
            name_contains=name_contains,
            server_id=server_id,
            enterprise_project_id=enterprise_project_id,
            offset=offset,
            limit=limit,
        )

    async def events(
        self, caller: Caller, project_id: ProjectId, server_id: str, *, offset: int, limit: int
    ) -> tuple[int, list[Event]]:
        """Return how many events a server has, and one page of them, newest first. Raises ServerNotFound."""
        caller.must("workspace:imageServer:listEvents", project_id)
        server = await self._store.servers.get(project_id, server_id)
        return await self._store.events.of_resource(project_id, server.id, offset, limit)

    async def access(self, caller: Caller, project_id: ProjectId, server_id: str) -> ServerAccess:
        """Return how the authorised account signs in. Raises ServerNotReady until it has been let in."""
        caller.must("workspace:imageServer:getAccess", project_id)
        server = await self._store.servers.get(project_id, server_id)
        access = await self._store.servers.access(server)
        if not access.port:
            raise ServerNotReady(f"The image server {server.id} is {server.status}; nobody can sign in to it.")
        return access

    async def create(
        self,
        caller: Caller,
        project_id: ProjectId,
        order: ServerOrder,
        once: Once | None = None,
        *,
        keep_minutes: int | None = None,
    ) -> JobId:
        """Order an image server; return the job that makes it. Raises InvalidParameter, or QuotaExceeded.

        If the job fails, the machine is kept for `keep_minutes`, by default for as long as the settings say.
        """
        caller.must("workspace:imageServer:create", project_id)
        keep = self._keep_minutes if keep_minutes is None else keep_minutes
        return await self._new_jobs.once(project_id, once, lambda: self._create(project_id, order, once, keep))

    async def _create(self, project_id: ProjectId, order: ServerOrder, once: Once | None, keep: int) -> JobId:
        flavour = self._flavour(order)
        image = await self._base_image(project_id, order)
        smallest = -(-image.virtual_size // (10 * GIB)) * 10
        if order.disk_gb < smallest:
            raise InvalidParameter("root_volume.size", f"the image needs a disk of at least {smallest} GB")
        await usable(self._store, project_id, order.attach_apps, "attach_apps")
        now = self._clock()
        server = self._new_server(project_id, order, flavour, now)
        kept = {ORDERED: keep} if keep else {}
        job = self._new_jobs.make(JobType.CREATE_SERVER, project_id, [(server.id, server.name)], kept, now)
        access = new_access(server.account_name)

        def accept(tx: Transaction) -> None:
            check_servers(tx, self._quota, project_id)
            tx.servers.add(server, access, job=job)
            self._new_jobs.accept(tx, job, once)

        await self._store.write(accept)
        return job.id

    async def update(
        self, caller: Caller, project_id: ProjectId, server_id: str, *, name: str | None, description: str | None
    ) -> None:
        """Change a server's name or description; None leaves it. Raises ServerNotReady while it is being deleted."""
        caller.must("workspace:imageServer:update", project_id)
        server = await self._store.servers.get(project_id, server_id)
        given = {"name": name, "description": description}
        changes = {field: value for field, value in given.items() if value is not None}
        now = self._clock()

        def update(tx: Transaction) -> None:
            if not tx.servers.change(server, now, of=ALLOWED[Action.UPDATE], **changes):
                raise refusal(Action.UPDATE, server)

        await self._store.write(update)

    async def build(
        self, caller: Caller, project_id: ProjectId, server_id: str, order: ImageOrder, once: Once | None = None
    ) -> JobId:
        """Build an image of a server; return the job. Raises ServerNotReady unless it is ACTIVE or BUILT."""
        caller.must("workspace:imageServer:recreate", project_id)
        return await self._new_jobs.once(project_id, once, lambda: self._build(project_id, server_id, order, once))

    async def _build(self, project_id: ProjectId, server_id: str, wanted: ImageOrder, once: Once | None) -> JobId:
        server = await self._store.servers.get(project_id, server_id)
        order = {
            "server_id": server.id,
            "image_id": new_uuid(),
            "name": wanted.name,
            "description": wanted.description,
            "execute_sysprep": wanted.sysprep,
            "status_before": server.status,
        }
        now = self._clock()
        job = self._new_jobs.make(JobType.CREATE_SERVER_IMAGE, project_id, [("", wanted.name)], order, now)

        def accept(tx: Transaction) -> None:
            check_images(tx, self._quota, project_id)
            # The status is looked at again where nobody else can change it.
            free = {server.status} & ALLOWED[Action.BUILD]
            if not tx.servers.move(server.id, ServerStatus.BUILDING, now, job=job, of=free, unattended=True):
                if free and tx.attachments.is_going_on(server, now):
                    raise ServerNotReady(f"Applications are being attached to the image server {server.id}.")
                raise refusal(Action.BUILD, server)
            self._new_jobs.accept(tx, job, once)

        await self._store.write(accept)
        return job.id

    async def delete(
        self,
        caller: Caller,
        project_id: ProjectId,
        server_ids: Sequence[str],
        *,
        recursive: bool,
        once: Once | None = None,
    ) -> JobId:
        """Delete servers; return the job. Ids of none are skipped; one that may not be deleted refuses them all."""
        caller.must("workspace:imageServer:batchDelete", project_id)

        async def start() -> JobId:
            while True:
                try:
                    return await self._delete(project_id, server_ids, recursive, once)
                except _Changed:
                    continue  # another request came first; what it left may be skipped, refused or deleted

        return await self._new_jobs.once(project_id, once, start)

    async def _delete(
        self, project_id: ProjectId, server_ids: Sequence[str], recursive: bool, once: Once | None
    ) -> JobId:
        found = [await self._store.servers.find(server_id) for server_id in server_ids]
        servers = [server for server in found if server and server.project_id == project_id]
        servers = [server for server in servers if server.status is not ServerStatus.DELETING]
        for server in servers:
            if server.status not in ALLOWED[Action.DELETE]:
                raise refusal(Action.DELETE, server)
        now = self._clock()
        resources = [(server.id, server.name) for server in servers]
        job = self._new_jobs.make(JobType.DELETE_SERVER, project_id, resources, {"recursive": recursive}, now)

        def accept(tx: Transaction) -> None:
            for server in servers:
                if not tx.servers.move(server.id, ServerStatus.DELETING, now, job=job, of={server.status}):
                    raise _Changed
            self._new_jobs.accept(tx, job, once)

        await self._store.write(accept)
        return job.id

    def _flavour(self, order: ServerOrder) -> Flavour:
        known = ", ".join(flavour.product_id for flavour in self._flavours)
        wanted = {"product_id": order.product_id, "flavor_id": order.flavor_id or order.product_id}
        found = {field: find(self._flavours, value) for field, value in wanted.items()}
        for field, flavour in found.items():
            if flavour is None:
                raise InvalidParameter(field, f"there is no flavour {wanted[field]}; there are {known}")
        flavour = found["flavor_id"]
        assert flavour is not None
        return flavour

    async def _base_image(self, project_id: ProjectId, order: ServerOrder) -> Image:
        try:
            image = await self._store.images.get(project_id, order.image_ref["id"])
        except ImageNotFound as error:
            raise InvalidParameter("image_ref.id", error.message) from None
        if image.image_type != order.image_ref["image_type"]:
            raise InvalidParameter("image_ref.image_type", f"the image {image.id} is {image.image_type}")
        if image.status is not ImageStatus.ACTIVE:
            raise InvalidParameter("image_ref.id", f"the image {image.id} is {image.status}, not active")
        return image

    def _new_server(self, project_id: ProjectId, order: ServerOrder, flavour: Flavour, now: int) -> ImageServer:
        size = {"cpus": flavour.cpus, "memory_mib": flavour.memory_mib, "disk_bytes": order.disk_gb * GIB}
        return ImageServer(
            id=ServerId(self._snowflakes.mint()),
            project_id=project_id,
            name=order.name,
            description=order.description,
            image_ref=order.image_ref,
            authorize_accounts=order.authorize_accounts,
            order={
                **order.rest,
                **size,
                "product_id": order.product_id,
                "flavor_id": order.flavor_id,
                "attach_apps": order.attach_apps,
            },
            server_group_id=new_uuid(),
            enterprise_project_id=order.enterprise_project_id or "0",
            create_time=now,
            update_time=now,
        )


def refusal(action: Action, server: ImageServer) -> ServerNotReady:
    """Return the error that says in which states the action is allowed."""
    allowed = " or ".join(sorted(ALLOWED[action]))
    return ServerNotReady(
        f"To {action} the image server {server.id} it must be {allowed}; it is {server.status}, or has just changed."
    )
