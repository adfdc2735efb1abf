"""Routes that manage roles and who has which, in Keystone's shapes. Beside the contract."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from darkroom.domain.accounts import Caller
from darkroom.domain.ids import ProjectId
from darkroom.domain.roles import EVERYWHERE, Role
from darkroom.errors import NotFound
from darkroom.http.answers import JSON
from darkroom.http.directory import DOMAIN
from darkroom.http.operations import Operations
from darkroom.http.parameters import ID_LIMIT, Text
from darkroom.http.requests import base_url, decode, path_id
from darkroom.services.directory import Directory
from darkroom.services.roles import Roles
from darkroom.wire import roles as wire
from darkroom.wire.directory import Link

ROLES = "/v3/roles"
USER = Text("user.id", ID_LIMIT, meaning="Whose roles; by default the caller's.")


def routes(operations: Operations, roles: Roles, directory: Directory) -> list[BaseRoute]:
    async def list_roles(caller: Caller, request: Request) -> Response:
        """List the roles there are, with what they allow."""
        found = await roles.all(caller, DOMAIN.read(request))
        return JSON(wire.Roles([wire.role(role) for role in found], Link(f"{base_url(request)}{ROLES}")))

    async def show_role(caller: Caller, request: Request) -> Response:
        """Show one role."""
        return JSON(wire.OneRole(wire.role(await roles.get(caller, path_id(request, "role"), DOMAIN.read(request)))))

    async def add_role(caller: Caller, request: Request, body: bytes) -> Response:
        """Add a role of the account's own."""
        wanted = decode(request, body, wire.AddRole, wire.IN_WORDS).role
        role = Role(name=wanted.name, actions=tuple(wanted.actions), description=wanted.description or "")
        return JSON(wire.OneRole(wire.role(await roles.add(caller, role, wanted.domain_id or ""))), 201)

    async def change_role(caller: Caller, request: Request, body: bytes) -> Response:
        """Change what a role of the account's own allows."""
        wanted = decode(request, body, wire.ChangeRole, wire.IN_WORDS).role
        name, account_id = path_id(request, "role"), wanted.domain_id or ""
        role = Role(name=name, actions=tuple(wanted.actions), description=wanted.description or "")
        return JSON(wire.OneRole(wire.role(await roles.change(caller, role, account_id))))

    async def remove_role(caller: Caller, request: Request) -> Response:
        """Delete a role of the account's own, and take it from all who have it."""
        await roles.remove(caller, path_id(request, "role"), DOMAIN.read(request))
        return Response(status_code=204)

    async def list_assignments(caller: Caller, request: Request) -> Response:
        """List which roles a user has, and where."""
        user = await directory.user(caller, USER.read(request) or caller.user_id)
        found = [wire.assignment(grant, user) for grant in await roles.grants(caller, user.id)]
        return JSON(wire.Assignments(found, Link(f"{base_url(request)}{request.url.path}")))

    async def grant_role(caller: Caller, request: Request) -> Response:
        """Give a user a role in a project."""
        project_id = ProjectId(path_id(request, "project"))
        await roles.grant(caller, path_id(request, "user"), path_id(request, "role"), project_id)
        return Response(status_code=204)

    async def take_role(caller: Caller, request: Request) -> Response:
        """Take a role in a project from a user."""
        project_id = ProjectId(path_id(request, "project"))
        await roles.take(caller, path_id(request, "user"), path_id(request, "role"), project_id)
        return Response(status_code=204)

    async def grant_role_everywhere(caller: Caller, request: Request) -> Response:
        """Give a user a role in all projects of its account."""
        await roles.grant(caller, await in_account(caller, request), path_id(request, "role"), EVERYWHERE)
        return Response(status_code=204)

    async def take_role_everywhere(caller: Caller, request: Request) -> Response:
        """Take a role in all projects of its account from a user."""
        await roles.take(caller, await in_account(caller, request), path_id(request, "role"), EVERYWHERE)
        return Response(status_code=204)

    async def in_account(caller: Caller, request: Request) -> str:
        """Return the user in the path, who must be of the account in the path."""
        user = await directory.user(caller, path_id(request, "user"))
        if user.account_id != path_id(request, "domain"):
            raise NotFound(f"The user {user.id} does not exist in that account.")
        return user.id

    one = f"{ROLES}/{{role}}"
    in_project = "/v3/projects/{project}/users/{user}/roles/{role}"
    everywhere = "/v3/domains/{domain}/users/{user}/roles/{role}"
    return [
        operations.read("GET", ROLES, list_roles, parameters=(DOMAIN,), answer=wire.Roles),
        operations.write("POST", ROLES, add_role, body=wire.AddRole, answer=wire.OneRole, status=201),
        operations.read("GET", one, show_role, parameters=(DOMAIN,), answer=wire.OneRole),
        operations.write("PATCH", one, change_role, body=wire.ChangeRole, answer=wire.OneRole),
        operations.read("DELETE", one, remove_role, parameters=(DOMAIN,), status=204),
        operations.read("GET", "/v3/role_assignments", list_assignments, parameters=(USER,), answer=wire.Assignments),
        operations.read("PUT", in_project, grant_role, status=204),
        operations.read("DELETE", in_project, take_role, status=204),
        operations.read("PUT", everywhere, grant_role_everywhere, status=204),
        operations.read("DELETE", everywhere, take_role_everywhere, status=204),
    ]
