"""Finds the account, project or user that a person means by an id or a name."""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Annotated, Any
from urllib.parse import quote

import typer

from darkroom.cli import output
from darkroom.cli.client import Api
from darkroom.cli.failures import Failure, Refusal

_ID = re.compile(r"[0-9a-f]{32}")

InAccount = Annotated[
    str | None, typer.Option("--account", metavar="ID_OR_NAME", help="In that account; default: in your own.")
]


def account(api: Api, wanted: str) -> dict[str, Any]:
    """Return the account with that id or name. Raises Failure."""
    return _only(api, "account", "/v3/domains", "domain", wanted)


def account_id(api: Api, wanted: str | None) -> str | None:
    """Return the id of an account, None for one's own."""
    return str(account(api, wanted)["id"]) if wanted else None


def project(api: Api, wanted: str, in_account: str | None = None) -> dict[str, Any]:
    """Return the project with that id or name, in the account with that id. Raises Failure."""
    return _only(api, "project", "/v3/projects", "project", wanted, in_account)


def user(api: Api, wanted: str, in_account: str | None = None) -> dict[str, Any]:
    """Return the user with that id or name, in the account with that id. Raises Failure."""
    return _only(api, "user", "/v3/users", "user", wanted, in_account)


def state(found: dict[str, Any]) -> str:
    """Say in a word whether something is enabled."""
    return "enabled" if found["enabled"] else "disabled"


def set_enabled(api: Api, path: str, key: str, found: dict[str, Any], *, enabled: bool) -> None:
    """Disable or enable an account, project or user, and say so."""
    changed = api.call("PATCH", f"{path}/{found['id']}", body={key: {"enabled": enabled}})[key]
    output.say(f"{key_word(key).capitalize()} {changed['name']} is {state(changed)}.")


def key_word(key: str) -> str:
    return "account" if key == "domain" else key


def in_path(text: str) -> str:
    """Return a text that a person gave as one piece of a path."""
    return quote(text, safe="") if text.strip(".") else text.replace(".", "%2E")  # `..` would lead elsewhere


def _only(api: Api, kind: str, path: str, key: str, wanted: str, in_account: str | None = None) -> dict[str, Any]:
    if _ID.fullmatch(wanted) and (found := _by_id(api, f"{path}/{wanted}")):
        return dict(found[key])
    every: Sequence[dict[str, Any]] = api.get(path, domain_id=in_account)[f"{key}s"]
    for each in every:
        if each["name"] == wanted:
            return each
    close = get_close_matches(wanted, [each["name"] for each in every])
    raise Failure(
        f"No {kind} has the id or the name {wanted!r}.",
        hint=f"Did you mean {' or '.join(close)}?" if close else f"`darkroom {kind}s list` shows what there is.",
    )


def _by_id(api: Api, path: str) -> dict[str, Any] | None:
    try:
        answer: dict[str, Any] = api.get(path)
    except Refusal as refusal:
        if refusal.status == 404:
            return None
        raise
    return answer
