"""Images on the wire: fields of the image service (contract section 8), with Glance's names for what it leaves open."""

from typing import Any, Literal

import msgspec

from darkroom.domain.images import FOR_EVERYONE, Image
from darkroom.wire.servers import ImageDescription, ImageName
from darkroom.wire.times import spell_seconds

GIB = 1 << 30


class AddImage(msgspec.Struct, kw_only=True):
    name: ImageName
    description: ImageDescription | None = ""
    image_type: Literal["private", "public", "gold"] | None = msgspec.field(default="private", name="__imagetype")


def image(found: Image) -> dict[str, Any]:
    """Return an image as an object of the image service."""
    return {
        "id": found.id,
        "name": found.name,
        "status": found.status.value,
        "visibility": "public" if found.image_type in FOR_EVERYONE else "private",
        "__imagetype": found.image_type.value,
        "__description": found.description,
        "container_format": "bare",
        "disk_format": "qcow2",
        "min_disk": -(-found.virtual_size // GIB),
        "min_ram": 0,
        "size": found.size,
        "virtual_size": found.virtual_size,
        "os_hash_algo": "sha256",
        "os_hash_value": found.sha256,
        "base_image_id": found.base_image_id or "",
        "source_server_id": found.source_server_id or "",
        "generalised": found.generalised,
        "owner": found.project_id,
        "protected": False,
        "tags": [],
        "self": f"/v2/images/{found.id}",
        "file": f"/v2/images/{found.id}/file",
        "created_at": spell_seconds(found.created_at),
        "updated_at": spell_seconds(found.updated_at),
    }
