"""Pages of images: their lineage, one image, its file, deleting it."""

from typing import Final

from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute

from darkroom.console.forms import Values
from darkroom.console.lineage import below, lineage
from darkroom.console.pages import Pages, Visit, to
from darkroom.console.rooms import Rooms
from darkroom.console.session import PATH
from darkroom.domain.images import Image
from darkroom.errors import ImageNotFound

IMAGES: Final = f"{PATH}/images"
#: Images that the tree shows at most, the newest.
SHOWN: Final = 500


def routes(make: Pages, rooms: Rooms) -> list[BaseRoute]:
    async def newest(visit: Visit) -> list[Image]:
        return await rooms.images.page(visit.caller, marker="", limit=SHOWN)

    async def list_images(visit: Visit) -> Response:
        found = await newest(visit)
        return visit.page("images.html", rows=lineage(found), count=len(found), is_all=len(found) < SHOWN)

    async def one(visit: Visit) -> Image:
        return await rooms.images.show(visit.caller, visit.id_of("image_id"))

    async def show_image(visit: Visit) -> Response:
        image = await one(visit)
        made = below(lineage(await newest(visit)), image.id)
        return visit.page("image.html", image=image, made=made, base=await _base(rooms, visit, image))

    async def download(visit: Visit) -> Response:
        image, chunks = await rooms.images.download(visit.caller, visit.id_of("image_id"))
        headers = {"content-length": str(image.size), "content-disposition": f'attachment; filename="{image.id}.qcow2"'}
        return StreamingResponse(chunks, media_type="application/octet-stream", headers=headers)

    async def delete_form(visit: Visit) -> Response:
        return visit.page("delete-image.html", image=await one(visit))

    async def delete(visit: Visit, _: Values) -> Response:
        await rooms.images.delete(visit.caller, visit.id_of("image_id"))
        return to(IMAGES)

    path = f"{IMAGES}/{{image_id}}"
    return [
        make.read(IMAGES, list_images),
        make.read(path, show_image),
        make.read(f"{path}/file", download),
        make.read(f"{path}/delete", delete_form),
        make.write(f"{path}/delete", delete),
    ]


async def _base(rooms: Rooms, visit: Visit, image: Image) -> Image | None:
    """Return the image that this one was made from, if it is still there."""
    if not image.base_image_id:
        return None
    try:
        return await rooms.images.show(visit.caller, image.base_image_id)
    except ImageNotFound:
        return None
