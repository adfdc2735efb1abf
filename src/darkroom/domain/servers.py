"""Image servers: the records of machines on which golden images are prepared."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

import msgspec

from darkroom.domain.ids import ImageId, ProjectId, ServerId


class ServerStatus(StrEnum):
    CREATING = "CREATING"
    ACTIVE = "ACTIVE"
    BUILDING = "BUILDING"  #: an image is being made of it
    BUILT = "BUILT"  #: an image has been made of it
    ERROR = "ERROR"
    DELETING = "DELETING"


#: Has a machine that runs; one that is CREATING has it soon.
WITH_MACHINES: Final = (ServerStatus.ACTIVE, ServerStatus.BUILDING, ServerStatus.BUILT, ServerStatus.DELETING)


#: Has a machine that runs, and no job is about it.
IDLE: Final = frozenset({ServerStatus.ACTIVE, ServerStatus.BUILT})


class Action(StrEnum):
    """What a caller may ask of an image server, as its refusals name it."""

    UPDATE = "update"
    BUILD = "build an image of"
    DELETE = "delete"
    ATTACH = "attach applications to"
    WATCH = "open a screen or console of"


#: The states in which an action is allowed (contract section 6.1).
ALLOWED: Final[Mapping[Action, frozenset[ServerStatus]]] = {
    Action.UPDATE: frozenset(ServerStatus) - {ServerStatus.DELETING},
    Action.BUILD: frozenset({ServerStatus.ACTIVE, ServerStatus.BUILT}),
    Action.DELETE: frozenset({ServerStatus.ACTIVE, ServerStatus.BUILT, ServerStatus.ERROR}),
    Action.ATTACH: frozenset({ServerStatus.ACTIVE, ServerStatus.BUILT}),
    Action.WATCH: frozenset(ServerStatus) - {ServerStatus.DELETING},
}


class ServerOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller asks for when creating an image server. `disk_gb` in GiB; `rest` is kept, but not acted on."""

    name: str
    description: str
    image_ref: dict[str, Any]
    product_id: str
    flavor_id: str
    disk_gb: int
    authorize_accounts: list[dict[str, Any]]
    attach_apps: list[str]
    enterprise_project_id: str
    rest: dict[str, Any]


class ImageOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller asks for when building an image of a server; `sysprep` is to generalise it."""

    name: str
    description: str
    sysprep: bool


class ImageServer(msgspec.Struct, frozen=True, kw_only=True):
    """An image server's record. Times in milliseconds; ids not known yet are empty.

    `id` names the record; `server_id` is the APS server's name in the contract's vocabulary, `instance_id` the machine.
    `image_ref` and `authorize_accounts` are kept as they were sent; `order` is the rest of the create request.
    """

    id: ServerId
    project_id: ProjectId
    name: str
    description: str = ""
    status: ServerStatus = ServerStatus.CREATING
    image_ref: dict[str, Any]
    authorize_accounts: list[dict[str, Any]]
    order: dict[str, Any]
    server_group_id: str = ""
    app_group_id: str = ""
    server_id: str = ""
    instance_id: str = ""
    image_id: str = ""
    enterprise_project_id: str = "0"
    create_time: int
    update_time: int

    @property
    def base_image_id(self) -> ImageId:
        return ImageId(self.image_ref["id"])

    @property
    def account_name(self) -> str:
        """The one account that may log on to it."""
        return str(self.authorize_accounts[0]["account"])


class ServerAccess(msgspec.Struct, frozen=True, kw_only=True):
    """How the authorised account reaches an image server by SSH. Secret: shown only to who may see it.

    The keys are OpenSSH's: a PEM block and one-line public forms. `port` is 0 until the account has been admitted.
    """

    account: str
    password: str
    private_key: str
    public_key: str
    address: str = ""
    port: int = 0
    host_key: str = ""

    def with_door(self, address: str, port: int, host_key: str) -> "ServerAccess":
        """Return the same with where to log in, and by which host key to know the place."""
        return msgspec.structs.replace(self, address=address, port=port, host_key=host_key)
