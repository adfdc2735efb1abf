"""`darkroom apps`: applications, to be attached to image servers."""

import re
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from darkroom.cli import find, output
from darkroom.cli.failures import Refusal, UsageFailure
from darkroom.cli.output import Json
from darkroom.cli.servers import PATH as SERVERS
from darkroom.cli.servers import Name as Server
from darkroom.cli.transfer import open_file, pieces, take_back, transfer

app = typer.Typer(
    no_args_is_help=True, help="Keep applications: add packages and scripts, attach them to image servers, remove them."
)

PATH = "/v1/{project}/apps"
#: Seconds that an attach may take: the service has limits of its own.
ATTACH_TIMEOUT = 24 * 3600.0

App = Annotated[
    str, typer.Argument(metavar="APP", help="NAME, NAME@VERSION or the id of a record.", show_default=False)
]
Apps = Annotated[
    list[str], typer.Argument(metavar="APP...", help="NAME, NAME@VERSION or ids of records.", show_default=False)
]


@app.command()
def add(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the application.", show_default=False)],
    version: Annotated[str, typer.Option(help="Its version.", show_default=False)],
    package: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A file that is to lie in the guest.", show_default=False)
    ] = None,
    script: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A program to run in the guest.", show_default=False)
    ] = None,
    arguments: Annotated[
        str, typer.Option(help="Arguments of the script, quoted as for a shell.", show_default=False)
    ] = "",
    json: Json = False,
) -> None:
    """Add a version of an application: a package or a script."""
    file = package or script
    if file is None or (package and script):
        raise UsageFailure("Give either --package FILE or --script FILE.")
    try:
        words = shlex.split(arguments)
    except ValueError as error:
        raise UsageFailure(f"--arguments cannot be read: {error}.") from None
    order = {
        "name": name,
        "version": version,
        "kind": "script" if script else "package",
        "file_name": re.sub(r"[^A-Za-z0-9._+~@-]", "_", file.name),
        "arguments": words,
    }
    with open_file(file) as (content, size):
        api = ctx.obj.api()
        record_id = api.call("POST", PATH, body=order)["id"]
        try:
            with transfer("uploading", size) as advance:
                api.upload(f"{PATH}/{record_id}/file", pieces(content, advance), size)
            made = api.get(f"{PATH}/{record_id}")
        except BaseException:
            if not take_back(api, f"{PATH}/{record_id}"):
                output.warn(f"A record without a file is left; remove it with `darkroom apps remove {record_id}`.")
            raise
    if json:
        output.dump(made)
    else:
        output.say(f"Application {made['name']} {made['version']} is {made['status']}: {made['id']}")


@app.command("list")
def list_apps(ctx: typer.Context, json: Json = False) -> None:
    """List applications with their versions, the newest first."""
    found = ctx.obj.api().items(PATH)
    if json:
        output.dump(found)
        return
    output.table(
        ("NAME", "VERSION", "KIND", "ID", "SIZE", "CREATED"),
        [
            (
                record["name"],
                record["version"],
                record["kind"],
                record["id"],
                output.size(record["size"]) if record["status"] == "active" else output.status(record["status"]),
                output.short_time(record["create_time"]),
            )
            for record in found
        ],
        fold="NAME",
        nothing="No applications. `darkroom apps add` takes one in.",
    )


@app.command()
def show(ctx: typer.Context, app: App, json: Json = False) -> None:
    """Show an application, version by version."""
    found = find.apps(ctx.obj.api(), app)
    if json:
        output.dump(found)
        return
    for number, record in enumerate(found):
        if number:
            output.say("")
        output.details(
            {
                "Name": record["name"],
                "Version": record["version"],
                "Record id": record["id"],
                "Application id": record["app_id"],
                "Status": output.status(record["status"]),
                "Kind": record["kind"],
                "File": record["file_name"],
                "Arguments": shlex.join(record["arguments"]),
                "Size": output.size(record["size"]),
                "SHA-256": record["sha256"],
                "Created": output.time(record["create_time"]),
            }
        )


@app.command()
def remove(ctx: typer.Context, apps: Apps, yes: output.Yes = False) -> None:
    """Remove applications: of a NAME all versions. Image servers keep what they have been sent."""
    api = ctx.obj.api()
    found = find.distinct(record for wanted in apps for record in find.apps(api, wanted))
    going = [f"{record['name']}  {record['version']}  {record['id']}" for record in found]
    output.confirm("These versions of applications will be removed:", going, yes=yes)
    for record in found:
        api.call("DELETE", f"{PATH}/{record['id']}")
        output.say(f"Application {record['name']} {record['version']} is removed: {record['id']}")


@app.command()
def attach(ctx: typer.Context, server: Server, apps: Apps, json: Json = False) -> None:
    """Attach applications to an image server, of a NAME the newest version: send the files, then run the scripts."""
    api = ctx.obj.api()
    found = find.server(api, server)
    records = find.distinct(find.apps(api, wanted)[0] for wanted in apps)
    order = {"items": [record["id"] for record in records]}
    answer = api.call("POST", f"{SERVERS}/{found['id']}/actions/attach-app", body=order, patience=ATTACH_TIMEOUT)
    if json:
        output.dump(answer)
        return
    names = ", ".join(f"{record['name']} {record['version']}" for record in records)
    output.say(f"Attached to {found['name']}: {names}. In the guest: {answer['uri']}")


@app.command()
def attached(ctx: typer.Context, server: Server, json: Json = False) -> None:
    """Show what was last attached to an image server."""
    api = ctx.obj.api()
    found = api.get(f"{SERVERS}/{find.server(api, server)['id']}/actions/latest-attached-app")
    if json:
        output.dump(found)
        return
    output.table(
        ("NAME", "VERSION", "ID"),
        [_known(api, item) for item in found["items"]],
        fold="NAME",
        nothing="Nothing has been attached to it.",
    )


def _known(api: Any, item: dict[str, Any]) -> tuple[str, str, str]:
    """Return what is known of an attached record, which may have been removed since."""
    try:
        record = api.get(f"{PATH}/{item['id']}")
    except Refusal as refusal:
        if refusal.status != 404:
            raise
        return "(removed)", "", item["id"]
    return record["name"], record["version"], item["id"]
