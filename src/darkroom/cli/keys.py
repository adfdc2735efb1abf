"""`darkroom keys`: permanent access keys of users."""

import json as json_text
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from darkroom.cli import output, who
from darkroom.cli.failures import Failure
from darkroom.cli.output import Json
from darkroom.cli.who import InAccount

app = typer.Typer(no_args_is_help=True, help="Keep access keys: with one a program signs its requests as a user.")
PATH = "/v3.0/OS-CREDENTIAL/credentials"

Access = Annotated[str, typer.Argument(metavar="ACCESS_KEY", help="The access key (AK).", show_default=False)]
OfUser = Annotated[str | None, typer.Option("--user", metavar="ID_OR_NAME", help="Whose keys; default: your own.")]


@app.command("list")
def list_keys(ctx: typer.Context, user: OfUser = None, account: InAccount = None, json: Json = False) -> None:
    """List a user's access keys."""
    api = ctx.obj.api()
    user_id = who.user(api, user, who.account_id(api, account))["id"] if user else None
    found = api.get(PATH, user_id=user_id)["credentials"]
    if json:
        output.dump(found)
        return
    rows = [
        (each["access"], each["status"], output.short_time(each["create_time"]), each["description"]) for each in found
    ]
    output.table(("ACCESS KEY", "STATE", "CREATED", "DESCRIPTION"), rows, fold="DESCRIPTION", nothing="No access keys.")


@app.command()
def add(
    ctx: typer.Context,
    user: Annotated[str, typer.Option(metavar="ID_OR_NAME", help="Who signs with it.", show_default=False)],
    description: Annotated[str, typer.Option(help="What it is for.", show_default=False)] = "",
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Write it to this new file, for --credentials, and do not show it.", dir_okay=False),
    ] = None,
    project: Annotated[
        str | None, typer.Option(metavar="ID_OR_NAME", help="The project that --out names; default: yours.")
    ] = None,
    account: InAccount = None,
    json: Json = False,
) -> None:
    """Give a user an access key. Its secret key is shown this once."""
    api = ctx.obj.api()
    account_id = who.account_id(api, account)
    found = who.user(api, user, account_id)
    place = who.project(api, project or ctx.obj.credentials().project_id, account_id)
    order = {"credential": {"user_id": found["id"], "description": description}}
    if out is None:
        made = api.call("POST", PATH, body=order)["credential"]
    else:
        with _new_file(out) as file:
            made = api.call("POST", PATH, body=order)["credential"]
            json_text.dump(_credentials(found, place, made), file, indent=2)
            file.write("\n")
        made.pop("secret")
    if json:
        output.dump(made)
        return
    output.details(
        {
            "User": found["name"],
            "Access key": made["access"],
            "Secret key": made.get("secret", ""),
            "File": str(out or ""),
        }
    )
    if out is None:
        output.note("The secret key is shown this once.")


@app.command()
def disable(ctx: typer.Context, access: Access) -> None:
    """Disable an access key."""
    _set_status(ctx, access, "inactive")


@app.command()
def enable(ctx: typer.Context, access: Access) -> None:
    """Enable an access key again."""
    _set_status(ctx, access, "active")


@app.command()
def delete(ctx: typer.Context, access: Access, yes: output.Yes = False) -> None:
    """Delete an access key."""
    api = ctx.obj.api()
    found = api.get(f"{PATH}/{who.in_path(access)}")["credential"]
    output.confirm("This access key will be deleted:", [f"{found['access']}  {found['description']}"], yes=yes)
    api.call("DELETE", f"{PATH}/{who.in_path(access)}")
    output.say(f"Access key {access} is deleted.")


def _set_status(ctx: typer.Context, access: str, status: str) -> None:
    changed = ctx.obj.api().call("PUT", f"{PATH}/{who.in_path(access)}", body={"credential": {"status": status}})[
        "credential"
    ]
    output.say(f"Access key {changed['access']} is {changed['status']}.")


def _credentials(user: dict[str, Any], project: dict[str, Any], key: dict[str, Any]) -> dict[str, str]:
    return {
        "user": user["name"],
        "user_id": user["id"],
        "account_id": user["domain_id"],
        "project": project["name"],
        "project_id": project["id"],
        "access_key": key["access"],
        "secret_key": key["secret"],
    }


@contextmanager
def _new_file(path: Path) -> Iterator[TextIO]:
    """Make a file for its owner alone, before there is a key that would be lost without it."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise Failure(f"{path} exists already.") from None
    except OSError as error:
        raise Failure(f"{path} cannot be written: {error.strerror or error}.") from error
    try:
        with os.fdopen(handle, "w") as file:
            yield file
    except BaseException:
        path.unlink(missing_ok=True)
        raise
