"""`darkroom serve`: runs the service until it is told to stop."""

import os
import signal
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer


def serve(
    ctx: typer.Context,
    data: Annotated[Path | None, typer.Option(help="Folder of all records, machines and images.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.", show_default="8774")
    ] = None,
    driver: Annotated[
        str | None, typer.Option(metavar="qemu|simulated", help="What runs the machines.", show_default="qemu")
    ] = None,
    role: Annotated[
        str | None,
        typer.Option(metavar="all|api|worker", help="Answer requests, run jobs, or both.", show_default="all"),
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(help="URL of a PostgreSQL, for many processes.", show_default="SQLite in the data folder"),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(envvar="DARKROOM_CONFIG", exists=True, dir_okay=False, help="TOML file with more settings."),
    ] = None,
) -> None:
    """Run the service. Every setting can also come from DARKROOM_<SETTING> or the TOML file."""
    if config:
        os.environ["DARKROOM_CONFIG"] = str(config)
    settings = ctx.obj.settings(data=data, host=host, port=port, driver=driver, role=role, database=database)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    with suppress(KeyboardInterrupt):
        from darkroom.app import run  # not above: it brings every room, and other commands need none of them

        run(settings)


def _stop(number: int, frame: FrameType | None) -> None:
    """Being told to stop is the usual end; what is open is closed in order, and the exit code is 0."""
    raise KeyboardInterrupt
