"""Routes of images: the image service's and Glance's, as far as an image's life needs them (contract section 8)."""

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute

from darkroom.domain.accounts import Caller
from darkroom.domain.images import ImageType
from darkroom.http.answers import JSON
from darkroom.http.operations import Operations
from darkroom.http.requests import decode, number, path_id, text
from darkroom.services.images import Images
from darkroom.wire import images as wire
from darkroom.wire.servers import IN_WORDS

IMAGES = "/v2/images"


def routes(operations: Operations, images: Images) -> list[BaseRoute]:
    async def add_image(caller: Caller, request: Request, body: bytes) -> Response:
        """Record an image whose bytes are to follow."""
        wanted = decode(request, body, wire.AddImage, IN_WORDS["RecreateServerImage"])
        image_type = ImageType(wanted.image_type or "private")
        image = await images.add(caller, name=wanted.name, description=wanted.description or "", image_type=image_type)
        return JSON(wire.image(image), 201)

    async def list_images(caller: Caller, request: Request) -> Response:
        """Images, newest first; `next` leads on where there are more."""
        limit = number(request, "limit", default=100, least=1, most=1000)
        found = await images.page(caller, marker=text(request, "marker", most=128), limit=limit)
        more = {"next": f"{IMAGES}?limit={limit}&marker={found[-1].id}"} if len(found) == limit else {}
        return JSON({"images": [wire.image(image) for image in found], **more})

    async def show_image(caller: Caller, request: Request) -> Response:
        return JSON(wire.image(await images.show(caller, path_id(request, "image_id"))))

    async def delete_image(caller: Caller, request: Request) -> Response:
        await images.delete(caller, path_id(request, "image_id"))
        return Response(status_code=204)

    async def upload(caller: Caller, request: Request) -> Response:
        """Take the bytes of an image: a qcow2 or raw disk."""
        await images.upload(caller, path_id(request, "image_id"), request.stream())
        return Response(status_code=204)

    async def download(caller: Caller, request: Request) -> Response:
        image, chunks = await images.download(caller, path_id(request, "image_id"))
        return StreamingResponse(
            chunks, media_type="application/octet-stream", headers={"content-length": str(image.size)}
        )

    return [
        operations.write("POST", IMAGES, add_image),
        operations.read("GET", IMAGES, list_images),
        operations.read("GET", f"{IMAGES}/{{image_id}}", show_image),
        operations.read("DELETE", f"{IMAGES}/{{image_id}}", delete_image),
        operations.stream("PUT", f"{IMAGES}/{{image_id}}/file", upload),
        operations.read("GET", f"{IMAGES}/{{image_id}}/file", download),
    ]
