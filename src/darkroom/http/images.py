"""Routes of images: the image service's and Glance's, as far as an image's life needs them (contract section 8)."""

import uuid
from enum import StrEnum
from functools import partial
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute

from darkroom.domain.accounts import Caller
from darkroom.domain.images import ImageOrder, ImageStatus, ImageType
from darkroom.http.answers import JSON
from darkroom.http.operations import Operations
from darkroom.http.parameters import ID_LIMIT, Choice, Number, Text
from darkroom.http.requests import decode, path_id
from darkroom.services.images import Images
from darkroom.wire import images as wire
from darkroom.wire.servers import IN_WORDS

E = TypeVar("E", bound=StrEnum)

IMAGES = "/v2/images"


class Direction(StrEnum):
    ASC = "asc"
    DESC = "desc"


LIMIT = Number("limit", default=100, least=1, most=1000, meaning="How many images to return at most.")
IMS_LIMIT = Number("limit", default=500, least=1, most=1000, meaning="How many images to return at most.")
MARKER = Text("marker", ID_LIMIT, meaning="The id of the image that the page begins after.")
ID = Text("id", ID_LIMIT, meaning="The id.")
NAME = Text("name", ID_LIMIT, meaning="The whole name.")
IMAGE_TYPE = Choice("__imagetype", wire.ImageType)
STATUS = Choice("status", wire.ImageStatus)
#: Filters by what an answer says of an image.
SAID: tuple[Choice[Any] | Text, ...] = (
    IMAGE_TYPE,
    STATUS,
    Text("visibility", ID_LIMIT, meaning="`private` or `public`."),
    Text("__os_type", ID_LIMIT, meaning="`Linux`, as all are said to be."),
    Text("__isregistered", ID_LIMIT, meaning="`true`, as all are said to be."),
    Text("tag", ID_LIMIT, meaning="A tag; no image has one."),
)
SORT_KEY = Choice("sort_key", ImageOrder)
SORT_DIR = Choice("sort_dir", Direction, meaning="`desc`, if it is not given.")


def routes(operations: Operations, images: Images) -> list[BaseRoute]:
    async def add_image(caller: Caller, request: Request, body: bytes) -> Response:
        """Record an image whose bytes are to follow."""
        wanted = decode(request, body, wire.AddImage, IN_WORDS["RecreateServerImage"])
        image_type = ImageType(wanted.image_type or "private")
        image = await images.add(caller, name=wanted.name, description=wanted.description or "", image_type=image_type)
        return JSON(wire.image(image), 201)

    async def list_glance_images(caller: Caller, request: Request) -> Response:
        """Images as Glance lists them, newest first; `next` leads on where there are more."""
        limit = LIMIT.read(request)
        found = await images.page(caller, marker=MARKER.read(request), limit=limit)
        page = wire.CloudImages([wire.image(image) for image in found])
        if len(found) == limit:
            page.next = f"{IMAGES}?limit={limit}&marker={found[-1].id}"
        return JSON(page)

    async def find_images(caller: Caller, request: Request) -> Response:
        """ListImages: images that match all filters."""
        limit, marker = IMS_LIMIT.read(request), MARKER.read(request)
        look = partial(
            images.page,
            caller,
            image_id=ID.read(request),
            name=NAME.read(request),
            image_type=_ours(ImageType, IMAGE_TYPE.read(request)),
            status=_ours(ImageStatus, STATUS.read(request)),
            order=SORT_KEY.read(request) or ImageOrder.CREATED_AT,
            descending=SORT_DIR.read(request) is not Direction.ASC,
        )
        wanted = {each.name: value for each in SAID if (value := each.read(request))}
        at_once = max(limit, LIMIT.default)  # the database knows some of the filters, but not all
        found: list[wire.CloudImage] = []
        more = True
        while more and len(found) < limit:
            page = await look(marker=marker, limit=at_once)
            found += [answer for answer in map(wire.image, page) if wire.says(answer, wanted)]
            more = len(page) == at_once
            marker = page[-1].id if page else ""
        return JSON(wire.CloudImages(found[:limit]))

    async def show_image(caller: Caller, request: Request) -> Response:
        """One image."""
        return JSON(wire.image(await images.show(caller, path_id(request, "image_id"))))

    async def delete_image(caller: Caller, request: Request) -> Response:
        """GlanceDeleteImage: deletes an image; refused while an image server stands on it."""
        image_id = path_id(request, "image_id")
        # The service was seen to answer so for what is no image's id, such as a job's (contract 11, decision 34).
        if _is_uuid(image_id):
            await images.delete(caller, image_id)
        return Response(status_code=204)

    async def upload_image(caller: Caller, request: Request) -> Response:
        """Take the bytes of an image: a qcow2 or raw disk."""
        await images.upload(caller, path_id(request, "image_id"), request.stream())
        return Response(status_code=204)

    async def download_image(caller: Caller, request: Request) -> Response:
        """The bytes of an image: a qcow2 file that stands alone."""
        image, chunks = await images.download(caller, path_id(request, "image_id"))
        return StreamingResponse(
            chunks, media_type="application/octet-stream", headers={"content-length": str(image.size)}
        )

    one, file = f"{IMAGES}/{{image_id}}", f"{IMAGES}/{{image_id}}/file"
    filters = (ID, NAME, *SAID, IMS_LIMIT, MARKER, SORT_KEY, SORT_DIR)
    return [
        operations.read("GET", "/v2/cloudimages", find_images, parameters=filters, answer=wire.CloudImages),
        operations.write("POST", IMAGES, add_image, body=wire.AddImage, answer=wire.CloudImage, status=201),
        operations.read("GET", IMAGES, list_glance_images, parameters=(LIMIT, MARKER), answer=wire.CloudImages),
        operations.read("GET", one, show_image, answer=wire.CloudImage),
        operations.read("DELETE", one, delete_image, status=204),
        operations.stream("PUT", file, upload_image, status=204),
        operations.read("GET", file, download_image, answer=bytes),
    ]


def _ours(among: type[E], value: str | None) -> E | None:
    """Return a value that an image of ours can have, None for others."""
    return next((each for each in among if each == value), None)


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
