"""`darkroom accounts`: the accounts, for those who administer the main one."""

from typing import Annotated

import typer

from darkroom.cli import output, who
from darkroom.cli.output import Json

app = typer.Typer(no_args_is_help=True, help="Keep accounts: each has users and projects of its own.")
PATH = "/v3/domains"

Name = Annotated[str, typer.Argument(metavar="ID_OR_NAME", help="Id or name of the account.", show_default=False)]


@app.command("list")
def list_accounts(ctx: typer.Context, json: Json = False) -> None:
    """List accounts."""
    found = ctx.obj.api().get(PATH)["domains"]
    if json:
        output.dump(found)
        return
    output.table(("NAME", "ID", "STATE"), [(each["name"], each["id"], who.state(each)) for each in found], fold="NAME")


@app.command()
def show(ctx: typer.Context, account: Name, json: Json = False) -> None:
    """Show one account with its projects and users."""
    api = ctx.obj.api()
    found = who.account(api, account)
    if json:
        output.dump(found)
        return
    names = {
        kind: ", ".join(each["name"] for each in api.get(f"/v3/{kind}", domain_id=found["id"])[kind])
        for kind in ("projects", "users")
    }
    output.details(
        {
            "Name": found["name"],
            "Id": found["id"],
            "State": who.state(found),
            "Projects": names["projects"],
            "Users": names["users"],
        }
    )


@app.command()
def add(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the new account.", show_default=False)],
    json: Json = False,
) -> None:
    """Add an account with a project for the region. It has no users yet: `darkroom users add` makes one."""
    made = ctx.obj.api().call("POST", PATH, body={"domain": {"name": name}})["domain"]
    if json:
        output.dump(made)
        return
    output.say(f"Account {made['name']} is made: {made['id']}")
    output.note(f"Next: darkroom users add admin --account {made['name']} --role te_admin")


@app.command()
def disable(ctx: typer.Context, account: Name) -> None:
    """Disable an account: nobody of it can do anything, its jobs go on."""
    api = ctx.obj.api()
    who.set_enabled(api, PATH, "domain", who.account(api, account), enabled=False)


@app.command()
def enable(ctx: typer.Context, account: Name) -> None:
    """Enable an account again."""
    api = ctx.obj.api()
    who.set_enabled(api, PATH, "domain", who.account(api, account), enabled=True)


@app.command()
def delete(ctx: typer.Context, account: Name, yes: output.Yes = False) -> None:
    """Delete an account that is disabled and has no projects, with its users."""
    api = ctx.obj.api()
    found = who.account(api, account)
    output.confirm("This account will be deleted with its users:", [f"{found['name']}  {found['id']}"], yes=yes)
    api.call("DELETE", f"{PATH}/{found['id']}")
    output.say(f"Account {found['name']} is deleted: {found['id']}")
