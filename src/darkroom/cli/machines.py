"""`darkroom servers access`, `ssh`, `screenshot`, `console` and `vnc`: to an image server's machine."""

from pathlib import Path
from typing import Annotated

import typer

from darkroom.cli import console, find, output, ssh, vnc
from darkroom.cli.output import Json
from darkroom.cli.servers import PATH, Name
from darkroom.cli.servers import app as app


@app.command()
def access(
    ctx: typer.Context,
    server: Name,
    key: Annotated[bool, typer.Option("--key", help="Print only the account's private key.")] = False,
    json: Json = False,
) -> None:
    """Show how to log in to an image server. What it prints is secret."""
    api = ctx.obj.api()
    found = api.get(f"{PATH}/{find.server(api, server)['id']}/access")
    if json:
        output.dump(found)
    elif key:
        output.write(found["private_key"].rstrip("\n") + "\n")
    else:
        output.details(
            {
                "Account": found["account"],
                "Password": found["password"],
                "Address": found["address"],
                "Port": str(found["port"]),
                "Host key": found["host_key"],
            }
        )


@app.command("ssh", context_settings={"allow_interspersed_args": False})
def ssh_into(
    ctx: typer.Context,
    server: Name,
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[-- COMMAND...]", help="What to run there; default: a shell.")
    ] = None,
    tty: Annotated[bool, typer.Option("--tty", "-t", help="Give the command a terminal.")] = False,
    forwards: Annotated[
        list[str] | None,
        typer.Option(
            "--forward",
            "-L",
            metavar="PORT:HOST:PORT",
            help="While it lasts, reach by the first port, here, the second one on HOST as the image server sees it.",
        ),
    ] = None,
) -> None:
    """Log in to an image server by SSH, or run a command there. Exits with what ssh exits with.

    Options stand before ID_OR_NAME.
    """
    api = ctx.obj.api()
    found = find.server(api, server)
    door = api.get(f"{PATH}/{found['id']}/access")
    words = command or []
    words = words[1:] if words[:1] == ["--"] else words
    raise typer.Exit(ssh.run(door, found["id"], words, tty=tty, forwards=forwards or ()))


@app.command()
def screenshot(
    ctx: typer.Context,
    server: Name,
    file: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Where the PNG goes.", show_default=False)
    ],
) -> None:
    """Take a picture of an image server's screen."""
    api = ctx.obj.api()
    found = find.server(api, server)
    with api.download(f"{PATH}/{found['id']}/screenshot") as (_, pieces):
        picture = b"".join(pieces)
    file.write_bytes(picture)
    output.note(f"The screen of {found['name']} is in {file}.")


@app.command("console")
def open_console(
    ctx: typer.Context,
    server: Name,
    linger: Annotated[
        float,
        typer.Option(
            min=0, metavar="SECONDS", help="Leave after so long a silence once the input, if piped, has ended."
        ),
    ] = 2.0,
) -> None:
    """Use an image server's serial console; Ctrl-] leaves it. Also works before anybody can log in by SSH."""
    api = ctx.obj.api()
    found = find.server(api, server)
    with api.socket(f"{PATH}/{found['id']}/serial") as line:
        console.use(line, str(found["name"]), linger=linger)


@app.command("vnc")
def forward_screen(
    ctx: typer.Context,
    server: Name,
    listen: Annotated[
        str, typer.Option(metavar="ADDRESS:PORT", help="Where viewers connect; port 0 takes a free one.")
    ] = "127.0.0.1:0",
) -> None:
    """Let VNC viewers on this machine see an image server's screen, until Ctrl-C. They are asked for no password."""
    api = ctx.obj.api()
    found = find.server(api, server)
    vnc.forward(api, f"{PATH}/{found['id']}/screen", listen)
