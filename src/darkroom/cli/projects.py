"""`darkroom projects`: the projects of an account."""

from typing import Annotated

import typer

from darkroom.cli import output, who
from darkroom.cli.output import Json
from darkroom.cli.who import InAccount

app = typer.Typer(no_args_is_help=True, help="Keep projects: each has image servers, images and jobs of its own.")
PATH = "/v3/projects"

Name = Annotated[str, typer.Argument(metavar="ID_OR_NAME", help="Id or name of the project.", show_default=False)]


@app.command("list")
def list_projects(ctx: typer.Context, account: InAccount = None, json: Json = False) -> None:
    """List the projects that you may know of."""
    api = ctx.obj.api()
    found = api.get(PATH, domain_id=who.account_id(api, account))["projects"]
    if json:
        output.dump(found)
        return
    rows = [(each["name"], each["id"], who.state(each), each["description"]) for each in found]
    output.table(("NAME", "ID", "STATE", "DESCRIPTION"), rows, fold="DESCRIPTION", nothing="No projects.")


@app.command()
def show(ctx: typer.Context, project: Name, account: InAccount = None, json: Json = False) -> None:
    """Show one project."""
    api = ctx.obj.api()
    found = who.project(api, project, who.account_id(api, account))
    if json:
        output.dump(found)
        return
    output.details(
        {
            "Name": found["name"],
            "Id": found["id"],
            "State": who.state(found),
            "Description": found["description"],
            "Account": found["domain_id"],
            "Part of": "" if found["parent_id"] == found["domain_id"] else found["parent_id"],
        }
    )


@app.command()
def add(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the new project.", show_default=False)],
    description: Annotated[str, typer.Option(help="What it is for.", show_default=False)] = "",
    parent: Annotated[str | None, typer.Option(metavar="ID_OR_NAME", help="Make it a sub-project of that one.")] = None,
    account: InAccount = None,
    json: Json = False,
) -> None:
    """Add a project."""
    api = ctx.obj.api()
    account_id = who.account_id(api, account)
    parent_id = who.project(api, parent, account_id)["id"] if parent else None
    order = {"name": name, "description": description, "domain_id": account_id, "parent_id": parent_id}
    made = api.call("POST", PATH, body={"project": order})["project"]
    if json:
        output.dump(made)
    else:
        output.say(f"Project {made['name']} is made: {made['id']}")


@app.command()
def disable(ctx: typer.Context, project: Name, account: InAccount = None) -> None:
    """Disable a project: nobody can work in it, its jobs go on."""
    api = ctx.obj.api()
    who.set_enabled(api, PATH, "project", who.project(api, project, who.account_id(api, account)), enabled=False)


@app.command()
def enable(ctx: typer.Context, project: Name, account: InAccount = None) -> None:
    """Enable a project again."""
    api = ctx.obj.api()
    who.set_enabled(api, PATH, "project", who.project(api, project, who.account_id(api, account)), enabled=True)


@app.command()
def delete(ctx: typer.Context, project: Name, account: InAccount = None, yes: output.Yes = False) -> None:
    """Delete a project that is disabled and has neither image servers nor images."""
    api = ctx.obj.api()
    found = who.project(api, project, who.account_id(api, account))
    output.confirm("This project will be deleted:", [f"{found['name']}  {found['id']}"], yes=yes)
    api.call("DELETE", f"{PATH}/{found['id']}")
    output.say(f"Project {found['name']} is deleted: {found['id']}")
