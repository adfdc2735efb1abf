"""`darkroom kit`: builds the helper appliance and a tiny base image on this host."""

from pathlib import Path
from typing import Annotated

import typer

from darkroom.cli import output
from darkroom.cli.failures import Failure

app = typer.Typer(no_args_is_help=True, help="Build the helper appliance and a tiny base image on this host.")


@app.callback()
def kit() -> None:
    """Build the helper appliance and a tiny base image on this host."""


@app.command()
def build(
    ctx: typer.Context,
    folder: Annotated[
        Path | None, typer.Option(help="Where they go.", show_default="kit in the service's folder")
    ] = None,
) -> None:
    """Build the kit from Debian packages; needs apt, and no root."""
    target = folder or ctx.obj.settings().kit_folder
    from darkroom.guests import build_kit
    from darkroom.guests.errors import GuestBuildError

    try:
        made = build_kit(target, say=output.note)
    except GuestBuildError as error:
        raise Failure(str(error)) from error
    output.say(str(made))
