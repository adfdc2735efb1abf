"""Images on the wire: fields of the image service (contract section 8), with Glance's names for what it leaves open."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from darkroom.domain import images as domain
from darkroom.wire.servers import ImageDescription, ImageName
from darkroom.wire.times import spell_seconds

GIB = 1 << 30


class ImageType(StrEnum):
    """What may be looked for: the image service's types and ours."""

    GOLD = "gold"
    PRIVATE = "private"
    SHARED = "shared"
    MARKET = "market"
    PUBLIC = "public"
    OTHER = "other"


class ImageStatus(StrEnum):
    """What may be looked for: no image is `deleted` or `killed`."""

    QUEUED = "queued"
    SAVING = "saving"
    DELETED = "deleted"
    KILLED = "killed"
    ACTIVE = "active"


class AddImage(msgspec.Struct, kw_only=True):
    name: ImageName
    description: ImageDescription | None = ""
    image_type: Literal["private", "public", "gold"] | None = field(default="private", name="__imagetype")


class CloudImage(msgspec.Struct, kw_only=True):
    """An image. Sizes in bytes, but for `min_disk` in GB."""

    id: str
    name: str
    status: domain.ImageStatus
    visibility: Literal["private", "public"]
    image_type: domain.ImageType = field(name="__imagetype")
    description: str = field(name="__description")
    os_type: str = field(default="Linux", name="__os_type")
    is_registered: str = field(default="true", name="__isregistered")
    container_format: str = "bare"
    disk_format: str = "qcow2"
    min_disk: Annotated[int, Meta(ge=0)]
    min_ram: int = 0
    size: Annotated[int, Meta(ge=0)]
    virtual_size: Annotated[int, Meta(ge=0)]
    os_hash_algo: str = "sha256"
    os_hash_value: str
    base_image_id: str
    source_server_id: str
    generalised: bool
    owner: str
    protected: bool = False
    tags: list[str] = field(default_factory=list)
    enterprise_project_id: str = "0"
    self_link: str = field(name="self")
    file: str
    created_at: str
    updated_at: str


class CloudImages(msgspec.Struct):
    """A page of images; `next` leads on where there are more."""

    images: list[CloudImage]
    next: str | UnsetType = UNSET


def says(answer: CloudImage, wanted: Mapping[str, str]) -> bool:
    """Tell whether an answer says of an image what is wanted, by the names on the wire; of a `tag` none does."""
    said: dict[str, Any] = msgspec.to_builtins(answer)
    return wanted.items() <= said.items()


def image(found: domain.Image) -> CloudImage:
    return CloudImage(
        id=found.id,
        name=found.name,
        status=found.status,
        visibility="public" if found.image_type in domain.FOR_EVERYONE else "private",
        image_type=found.image_type,
        description=found.description,
        min_disk=-(-found.virtual_size // GIB),
        size=found.size,
        virtual_size=found.virtual_size,
        os_hash_value=found.sha256,
        base_image_id=found.base_image_id or "",
        source_server_id=found.source_server_id or "",
        generalised=found.generalised,
        owner=found.project_id,
        self_link=f"/v2/images/{found.id}",
        file=f"/v2/images/{found.id}/file",
        created_at=spell_seconds(found.created_at),
        updated_at=spell_seconds(found.updated_at),
    )
