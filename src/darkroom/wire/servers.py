"""Image servers on the wire (contract sections 2.11, 3.6 to 3.8, 3.10 and 3.11)."""

from enum import StrEnum
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from darkroom.domain import servers as domain
from darkroom.domain.images import ImageType
from darkroom.errors import InvalidParameter
from darkroom.wire.times import Timestamp, spell

Id = Annotated[str, Meta(min_length=1, max_length=128)]
_Text255 = Annotated[str, Meta(max_length=255)]
Description = _Text255
_Code = Annotated[str, Meta(pattern=r"^\S{0,100}\Z")]
#: What Unicode counts as separators, the contract's `\p{Z}`: unlike `\s`, no control characters.
_BLANKS = r" \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
ServerName = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_\-\u4e00-\u9fa5]+\Z")]
ImageName = Annotated[
    str,
    Meta(min_length=1, max_length=128, pattern=r"^(?! )[ .\-A-Za-z0-9_\u4e00-\u9fa5]*[.\-A-Za-z0-9_\u4e00-\u9fa5]\Z"),
]
ImageDescription = Annotated[str, Meta(max_length=1024, pattern=r"^(?! )[^\r\n<>]*\Z")]

#: What the patterns ask for, in words: by operation, by field.
IN_WORDS: Final = {
    "CreateImageServer": {
        "name": "1 to 64 letters (A-Z, a-z), digits, '_', '-' or Chinese characters",
        "image_ref.spce_code": "at most 100 characters, none of them blank",
        "image_ref.product_id": "at most 100 characters, none of them blank",
        "tags[...].key": "1 to 128 letters, digits, blanks or _.:=+-@, no _sys_ at the beginning, no blank at the end",
        "tags[...].value": "at most 255 letters, digits, blanks or _.:/=+-@",
    },
    "RecreateServerImage": {
        "name": "1 to 128 letters (A-Z, a-z), digits, '-', '.', '_', Chinese characters or, not at the ends, blanks",
        "description": "at most 1024 characters, no blank at the beginning, no line breaks, no '<' or '>'",
    },
}


#: Fields that are kept with the server but not acted on: the driver has no use for them.
_KEPT: Final = (
    "vpc_id",
    "subnet_id",
    "availability_zone",
    "ou_name",
    "is_vdi",
    "scheduler_hints",
    "extra_session_type",
    "extra_session_size",
    "route_policy",
    "root_volume",
    "tags",
)
_OF_SEVERAL_SESSIONS: Final = ("extra_session_type", "extra_session_size", "route_policy")


class VolumeType(StrEnum):
    ESSD = "ESSD"
    SSD = "SSD"
    GPSSD = "GPSSD"
    SAS = "SAS"
    SATA = "SATA"


#: In GB.
VolumeSize = Annotated[int, Meta(ge=10, le=1024, multiple_of=10)]


class Volume(msgspec.Struct):
    type: VolumeType
    size: VolumeSize
    cluster_id: _Text255 | None = None


class ImageRef(msgspec.Struct, kw_only=True):
    id: Id
    image_type: ImageType
    spce_code: _Code | None = ""
    product_id: _Code | None = ""


class ImageAccountInfo(msgspec.Struct, kw_only=True):
    account: Id
    account_type: Literal["USER", "USER_GROUP"]
    domain: Annotated[str, Meta(max_length=64)] | UnsetType | None = UNSET


class RoutePolicy(msgspec.Struct):
    """Terraform sends 0 for the members that are not set (section 7.2): it stands for absent."""

    max_session: Annotated[int, Meta(ge=0, le=1024)] | None = None
    cpu_threshold: Annotated[int, Meta(ge=0, le=100)] | None = None
    mem_threshold: Annotated[int, Meta(ge=0, le=100)] | None = None


class WdhParam(msgspec.Struct):
    dedicated_host_id: _Text255 | None = None
    tenancy: Annotated[str, Meta(min_length=1, max_length=255)] | None = None


class TmsTag(msgspec.Struct):
    key: Annotated[str, Meta(min_length=1, max_length=128, pattern=rf"^(?!_sys_)[\w{_BLANKS}.:=+\-@]*(?<!\s)\Z")]
    value: Annotated[str, Meta(max_length=255, pattern=rf"^[\w{_BLANKS}.:/=+\-@]*\Z")] | None = None


