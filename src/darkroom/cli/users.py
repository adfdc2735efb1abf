"""`darkroom users`: who may sign in, and what they may do."""

import secrets
from typing import Annotated, Any

import typer

from darkroom.cli import output, who
from darkroom.cli.client import Api
from darkroom.cli.output import Json
from darkroom.cli.who import InAccount

app = typer.Typer(no_args_is_help=True, help="Keep users: add, give and take roles, disable, delete.")
PATH = "/v3/users"

Name = Annotated[str, typer.Argument(metavar="ID_OR_NAME", help="Id or name of the user.", show_default=False)]
Role = Annotated[str, typer.Argument(metavar="ROLE", help="One of `darkroom roles list`.", show_default=False)]
InProject = Annotated[
    str | None, typer.Option("--project", metavar="ID_OR_NAME", help="In that project; default: in all of the account.")
]


@app.command("list")
def list_users(ctx: typer.Context, account: InAccount = None, json: Json = False) -> None:
    """List users."""
    api = ctx.obj.api()
    found = api.get(PATH, domain_id=who.account_id(api, account))["users"]
    if json:
        output.dump(found)
        return
    output.table(("NAME", "ID", "STATE"), [(each["name"], each["id"], who.state(each)) for each in found], fold="NAME")


@app.command()
def show(ctx: typer.Context, user: Name, account: InAccount = None, json: Json = False) -> None:
    """Show one user with its roles."""
    api = ctx.obj.api()
    found = who.user(api, user, who.account_id(api, account))
    grants = api.get("/v3/role_assignments", **{"user.id": found["id"]})["role_assignments"]
    if json:
        output.dump({**found, "role_assignments": grants})
        return
    projects = api.get("/v3/projects", domain_id=found["domain_id"])["projects"]
    names = {project["id"]: project["name"] for project in projects}
    output.details(
        {
            "Name": found["name"],
            "Id": found["id"],
            "State": who.state(found),
            "Account": found["domain_id"],
            "Roles": ", ".join(_role(grant, names) for grant in grants) or "none",
        }
    )


@app.command()
def add(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the new user.", show_default=False)],
    role: Annotated[list[str] | None, typer.Option("--role", help="Give it this role; may be repeated.")] = None,
    project: InProject = None,
    account: InAccount = None,
    json: Json = False,
) -> None:
    """Add a user with a password that is made up, and shown this once."""
    api = ctx.obj.api()
    account_id = who.account_id(api, account)
    project_id = who.project(api, project, account_id)["id"] if project else None
    for each in role or ():
        api.get(f"/v3/roles/{who.in_path(each)}", domain_id=account_id)  # a mistake should show before there is a user
    password = secrets.token_urlsafe(18)
    made = api.call("POST", PATH, body={"user": {"name": name, "password": password, "domain_id": account_id}})["user"]
    for each in role or ():
        api.call("PUT", _grant(made, each, project_id))
    if json:
        output.dump({**made, "password": password})
        return
    output.details({"User": made["name"], "Id": made["id"], "Account": made["domain_id"], "Password": password})
    output.note("The password is shown this once.")


@app.command()
def password(ctx: typer.Context, user: Name, account: InAccount = None) -> None:
    """Give a user a new password, shown this once. Ends all its tokens."""
    api = ctx.obj.api()
    found = who.user(api, user, who.account_id(api, account))
    made = secrets.token_urlsafe(18)
    api.call("PATCH", f"{PATH}/{found['id']}", body={"user": {"password": made}})
    output.details({"User": found["name"], "Password": made})


@app.command()
def grant(ctx: typer.Context, user: Name, role: Role, project: InProject = None, account: InAccount = None) -> None:
    """Give a user a role."""
    _change_grant(ctx.obj.api(), "PUT", user, role, project, account)


@app.command()
def revoke(ctx: typer.Context, user: Name, role: Role, project: InProject = None, account: InAccount = None) -> None:
    """Take a role from a user."""
    _change_grant(ctx.obj.api(), "DELETE", user, role, project, account)


@app.command()
def disable(ctx: typer.Context, user: Name, account: InAccount = None) -> None:
    """Disable a user: its tokens and keys are good no more."""
    api = ctx.obj.api()
    who.set_enabled(api, PATH, "user", who.user(api, user, who.account_id(api, account)), enabled=False)


@app.command()
def enable(ctx: typer.Context, user: Name, account: InAccount = None) -> None:
    """Enable a user again. Its keys are good again; it must sign in anew."""
    api = ctx.obj.api()
    who.set_enabled(api, PATH, "user", who.user(api, user, who.account_id(api, account)), enabled=True)


@app.command()
def delete(ctx: typer.Context, user: Name, account: InAccount = None, yes: output.Yes = False) -> None:
    """Delete a user with its keys and roles. What it has made stays."""
    api = ctx.obj.api()
    found = who.user(api, user, who.account_id(api, account))
    output.confirm("This user will be deleted with its keys:", [f"{found['name']}  {found['id']}"], yes=yes)
    api.call("DELETE", f"{PATH}/{found['id']}")
    output.say(f"User {found['name']} is deleted: {found['id']}")


def _change_grant(api: Api, method: str, user: str, role: str, project: str | None, account: str | None) -> None:
    account_id = who.account_id(api, account)
    found = who.user(api, user, account_id)
    place = who.project(api, project, account_id) if project else None
    api.call(method, _grant(found, role, place["id"] if place else None))
    where = f"in {place['name']}" if place else "in all projects"
    output.say(f"User {found['name']} {'has' if method == 'PUT' else 'no longer has'} the role {role} {where}.")


def _grant(user: dict[str, Any], role: str, project_id: str | None) -> str:
    place = f"projects/{project_id}" if project_id else f"domains/{user['domain_id']}"
    return f"/v3/{place}/users/{user['id']}/roles/{who.in_path(role)}"


def _role(grant: dict[str, Any], names: dict[str, str]) -> str:
    project = grant["scope"].get("project")
    return f"{grant['role']['name']} in {names.get(project['id'], project['id'])}" if project else grant["role"]["name"]
