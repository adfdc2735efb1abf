"""Finds the one image or image server that a person means by an id or a name."""

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any

from darkroom.cli.client import Api
from darkroom.cli.failures import Failure, Refusal

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_SNOWFLAKE = re.compile(r"\d{15,20}")


def image(api: Api, wanted: str) -> dict[str, Any]:
    """Return the image with that id or that unique name; of several, the only usable one. Raises Failure."""
    if _UUID.fullmatch(wanted) and (found := _by_id(api, f"/v2/images/{wanted}")):
        return found
    every = api.images()
    named = [image for image in every if image["name"] == wanted]
    usable = [image for image in named if image["status"] == "active"]
    return _only(usable if len(usable) == 1 else named, wanted, "image", every)


def server(api: Api, wanted: str) -> dict[str, Any]:
    """Return the image server with that id or that unique name. Raises Failure."""
    if _SNOWFLAKE.fullmatch(wanted) and (found := _by_id(api, f"/v1/{{project}}/image-servers/{wanted}")):
        return found
    named = api.items("/v1/{project}/image-servers", server_name=wanted)
    exact = [server for server in named if server["name"] == wanted]
    return _only(exact, wanted, "image server", named or api.items("/v1/{project}/image-servers", limit=100))


def apps(api: Api, wanted: str) -> list[dict[str, Any]]:
    """Return the records of an application, newest first: of that record's id, NAME@VERSION or NAME. Raises Failure."""
    if _SNOWFLAKE.fullmatch(wanted) and (found := _by_id(api, f"/v1/{{project}}/apps/{wanted}")):
        return [found]
    if named := api.items("/v1/{project}/apps", name=wanted):
        return named
    name, _, version = wanted.rpartition("@")
    named = api.items("/v1/{project}/apps", name=name) if name else []
    if exact := [record for record in named if record["version"] == version]:
        return exact
    versions = ", ".join(record["version"] for record in named)
    raise Failure(
        f"No application has the id or the name {wanted!r}.",
        hint=f"{name} has the versions {versions}." if named else "`darkroom apps list` shows what there is.",
    )


def distinct(found: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the objects, each once."""
    return list({item["id"]: item for item in found}.values())


def _by_id(api: Api, path: str) -> dict[str, Any] | None:
    try:
        answer: dict[str, Any] = api.get(path)
    except Refusal as refusal:
        if refusal.status == 404:
            return None
        raise
    return answer


def _only(found: Sequence[dict[str, Any]], wanted: str, kind: str, every: Sequence[dict[str, Any]]) -> dict[str, Any]:
    if len(found) == 1:
        return found[0]
    if found:
        lines = "\n".join(f"  {item['id']}  {item['status']}  {_stamp(item)}".rstrip() for item in found)
        raise Failure(f"{len(found)} {kind}s are called {wanted!r}; name one by its id:\n{lines}")
    names = sorted({str(item["name"]) for item in every})
    close = get_close_matches(wanted, names) or ([name for name in names if wanted.casefold() in name.casefold()][:3])
    listing = "images list" if kind == "image" else "servers list"
    raise Failure(
        f"No {kind} has the id or the name {wanted!r}.",
        hint=f"Did you mean {' or '.join(close)}?" if close else f"`darkroom {listing}` shows what there is.",
    )


def _stamp(item: dict[str, Any]) -> str:
    return str(item.get("created_at") or item.get("create_time") or "")
