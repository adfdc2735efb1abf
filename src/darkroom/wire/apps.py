"""Applications on the wire: attaching them (contract sections 3.12 and 3.13), and the catalogue beside the contract."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from darkroom.domain import apps as domain
from darkroom.wire.servers import Id
from darkroom.wire.times import spell

_Name = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[\w.+@()-](?:[ \w.+@()-]*[\w.+@()-])?\Z")]
_Version = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._+~:-]*\Z")]
_FileName = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_][A-Za-z0-9._+~@-]*\Z")]
_Argument = Annotated[str, Meta(max_length=1024, pattern=r"^[^\x00]*\Z")]

#: What the patterns ask for, in words.
IN_WORDS: Final = {
    "name": "1 to 128 letters, digits, '_', '-', '.', '+', '@', brackets or, not at the ends, blanks",
    "version": "1 to 64 letters (A-Z, a-z), digits or ._+~:-, beginning with a letter or a digit",
    "file_name": "1 to 128 letters (A-Z, a-z), digits or ._+~@-, beginning with a letter, a digit or '_'",
    "arguments[...]": "at most 1024 characters, none of them NUL",
}


class AddApp(msgspec.Struct, kw_only=True):
    """A version of an application whose file is to follow. `file_name` is how the file is to be called in a guest."""

    name: _Name
    version: _Version
    kind: domain.AppKind
    file_name: _FileName
    arguments: Annotated[list[_Argument], Meta(max_length=64)] | None = None

    def order(self) -> domain.AppOrder:
        return domain.AppOrder(
            name=self.name,
            version=self.version,
            kind=self.kind,
            file_name=self.file_name,
            arguments=tuple(self.arguments or ()),
        )


class AppRecord(msgspec.Struct, kw_only=True):
    """A version of an application. `size` in bytes and `sha256` are 0 and empty until its file is there."""

    id: str
    app_id: str
    name: str
    version: str
    kind: str
    file_name: str
    arguments: list[str]
    status: str
    size: int
    sha256: str
    create_time: str
    update_time: str


class AppRecords(msgspec.Struct):
    """A page of records."""

    count: int
    items: list[AppRecord]


class AttachImageServerApp(msgspec.Struct, kw_only=True):
    """Ids of records."""

    items: Annotated[list[Id], Meta(min_length=1, max_length=100)]


class AttachedApps(msgspec.Struct):
    """Where the list of what was attached lies in the guest."""

    uri: str


class LatestApp(msgspec.Struct):
    """A record and its application."""

    id: str
    app_id: str


class LatestApps(msgspec.Struct):
    """What the most recent attach has sent."""

    items: list[LatestApp]


def record(found: domain.AppRecord) -> AppRecord:
    return AppRecord(
        id=found.id,
        app_id=found.app_id,
        name=found.name,
        version=found.version,
        kind=found.kind.value,
        file_name=found.file_name,
        arguments=list(found.arguments),
        status=found.status.value,
        size=found.size,
        sha256=found.sha256,
        create_time=spell(found.created_at),
        update_time=spell(found.updated_at),
    )
