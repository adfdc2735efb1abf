"""`darkroom roles`: what users may do."""

from typing import Annotated, Any

import typer

from darkroom.cli import output, who
from darkroom.cli.output import Json
from darkroom.cli.who import InAccount

app = typer.Typer(no_args_is_help=True, help="Keep roles: names for what users may do.")
PATH = "/v3/roles"

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the role.", show_default=False)]
Allow = Annotated[
    list[str],
    typer.Option(
        "--allow",
        metavar="ACTION",
        help="An action, * for any text; ! before it takes away. May be repeated.",
        show_default=False,
    ),
]
Description = Annotated[str, typer.Option(help="What it is for.", show_default=False)]


@app.command("list")
def list_roles(ctx: typer.Context, account: InAccount = None, json: Json = False) -> None:
    """List roles: those that every account has, then the account's own."""
    api = ctx.obj.api()
    found = api.get(PATH, domain_id=who.account_id(api, account))["roles"]
    if json:
        output.dump(found)
        return
    rows = [(each["name"], each["description"], " ".join(each["actions"])) for each in found]
    output.table(("NAME", "DESCRIPTION", "ALLOWS"), rows, fold="ALLOWS")


@app.command()
def show(ctx: typer.Context, name: Name, account: InAccount = None, json: Json = False) -> None:
    """Show one role."""
    api = ctx.obj.api()
    found = api.get(f"{PATH}/{who.in_path(name)}", domain_id=who.account_id(api, account))["role"]
    if json:
        output.dump(found)
    else:
        output.details(
            {
                "Name": found["name"],
                "Description": found["description"],
                "Allows": "\n        ".join(found["actions"]),
                "Account": found["domain_id"] or "every one",
            }
        )


@app.command()
def add(
    ctx: typer.Context,
    name: Name,
    allow: Allow,
    description: Description = "",
    account: InAccount = None,
    json: Json = False,
) -> None:
    """Add a role. The actions are in the reference of the API."""
    api = ctx.obj.api()
    order = {"name": name, "actions": allow, "description": description, "domain_id": who.account_id(api, account)}
    _tell(api.call("POST", PATH, body={"role": order})["role"], "made", json=json)


@app.command()
def change(
    ctx: typer.Context,
    name: Name,
    allow: Allow,
    description: Description = "",
    account: InAccount = None,
    json: Json = False,
) -> None:
    """Change what a role allows, for all who have it."""
    api = ctx.obj.api()
    order = {"actions": allow, "description": description, "domain_id": who.account_id(api, account)}
    _tell(api.call("PATCH", f"{PATH}/{who.in_path(name)}", body={"role": order})["role"], "changed", json=json)


@app.command()
def delete(ctx: typer.Context, name: Name, account: InAccount = None, yes: output.Yes = False) -> None:
    """Delete a role, and take it from all who have it."""
    api = ctx.obj.api()
    account_id = who.account_id(api, account)
    found = api.get(f"{PATH}/{who.in_path(name)}", domain_id=account_id)["role"]
    output.confirm("This role will be deleted:", [f"{found['name']}  {' '.join(found['actions'])}"], yes=yes)
    api.call("DELETE", f"{PATH}/{who.in_path(name)}", domain_id=account_id)
    output.say(f"Role {name} is deleted.")


def _tell(role: dict[str, Any], done: str, *, json: bool) -> None:
    if json:
        output.dump(role)
    else:
        output.say(f"Role {role['name']} is {done}: it allows {' '.join(role['actions'])}")
