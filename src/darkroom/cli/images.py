"""`darkroom images`: base images in, golden images out."""

import hashlib
import shutil
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from darkroom.cli import complete, find, output
from darkroom.cli.client import Api
from darkroom.cli.failures import Failure
from darkroom.cli.output import Json
from darkroom.cli.transfer import open_file, pieces, take_back, transfer
from darkroom.domain.ids import new_hex

app = typer.Typer(no_args_is_help=True, help="Keep images: import base images, export golden ones, list, delete.")


class Kind(StrEnum):
    """Types of image that may be imported."""

    PRIVATE = "private"
    PUBLIC = "public"
    GOLD = "gold"


Name = Annotated[
    str,
    typer.Argument(
        metavar="ID_OR_NAME", help="Id or name of the image.", autocompletion=complete.images, show_default=False
    ),
]
Names = Annotated[
    list[str],
    typer.Argument(metavar="ID_OR_NAME...", help="Ids or names.", autocompletion=complete.images, show_default=False),
]


@app.command("import")
def import_image(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="A bootable disk, qcow2 or raw.", show_default=False)],
    name: Annotated[str, typer.Option(help="Name of the new image.", show_default=False)],
    kind: Annotated[Kind, typer.Option("--type", help="public and gold: for every project.")] = Kind.PRIVATE,
    description: Annotated[str, typer.Option(help="What it is for.", show_default=False)] = "",
    json: Json = False,
) -> None:
    """Import a disk as an image from which image servers can start."""
    with open_file(file) as (disk, size):
        api = ctx.obj.api()
        order = {"name": name, "__imagetype": kind.value} | ({"description": description} if description else {})
        image_id = api.call("POST", "/v2/images", body=order)["id"]
        try:
            with transfer("importing", size) as advance:
                api.upload(f"/v2/images/{image_id}/file", pieces(disk, advance), size)
            made = api.get(f"/v2/images/{image_id}")
        except BaseException:
            if not take_back(api, f"/v2/images/{image_id}"):
                output.warn(f"A record without a disk is left; remove it with `darkroom images delete {image_id}`.")
            raise
    if json:
        output.dump(made)
    else:
        output.say(f"Image {made['name']} is {made['status']}: {made['id']}")


@app.command("list")
def list_images(ctx: typer.Context, json: Json = False) -> None:
    """List images."""
    found = ctx.obj.api().images()
    if json:
        output.dump(found)
        return
    output.table(
        ("NAME", "ID", "SIZE", "CREATED"),
        [
            (
                image["name"],
                image["id"],
                output.size(image["size"]) if image["status"] == "active" else output.status(image["status"]),
                output.short_time(image["created_at"]),
            )
            for image in found
        ],
        fold="NAME",
        nothing="No images. `darkroom images import` brings one in, `darkroom kit build` makes a tiny one.",
    )


@app.command()
def show(ctx: typer.Context, image: Name, json: Json = False) -> None:
    """Show one image."""
    found = find.image(ctx.obj.api(), image)
    if json:
        output.dump(found)
        return
    output.details(
        {
            "Name": found["name"],
            "Id": found["id"],
            "Status": output.status(found["status"]),
            "Type": found["__imagetype"],
            "Description": found.get("__description") or "",
            "Format": found["disk_format"],
            "Size": output.size(found["size"]),
            "Disk size": output.size(found["virtual_size"]),
            "SHA-256": found.get("os_hash_value") or "",
            "Base image": found.get("base_image_id") or "",
            "Image server": found.get("source_server_id") or "",
            "Generalised": "yes" if found.get("generalised") else "no",
            "Created": output.time(found["created_at"]),
            "Updated": output.time(found["updated_at"]),
        }
    )


@app.command()
def export(
    ctx: typer.Context,
    image: Name,
    file: Annotated[Path, typer.Argument(help="Where to write the qcow2 file.", show_default=False)],
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file if there is one.")] = False,
    json: Json = False,
) -> None:
    """Export an image to a qcow2 file. The file appears only once it is whole and its SHA-256 is right."""
    if file.is_dir():
        raise Failure(f"{file} is a folder; name a file.")
    if file.exists() and not file.is_file():
        raise Failure(f"{file} is no ordinary file; name one that is, or one that does not exist yet.")
    if file.exists() and not force:
        raise Failure(f"{file} exists already.", hint="Overwrite it with --force.")
    api = ctx.obj.api()
    found = find.image(api, image)
    if found["status"] != "active":
        raise Failure(f"The image {found['name']} ({found['id']}) is {found['status']}, not yet usable.")
    _must_fit(file, int(found["size"]))
    partial = file.with_name(f".darkroom-{new_hex()}.partial")  # like no file of anybody's
    try:
        digest = _fetch(api, found, partial)
        if found.get("os_hash_value") and digest != found["os_hash_value"]:
            raise Failure(f"What arrived of {found['name']} is damaged: its SHA-256 is {digest}, not the image's.")
        partial.replace(file)
    except OSError as error:
        raise Failure(f"{file} cannot be written: {error.strerror or error}.") from error
    finally:
        partial.unlink(missing_ok=True)
    if json:
        output.dump(found)
    else:
        output.say(f"Image {found['name']} is in {file}, SHA-256 {digest}")


@app.command()
def delete(ctx: typer.Context, images: Names, yes: output.Yes = False) -> None:
    """Delete images. Image servers that were started from them run on."""
    api = ctx.obj.api()
    found = find.distinct(find.image(api, image) for image in images)
    going = [f"{image['name']}  {image['id']}  {output.size(image['size'])}".rstrip() for image in found]
    output.confirm("These images will be deleted:", going, yes=yes)
    for image in found:
        api.call("DELETE", f"/v2/images/{image['id']}")
        output.say(f"Image {image['name']} is deleted: {image['id']}")


def _fetch(api: Api, image: dict[str, Any], target: Path) -> str:
    digest = hashlib.sha256()
    with (
        target.open("xb") as file,
        api.download(f"/v2/images/{image['id']}/file") as (size, chunks),
        transfer("exporting", size or int(image["size"])) as advance,
    ):
        for chunk in chunks:
            file.write(chunk)
            digest.update(chunk)
            advance(len(chunk))
    return digest.hexdigest()


def _must_fit(file: Path, size: int) -> None:
    try:
        free = shutil.disk_usage(file.parent).free
    except OSError as error:
        raise Failure(f"{file} cannot be written: {error.strerror or error}.") from error
    if free < size:
        raise Failure(f"{file.parent} has {output.size(free)} free; the image needs {output.size(size)}.")
