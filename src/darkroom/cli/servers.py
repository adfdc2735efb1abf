"""`darkroom servers`: image servers, from their creation by way of the image built of them to their end."""

from typing import Annotated, Any

import typer

from darkroom.cli import broken, complete, find, jobs, output
from darkroom.cli.failures import Failure, UsageFailure
from darkroom.cli.jobs import Wait
from darkroom.cli.output import Json

app = typer.Typer(
    no_args_is_help=True, help="Prepare golden images: create image servers, log in, build images, delete them."
)

PATH = "/v1/{project}/image-servers"
GIB = 2**30
#: Stands for what the contract demands and Darkroom has no use for: networks, a market place.
LOCAL = "local"

Name = Annotated[
    str,
    typer.Argument(
        metavar="ID_OR_NAME",
        help="Id or name of the image server.",
        autocompletion=complete.servers,
        show_default=False,
    ),
]
Names = Annotated[
    list[str],
    typer.Argument(
        metavar="ID_OR_NAME...",
        help="Ids or names of image servers.",
        autocompletion=complete.servers,
        show_default=False,
    ),
]
Description = Annotated[str, typer.Option(help="What it is for.", show_default=False)]


@app.command()
def create(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the new image server.", show_default=False)],
    image: Annotated[
        str,
        typer.Option(
            metavar="ID_OR_NAME", help="Base image it starts from.", autocompletion=complete.images, show_default=False
        ),
    ],
    flavor: Annotated[str, typer.Option(help="How much processor and memory it gets.")] = "darkroom.tiny",
    disk: Annotated[
        int | None,
        typer.Option(
            min=10, metavar="GB", help="Disk size, a multiple of 10; default: the least that holds the image."
        ),
    ] = None,
    account: Annotated[str, typer.Option(help="Account made in it, an administrator.")] = "builder",
    attach: Annotated[
        list[str] | None,
        typer.Option(metavar="APP", help="Application to attach, NAME, NAME@VERSION or record id; may be repeated."),
    ] = None,
    description: Description = "",
    keep_on_failure: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="MINUTES",
            help="Keep the machine for so long if it cannot be made; default: as the service is configured.",
            show_default=False,
        ),
    ] = None,
    wait: Wait = False,
    json: Json = False,
) -> None:
    """Create an image server from a base image."""
    if disk is not None and disk % 10:
        raise UsageFailure(f"--disk must be a multiple of 10, not {disk}.")
    api = ctx.obj.api()
    base = find.image(api, image)
    if base["status"] != "active":
        raise Failure(f"The image {base['name']} ({base['id']}) is {base['status']}, not yet usable.")
    kind = base.get("__imagetype", "private")
    market = {"spce_code": LOCAL, "product_id": LOCAL} if kind == "gold" else {}  # wanted of these by the contract
    order = {
        "name": name,
        "description": description,
        "product_id": flavor,
        "vpc_id": LOCAL,
        "subnet_id": LOCAL,
        "root_volume": {"type": "SAS", "size": disk or least_disk(base)},
        "image_ref": {"id": base["id"], "image_type": kind, **market},
        "authorize_accounts": [{"account": account, "account_type": "USER"}],
        "is_vdi": True,
    }
    if attach:
        order["attach_apps"] = [find.apps(api, wanted)[0]["id"] for wanted in attach]
    kept = {} if keep_on_failure is None else {"Darkroom-Keep-On-Failure": str(keep_on_failure)}
    job_id = api.call("POST", PATH, body=order, headers=kept)["job_id"]
    jobs.accepted(api, job_id, wait=wait, json=json)


