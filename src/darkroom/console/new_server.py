"""The form by which an image server is ordered, with the choices that there are."""

from collections.abc import Sequence
from typing import Final

import msgspec
from starlette.responses import Response
from starlette.routing import BaseRoute

from darkroom.console.forms import WRONG, Form, Values, first
from darkroom.console.once import once_of
from darkroom.console.pages import Pages, Visit, to
from darkroom.console.rooms import Rooms
from darkroom.console.servers import SERVERS
from darkroom.console.session import PATH
from darkroom.domain.apps import AppRecord, AppStatus
from darkroom.domain.flavours import Flavour
from darkroom.domain.ids import new_hex
from darkroom.domain.images import Image, ImageStatus
from darkroom.domain.servers import ServerOrder
from darkroom.errors import Refused
from darkroom.wire import servers as wire

GIB: Final = 1 << 30
#: How many images and applications the form offers at most, newest first.
OFFERED: Final = 200
#: What the form calls the fields that services name in their refusals.
_FIELDS: Final = {
    "name": "name",
    "description": "description",
    "image_ref.id": "image",
    "image_ref.image_type": "image",
    "product_id": "flavour",
    "flavor_id": "flavour",
    "root_volume.size": "disk",
    "attach_apps": "apps",
}


class NewServer(msgspec.Struct, kw_only=True):
    """The form. `disk` in GiB."""

    name: wire.ServerName
    description: wire.Description
    image: wire.Id
    flavour: wire.Id
    disk: wire.VolumeSize
    volume_type: wire.VolumeType
    account: wire.Id
    vpc: wire.Id
    subnet: wire.Id
    apps: list[wire.Id] = msgspec.field(default_factory=list)


#: What the form says before anybody has written into it.
_EMPTY: Final = {
    "name": "",
    "description": "",
    "image": "",
    "flavour": "",
    "disk": 10,
    "volume_type": wire.VolumeType.SAS,
    "account": "builder",
    "vpc": "default",
    "subnet": "default",
    "apps": [],
}


class Choices(msgspec.Struct, frozen=True):
    """What there is to choose from."""

    images: list[Image]
    flavours: Sequence[Flavour]
    apps: list[AppRecord]


def routes(make: Pages, rooms: Rooms, flavours: Sequence[Flavour]) -> list[BaseRoute]:
    async def choices(visit: Visit) -> Choices:
        images = await rooms.images.page(visit.caller, marker="", limit=OFFERED, status=ImageStatus.ACTIVE)
        apps: list[AppRecord] = []
        if visit.caller.may("workspace:app:list"):
            _, apps = await rooms.apps.page(visit.caller, visit.project_id, name="", offset=0, limit=OFFERED)
        return Choices(images, flavours, [app for app in apps if app.status is AppStatus.ACTIVE])

    async def show(visit: Visit) -> Response:
        known = await choices(visit)
        wanted = visit.request.query_params.get("image", "")
        values = {**_EMPTY, "image": wanted, "flavour": flavours[0].product_id, "disk": _fitting(known.images, wanted)}
        return visit.page(
            "new-server.html", choices=known, values=values, errors={}, once=new_hex(), volumes=wire.VolumeType
        )

    async def order(visit: Visit, sent: Values) -> Response:
        known = await choices(visit)
        form = Form(NewServer, sent)
        image = next((image for image in known.images if image.id == form.values["image"]), None)
        if image is None:
            form.errors.setdefault("image", WRONG)
        if not form.errors and image is not None:
            try:
                wanted, once = _order(form.wanted, image), once_of(visit.request, sent)
                job_id = await rooms.servers.create(visit.caller, visit.project_id, wanted, once)
            except Refused as error:
                form.refuse(error, _FIELDS)
            else:
                return to(f"{PATH}/jobs/{job_id}")
        again = {"values": form.values, "errors": form.errors, "once": first(sent, "once")}
        return visit.page("new-server.html", form.status, choices=known, volumes=wire.VolumeType, **again)

    return [make.read(f"{SERVERS}/new", show), make.write(f"{SERVERS}/new", order)]


def _fitting(images: Sequence[Image], wanted: str) -> int:
    """Return the least disk, in GiB, that holds the image; if none is wanted, the one that is offered first."""
    size = next((image.virtual_size for image in images if wanted in ("", image.id)), 0)
    return max(10, -(-size // (10 * GIB)) * 10)


def _order(form: NewServer, image: Image) -> ServerOrder:
    """Return the order that the form stands for: what the API would have made of the same."""
    return wire.CreateImageServer(
        name=form.name,
        description=form.description,
        root_volume=wire.Volume(type=form.volume_type, size=form.disk),
        image_ref=wire.ImageRef(id=image.id, image_type=image.image_type, spce_code="darkroom", product_id=image.id),
        vpc_id=form.vpc,
        subnet_id=form.subnet,
        product_id=form.flavour,
        attach_apps=form.apps,
        authorize_accounts=[wire.ImageAccountInfo(account=form.account, account_type="USER")],
    ).order()
