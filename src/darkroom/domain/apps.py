"""Applications: what the catalogue holds, version by version, to be attached to image servers (contract 3.12)."""

from enum import StrEnum
from typing import Final

import msgspec

from darkroom.domain.ids import AppId, ProjectId, RecordId

#: Where applications lie in a guest, and the list of those that were attached last.
FOLDER: Final = "/opt/darkroom/apps"
LISTING: Final = f"{FOLDER}/apps.json"


class AppKind(StrEnum):
    PACKAGE = "package"  #: lies in the guest for the administrator; nothing is done with it
    SCRIPT = "script"  #: is run in the guest


class AppStatus(StrEnum):
    QUEUED = "queued"  #: it has a record, its file is still to come
    SAVING = "saving"  #: its file is being written
    ACTIVE = "active"  #: whole and usable


class AppRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One version of an application. Size in bytes and SHA-256 are known once it is active; times in milliseconds.

    `arguments` are a script's own. `file_name` is a plain name without folders.
    """

    id: RecordId
    app_id: AppId
    project_id: ProjectId
    name: str
    version: str
    kind: AppKind
    file_name: str
    arguments: tuple[str, ...] = ()
    status: AppStatus = AppStatus.QUEUED
    size: int = 0
    sha256: str = ""
    created_at: int = 0
    updated_at: int = 0

    @property
    def title(self) -> str:
        """What people call it."""
        return f"{self.name} {self.version}"

    @property
    def folder(self) -> str:
        """Its own folder in a guest."""
        return f"{FOLDER}/{self.id}"

    @property
    def path(self) -> str:
        """Where its file lies in a guest."""
        return f"{self.folder}/{self.file_name}"


class AppOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller asks for when adding a version of an application."""

    name: str
    version: str
    kind: AppKind
    file_name: str
    arguments: tuple[str, ...] = ()


class AttachedApp(msgspec.Struct, frozen=True, kw_only=True):
    """A record that was attached to an image server, and its application (contract 3.13)."""

    id: RecordId
    app_id: AppId