class CreateImageServer(msgspec.Struct, kw_only=True):
    name: ServerName
    description: _Text255 | None = ""
    root_volume: Volume
    image_ref: ImageRef
    vpc_id: Id
    subnet_id: Id
    product_id: Id
    flavor_id: Annotated[str, Meta(min_length=1, max_length=255)] | None = None
    availability_zone: _Text255 | None = ""
    attach_apps: Annotated[list[Id], Meta(max_length=100)] | None = None
    authorize_accounts: Annotated[list[ImageAccountInfo], Meta(min_length=1, max_length=1)]
    ou_name: _Text255 | None = ""
    is_vdi: bool | None = False
    scheduler_hints: WdhParam | None = None
    extra_session_type: Literal["GPU", "CPU"] | None = None
    extra_session_size: Annotated[int, Meta(ge=1, le=10000)] | None = None
    route_policy: RoutePolicy | None = None
    tags: Annotated[list[TmsTag], Meta(max_length=20)] | None = None
    enterprise_project_id: Annotated[str, Meta(max_length=64)] | None = None

    def order(self) -> domain.ServerOrder:
        """Return what is asked for. Raises InvalidParameter for what the types alone cannot tell."""
        self._check()
        sent = _present(self)
        ref = {"id": self.image_ref.id, "image_type": self.image_ref.image_type.value}
        return domain.ServerOrder(
            name=self.name,
            description=self.description or "",
            image_ref=ref
            | {"spce_code": self.image_ref.spce_code or "", "product_id": self.image_ref.product_id or ""},
            product_id=self.product_id,
            flavor_id=self.flavor_id or "",
            disk_gb=self.root_volume.size,
            authorize_accounts=sent["authorize_accounts"],
            attach_apps=self.attach_apps or [],
            enterprise_project_id=self.enterprise_project_id or "",
            rest={field: sent[field] for field in _KEPT if field in sent},
        )

    def _check(self) -> None:
        ref, account = self.image_ref, self.authorize_accounts[0]
        if ref.image_type is ImageType.GOLD and not (ref.spce_code and ref.product_id):
            missing = "spce_code" if not ref.spce_code else "product_id"
            raise InvalidParameter(f"image_ref.{missing}", "an image of type gold needs it")
        if account.account_type != "USER":
            raise InvalidParameter("authorize_accounts[0].account_type", "only USER may sign in to an image server")
        if self.is_vdi:
            self._check_single_session()
        unique("attach_apps", self.attach_apps or [])
        unique("tags", [tag.key for tag in self.tags or []])

    def _check_single_session(self) -> None:
        present = _present(self)
        for field in _OF_SEVERAL_SESSIONS:
            if present.get(field):
                raise InvalidParameter(field, "only an image server with is_vdi false takes it")


class RecreateServerImage(msgspec.Struct, kw_only=True):
    name: ImageName
    description: ImageDescription | None = ""
    enterprise_project_id: Annotated[str, Meta(max_length=64)] | None = None
    execute_sysprep: bool | None = False

    def order(self) -> domain.ImageOrder:
        return domain.ImageOrder(name=self.name, description=self.description or "", sysprep=bool(self.execute_sysprep))


class UpdateImageServer(msgspec.Struct, kw_only=True):
    """What is absent or null stays as it is."""

    name: ServerName | None = None
    description: _Text255 | None = None


class BatchDeleteImageServer(msgspec.Struct, kw_only=True):
    items: Annotated[list[Id], Meta(min_length=1, max_length=20)]
    recursive: bool | None = False


class JobAccepted(msgspec.Struct):
    """The answer of every operation that starts a job."""

    job_id: str


class ImageServer(msgspec.Struct, kw_only=True):
    """An image server, as ShowImageServer and ListImageServers return it."""

    id: Id
    name: str
    description: str
    image_ref: ImageRef
    server_group_id: str
    app_group_id: str
    server_id: str
    instance_id: str
    image_id: str
    status: domain.ServerStatus
    authorize_accounts: Annotated[list[ImageAccountInfo], Meta(min_length=1, max_length=1)]
    create_time: Timestamp
    update_time: Timestamp
    enterprise_project_id: Annotated[str, Meta(max_length=128)]


class ImageServers(msgspec.Struct):
    """A page of image servers; `count` is how many there are in all."""

    count: int
    items: list[ImageServer]


class ServerAccess(msgspec.Struct, kw_only=True):
    """How the authorised account signs in, beside the contract."""

    account: str
    password: str
    private_key: str
    address: str
    port: int
    host_key: str


def server(found: domain.ImageServer) -> ImageServer:
    return ImageServer(
        id=found.id,
        name=found.name,
        description=found.description,
        image_ref=msgspec.convert(found.image_ref, ImageRef),
        server_group_id=found.server_group_id,
        app_group_id=found.app_group_id,
        server_id=found.server_id,
        instance_id=found.instance_id,
        image_id=found.image_id,
        status=found.status,
        authorize_accounts=msgspec.convert(found.authorize_accounts, list[ImageAccountInfo]),
        create_time=spell(found.create_time),
        update_time=spell(found.update_time),
        enterprise_project_id=found.enterprise_project_id,
    )


def access(found: domain.ServerAccess) -> ServerAccess:
    return ServerAccess(
        account=found.account,
        password=found.password,
        private_key=found.private_key,
        address=found.address,
        port=found.port,
        host_key=found.host_key,
    )


def unique(field: str, values: list[str]) -> None:
    """Raise InvalidParameter unless every value is there once."""
    if len(set(values)) != len(values):
        raise InvalidParameter(field, "each may be named once")


def _present(struct: msgspec.Struct) -> dict[str, Any]:
    """Return a struct as plain data without what is absent: null, and the zeros of a route policy."""
    plain = msgspec.to_builtins(struct)
    if plain.get("route_policy"):
        plain["route_policy"] = {name: value for name, value in plain["route_policy"].items() if value}
    return {name: _without_null(value) for name, value in plain.items() if value is not None}


def _without_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_null(member) for name, member in value.items() if member is not None}
    if isinstance(value, list):
        return [_without_null(member) for member in value]
    return value
