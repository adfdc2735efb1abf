"""Routes that manage projects and accounts, in Keystone's shapes. Beside the contract."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from darkroom.domain.accounts import Caller
from darkroom.http.answers import JSON
from darkroom.http.operations import Operations
from darkroom.http.requests import base_url, decode, path_id
from darkroom.services.projects import Projects
from darkroom.wire import directory as wire


def routes(operations: Operations, projects: Projects) -> list[BaseRoute]:
    async def add_project(caller: Caller, request: Request, body: bytes) -> Response:
        """Add a project."""
        wanted = decode(request, body, wire.AddProject, wire.IN_WORDS).project
        added = await projects.add(
            caller,
            name=wanted.name,
            account_id=wanted.domain_id or "",
            parent_id=wanted.parent_id or "",
            description=wanted.description or "",
        )
        return JSON(wire.OneProject(wire.project(added, base_url(request))), 201)

    async def change_project(caller: Caller, request: Request, body: bytes) -> Response:
        """Change a project's name or description, or disable or enable it."""
        wanted = decode(request, body, wire.ChangeProject, wire.IN_WORDS).project
        changed = await projects.change(caller, path_id(request, "project"), wire.changes(wanted))
        return JSON(wire.OneProject(wire.project(changed, base_url(request))))

    async def remove_project(caller: Caller, request: Request) -> Response:
        """Delete a project that is disabled and has neither image servers nor images."""
        await projects.remove(caller, path_id(request, "project"))
        return Response(status_code=204)

    async def add_account(caller: Caller, request: Request, body: bytes) -> Response:
        """Add an account with a project for the region."""
        wanted = decode(request, body, wire.AddDomain, wire.IN_WORDS).domain
        added = await projects.add_account(caller, name=wanted.name)
        return JSON(wire.OneDomain(wire.account(added, base_url(request))), 201)

    async def change_account(caller: Caller, request: Request, body: bytes) -> Response:
        """Change an account's name, or disable or enable it."""
        wanted = decode(request, body, wire.ChangeDomain, wire.IN_WORDS).domain
        changed = await projects.change_account(caller, path_id(request, "domain"), wire.changes(wanted))
        return JSON(wire.OneDomain(wire.account(changed, base_url(request))))

    async def remove_account(caller: Caller, request: Request) -> Response:
        """Delete an account that is disabled and has no projects, with its users."""
        await projects.remove_account(caller, path_id(request, "domain"))
        return Response(status_code=204)

    one_project, one_domain = "/v3/projects/{project}", "/v3/domains/{domain}"
    return [
        operations.write("POST", "/v3/projects", add_project, body=wire.AddProject, answer=wire.OneProject, status=201),
        operations.write("PATCH", one_project, change_project, body=wire.ChangeProject, answer=wire.OneProject),
        operations.read("DELETE", one_project, remove_project, status=204),
        operations.write("POST", "/v3/domains", add_account, body=wire.AddDomain, answer=wire.OneDomain, status=201),
        operations.write("PATCH", one_domain, change_account, body=wire.ChangeDomain, answer=wire.OneDomain),
        operations.read("DELETE", one_domain, remove_account, status=204),
    ]