def least_disk(image: dict[str, Any]) -> int:
    """Return the smallest disk, in the contract's multiples of 10 GB, that holds the image."""
    needed = max(-(-int(image.get("virtual_size") or 0) // GIB), int(image.get("min_disk") or 0), 1)
    return -(-needed // 10) * 10


@app.command("list")
def list_servers(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Option(metavar="PART", help="Only those with this in their name.")] = None,
    json: Json = False,
) -> None:
    """List image servers, the newest first."""
    found = ctx.obj.api().items(PATH, server_name=name)
    if json:
        output.dump(found)
        return
    output.table(
        ("NAME", "ID", "STATUS", "ACCOUNT", "CREATED"),
        [
            (
                server["name"],
                server["id"],
                output.status(server["status"]),
                _account(server),
                output.short_time(server["create_time"]),
            )
            for server in found
        ],
        fold="NAME",
        nothing="No image servers.",
    )


@app.command()
def show(ctx: typer.Context, server: Name, json: Json = False) -> None:
    """Show one image server; of one in ERROR, why."""
    api = ctx.obj.api()
    found = find.server(api, server)
    if json:
        output.dump(found)
        return
    output.details(
        {
            "Name": found["name"],
            "Id": found["id"],
            "Status": output.status(found["status"]),
            "Why": broken.why(api, found),
            "Description": found["description"],
            "Account": _account(found),
            "Base image": f"{found['image_ref']['id']} ({found['image_ref']['image_type']})",
            "Image built": found["image_id"],
            "Machine": found["instance_id"],
            "Created": output.time(found["create_time"]),
            "Updated": output.time(found.get("update_time")),
        }
    )


@app.command()
def events(
    ctx: typer.Context,
    server: Name,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest first.")] = 20,
    json: Json = False,
) -> None:
    """Show what has happened to an image server, the newest first."""
    api = ctx.obj.api()
    found = api.items(f"{PATH}/{find.server(api, server)['id']}/events", limit=limit)
    if json:
        output.dump(found)
        return
    output.table(
        ("TIME", "EVENT", "JOB", "PARTICULARS"),
        [
            (output.time(event["time"]), event["kind"], event.get("job_id", ""), _particulars(event["data"]))
            for event in found
        ],
        fold="PARTICULARS",
    )


def _particulars(data: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in data.items() if value not in ("", []))


@app.command()
def build(
    ctx: typer.Context,
    server: Name,
    name: Annotated[str, typer.Option(metavar="IMAGE_NAME", help="Name of the new image.", show_default=False)],
    description: Description = "",
    sysprep: Annotated[
        bool, typer.Option("--sysprep/--no-sysprep", help="Take out what makes it one machine's own: ids, keys, logs.")
    ] = True,
    wait: Wait = False,
    json: Json = False,
) -> None:
    """Build an image from an image server as it is now; the server runs on."""
    api = ctx.obj.api()
    found = find.server(api, server)
    order = {"name": name, "description": description, "execute_sysprep": sysprep}
    job_id = api.call("POST", f"{PATH}/{found['id']}/actions/recreate-image", body=order)["job_id"]
    jobs.accepted(api, job_id, wait=wait, json=json)


@app.command()
def delete(
    ctx: typer.Context,
    servers: Names,
    recursive: Annotated[
        bool,
        typer.Option("--recursive/--keep-machine", help="Delete the machine and its disk too, or keep them."),
    ] = True,
    yes: output.Yes = False,
    wait: Wait = False,
    json: Json = False,
) -> None:
    """Delete image servers. Images built from them stay."""
    api = ctx.obj.api()
    found = find.distinct(find.server(api, server) for server in servers)
    what = "with their machines and disks" if recursive else "keeping their machines' disks"
    going = [f"{server['name']}  {server['id']}  {server['status']}" for server in found]
    output.confirm(f"These image servers will be deleted, {what}:", going, yes=yes)
    order = {"items": [server["id"] for server in found], "recursive": recursive}
    job_id = api.call("PATCH", f"{PATH}/actions/batch-delete", body=order)["job_id"]
    jobs.accepted(api, job_id, wait=wait, json=json)


def _account(server: dict[str, Any]) -> str:
    return ", ".join(str(account["account"]) for account in server["authorize_accounts"])
