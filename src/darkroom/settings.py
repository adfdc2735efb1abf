"""Settings: one frozen object, from `DARKROOM_*` environment variables, then a TOML file, then these defaults."""

import os
import re
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from darkroom.domain.limits import KEEP_LIMIT

_DATABASES = "must be a URL as postgresql://user@host/name or sqlite:////path"


def _default_data() -> Path:
    if os.geteuid() == 0:
        return Path("/var/lib/darkroom")
    state = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(state).expanduser() / "darkroom"


def _default_kit() -> Path:
    if os.geteuid() == 0:
        return Path("/var/cache/darkroom/kit")
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "darkroom" / "kit"


class Settings(BaseSettings):
    """Every field may be set as `DARKROOM_<FIELD>` or in the TOML file that `DARKROOM_CONFIG` names."""

    model_config = SettingsConfigDict(env_prefix="DARKROOM_", frozen=True, extra="forbid")

    data: Path = Field(default_factory=_default_data, description="Folder of all records, machines and images.")
    database: str = Field(
        "", description="URL of the records, `postgresql://…` for many processes; empty: SQLite in the data folder."
    )
    role: Literal["all", "api", "worker"] = Field(
        "all", description="What this process does: answer requests, run jobs, or both; SQLite needs both."
    )
    host: str = Field("127.0.0.1", description="Address the service listens on.")
    port: int = Field(8774, ge=0, le=65535, description="Port the service listens on; 0 takes a free one.")
    driver: Literal["qemu", "simulated"] = Field("qemu", description="What runs the machines.")
    region: str = Field("local-1", description="Name of the region, and of the first project.", min_length=1)

    kit: Path = Field(default_factory=_default_kit, description="Folder of the helper guest and the tiny base image.")
    accelerator: Literal["auto", "kvm", "tcg"] = Field("auto", description="auto: KVM where a trial guest runs on it.")
    qemu_user: str = Field("nobody", description="User that QEMU runs as where the service is root.")

    boot_timeout: float = Field(600, gt=0, description="Seconds a guest may take until its agent answers.")
    login_timeout: float = Field(120, gt=0, description="Seconds a guest may take until it lets the account log in.")
    generalise_timeout: float = Field(300, gt=0, description="Seconds that generalising a disk may take.")
    step_timeout: float = Field(3600, gt=0, description="Seconds that any one step of a job may take.")
    attach_timeout: float = Field(
        300, gt=0, description="Seconds an application may take to be sent to a guest, and its script to run there."
    )
    app_size_limit: int = Field(1 << 30, gt=0, description="Bytes that the file of an application may have.")
    simulated_durations: str = Field("", description="Seconds of the simulated driver's steps: `boot=0,flatten=1.5`.")
    workers: int = Field(4, ge=1, le=256, description="Jobs that this process runs at the same time.")
    poll_interval: float = Field(0.1, gt=0, le=60, description="Seconds between two looks for new jobs.")
    max_machines: int = Field(0, ge=0, description="Machines that may run at one time; more wait. 0: no limit.")
    max_machines_per_project: int = Field(0, ge=0, description="The same for each project.")
    max_builds: int = Field(0, ge=0, description="Images that may be built at one time; more wait. 0: no limit.")
    max_builds_per_project: int = Field(0, ge=0, description="The same for each project.")
    quota_servers: int = Field(0, ge=0, description="Image servers that a project may have. 0: no limit.")
    quota_images: int = Field(0, ge=0, description="Images that a project may have. 0: no limit.")
    quota_image_bytes: int = Field(0, ge=0, description="Bytes of images that a project may have. 0: no limit.")
    reconcile_interval: float = Field(
        60, ge=0, description="Seconds between two comparisons of machines and images with the records; 0: never."
    )
    job_retention_days: int = Field(
        90, ge=0, description="Days for which jobs that have ended are kept, with their history; 0: for ever."
    )
    keep_on_failure: int = Field(
        0,
        ge=0,
        le=KEEP_LIMIT,
        description="Minutes for which the machine of a server that could not be made is kept for inspection.",
    )
    answer_memory: int = Field(
        64 << 20,
        ge=0,
        description="Bytes of answers about jobs kept in memory; on PostgreSQL of those that change no more. 0: none.",
    )
    throttle_reads: int = Field(0, ge=0, description="Reading requests that a user may make in a minute. 0: no limit.")
    throttle_changes: int = Field(0, ge=0, description="Other requests that a user may make in a minute. 0: no limit.")
    webhook_private_addresses: bool = Field(
        False, description="Whether webhooks may lead to private and loopback addresses."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")
    log_format: Literal["auto", "text", "json"] = Field("auto", description="auto: text on a terminal, else JSON.")

    @field_validator("database")
    @classmethod
    def _must_be_known(cls, text: str) -> str:
        """Return the URL as SQLAlchemy spells it; libpq also knows `postgres://…`."""
        if not text:
            return text
        import sqlalchemy as sa  # not above: commands that name no database need not wait for it

        text = re.sub("^postgres:", "postgresql:", text)
        try:
            url = sa.make_url(text)
        except (sa.exc.ArgumentError, ValueError):
            raise ValueError(_DATABASES) from None
        if url.get_backend_name() != "postgresql" and not (url.get_backend_name() == "sqlite" and url.database):
            raise ValueError(_DATABASES)
        return text

    @property
    def database_url(self) -> str:
        """SQLAlchemy's URL of the records."""
        return self.database or f"sqlite:///{quote(str(self.records))}"

    @property
    def records(self) -> Path:
        """The file of the records, unless a database is named."""
        return self.data / "darkroom.db"

    @property
    def is_shared(self) -> bool:
        """Whether other processes may use the same records."""
        return self.database_url.startswith("postgresql")

    @property
    def credentials(self) -> Path:
        """File of the first user's sign-in data, mode 0600."""
        return self.data / "credentials.json"

    @property
    def service_file(self) -> Path:
        """Where a running service says how to reach it."""
        return self.data / "service.json"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        toml = TomlConfigSettingsSource(settings_cls, toml_file=os.environ.get("DARKROOM_CONFIG"))
        return init_settings, env_settings, toml
