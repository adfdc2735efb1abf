"""`darkroom kit`: builds the helper appliance and a tiny base image on this host."""

from pathlib import Path
from typing import Annotated

import typer

from darkroom.cli import output
from darkroom.cli.failures import Failure
from darkroom.cli.output import Json

app = typer.Typer(no_args_is_help=True)


@app.callback()
def kit() -> None:
    """Build the helper appliance and a tiny base image on this host."""


@app.command()
def build(
    ctx: typer.Context,
    folder: Annotated[
        Path | None, typer.Option(help="Where they go.", show_default="darkroom/kit in the cache folder")
    ] = None,
    json: Json = False,
) -> None:
    """Build the kit from Debian packages; needs apt and the network, but not root. Does nothing if it is current."""
    from darkroom import guests

    try:
        made = guests.build_kit(folder or ctx.obj.settings().kit, say=output.note)
    except guests.GuestBuildError as error:
        raise Failure(str(error)) from error
    paths = {"kernel": str(made.appliance.kernel), "initrd": str(made.appliance.initrd), "tiny": str(made.tiny)}
    if json:
        output.dump(paths)
        return
    output.details(
        {"Helper kernel": paths["kernel"], "Helper initrd": paths["initrd"], "Tiny base image": paths["tiny"]}
    )
    output.note(f"Next: darkroom images import {made.tiny} --name tiny --type public")
