"""`darkroom images`: base images in, golden images out."""

import hashlib
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, ProgressColumn, Task, TaskID, TimeRemainingColumn
from rich.text import Text

from darkroom.cli import find, output
from darkroom.cli.client import Api
from darkroom.cli.failures import Failure, NoService, Refusal
from darkroom.cli.output import Json

app = typer.Typer(no_args_is_help=True, help="Keep images: import base images, export golden ones, list, delete.")

CHUNK = 2**20
#: How often, and seconds apart, the record of a failed import is tried to be deleted.
TRIES, PAUSE = 20, 0.25


class Kind(StrEnum):
    """Types of image that may be imported."""

    PRIVATE = "private"
    PUBLIC = "public"
    GOLD = "gold"


Name = Annotated[str, typer.Argument(metavar="ID_OR_NAME", help="Id or name of the image.", show_default=False)]
Names = Annotated[list[str], typer.Argument(metavar="ID_OR_NAME...", help="Ids or names.", show_default=False)]


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
    with _open_disk(file) as (disk, size):
        api = ctx.obj.api()
        order = {"name": name, "__imagetype": kind.value} | ({"description": description} if description else {})
        image_id = api.call("POST", "/v2/images", body=order)["id"]
        try:
            with _transfer("importing", size) as advance:
                api.upload(f"/v2/images/{image_id}/file", _pieces(disk, advance), size)
            made = api.get(f"/v2/images/{image_id}")
        except BaseException:
            _take_back(api, image_id)
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
    if file.exists() and not force:
        raise Failure(f"{file} exists already.", hint="Overwrite it with --force.")
    api = ctx.obj.api()
    found = find.image(api, image)
    if found["status"] != "active":
        raise Failure(f"The image {found['name']} ({found['id']}) is {found['status']}, not yet usable.")
    _must_fit(file, int(found["size"]))
    partial = file.with_name(file.name + ".partial")
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


@contextmanager
def _open_disk(file: Path) -> Iterator[tuple[BinaryIO, int]]:
    try:
        with file.open("rb") as disk:
            size = file.stat().st_size
            if not file.is_file() or not size:
                raise Failure(f"{file} is {'empty' if file.is_file() else 'no ordinary file'}.")
            yield disk, size
    except OSError as error:
        raise Failure(f"{file} cannot be read: {error.strerror or error}.") from error


def _take_back(api: Api, image_id: str) -> None:
    """Delete the record of an import that failed; the service may need a moment to see that no more bytes come."""
    for _ in range(TRIES):
        try:
            api.call("DELETE", f"/v2/images/{image_id}")
        except NoService:
            break
        except Refusal as refusal:
            if refusal.status == 404:
                return
            time.sleep(PAUSE)
        else:
            return
    output.warn(f"A record without a disk is left; remove it with `darkroom images delete {image_id}`.")


class _Speed(ProgressColumn):
    """How fast it goes, in the same units as everything else."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{output.size(int(speed))}/s" if speed else "")


class _Advance:
    """Told how many bytes have been moved."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def __call__(self, count: int) -> None:
        self._progress.advance(self._task, count)


@contextmanager
def _transfer(what: str, size: int) -> Iterator[_Advance]:
    console = output.err()
    columns = (BarColumn(bar_width=30), DownloadColumn(binary_units=True), _Speed(), TimeRemainingColumn())
    shown = console.is_terminal
    with Progress("{task.description}", *columns, console=console, transient=True, disable=not shown) as progress:
        yield _Advance(progress, progress.add_task(what, total=size or None))


def _pieces(disk: BinaryIO, advance: _Advance) -> Iterator[bytes]:
    while chunk := disk.read(CHUNK):
        yield chunk
        advance(len(chunk))


def _fetch(api: Api, image: dict[str, Any], target: Path) -> str:
    digest = hashlib.sha256()
    with (
        target.open("wb") as file,
        api.download(f"/v2/images/{image['id']}/file") as (size, chunks),
        _transfer("exporting", size or int(image["size"])) as advance,
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
