"""Images: bootable disks from which image servers start and which they become."""

from enum import StrEnum

import msgspec

from darkroom.domain.ids import ImageId, ProjectId, ServerId


class ImageType(StrEnum):
    GOLD = "gold"  #: from a marketplace
    PUBLIC = "public"  #: for every project
    PRIVATE = "private"  #: for the project that owns it
    SHARED = "shared"
    OTHER = "other"


#: Types that every project may start from; the rest belong to their project alone.
FOR_EVERYONE = frozenset({ImageType.GOLD, ImageType.PUBLIC})


class ImageStatus(StrEnum):
    QUEUED = "queued"  #: it has a record, its bytes are still to come
    SAVING = "saving"  #: its bytes are being written
    ACTIVE = "active"  #: whole, checked and usable


class ImageOrder(StrEnum):
    """What a list of images may be sorted by."""

    CREATED_AT = "created_at"
    NAME = "name"
    SIZE = "size"


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """A disk image. Sizes in bytes, times in milliseconds; sizes and digest are known once it is active.

    `size` is that of the stored qcow2 file, `virtual_size` that of the disk a machine sees.
    """

    id: ImageId
    project_id: ProjectId
    name: str
    description: str = ""
    image_type: ImageType = ImageType.PRIVATE
    status: ImageStatus = ImageStatus.QUEUED
    size: int = 0
    virtual_size: int = 0
    sha256: str = ""
    base_image_id: ImageId | None = None
    source_server_id: ServerId | None = None
    generalised: bool = False
    created_at: int = 0
    updated_at: int = 0
