"""Routes that look up accounts, projects and users, and what versions there are (contract sections 12.2 and 12.3)."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from darkroom.domain.accounts import Caller
from darkroom.http.answers import JSON
from darkroom.http.operations import Operations
from darkroom.http.parameters import ID_LIMIT, Flag, Number, Text
from darkroom.http.requests import base_url, path_id
from darkroom.services.directory import Directory, ProjectFilter
from darkroom.wire import directory as wire

NAME = Text("name", 255, meaning="The whole name.")
DOMAIN = Text("domain_id", ID_LIMIT, meaning="The account; by default the caller's.")
PARENT = Text("parent_id", ID_LIMIT, meaning="The account, or the project that this is a sub-project of.")
ENABLED = Flag("enabled")
PAGE = Number("page", default=1, least=1, most=2**31 - 1)
PER_PAGE = Number("per_page", default=5000, least=1, most=5000)


def routes(operations: Operations, directory: Directory) -> list[BaseRoute]:
    async def list_projects(caller: Caller, request: Request) -> Response:
        """ListProjects: those that the caller may know of."""
        matching = ProjectFilter(
            name=NAME.read(request),
            account_id=DOMAIN.read(request),
            parent_id=PARENT.read(request),
            enabled=ENABLED.read(request),
        )
        size = PER_PAGE.read(request)
        start = (PAGE.read(request) - 1) * size
        found = await directory.projects(caller, matching)
        return JSON(wire.projects(found[start : start + size], base_url(request), _own(request)))

    async def list_usable_projects(caller: Caller, request: Request) -> Response:
        """List the projects that the caller may work in."""
        found = await directory.projects(caller, ProjectFilter(enabled=True))
        return JSON(wire.projects(found, base_url(request), _own(request)))

    async def show_project(caller: Caller, request: Request) -> Response:
        """Show one project."""
        found = await directory.project(caller, path_id(request, "project"))
        return JSON(wire.OneProject(wire.project(found, base_url(request))))

    async def list_usable_accounts(caller: Caller, request: Request) -> Response:
        """ListAuthDomains: the accounts that the caller may work in, which is its own."""
        found = [await directory.own_account(caller)]
        return JSON(wire.accounts(found, base_url(request), _own(request)))

    async def list_users(caller: Caller, request: Request) -> Response:
        """List users: an administrator's all, of others themselves."""
        found = await directory.users(caller, name=NAME.read(request), account_id=DOMAIN.read(request))
        return JSON(wire.users(found, base_url(request), _own(request)))

    async def show_user(caller: Caller, request: Request) -> Response:
        """Show one user."""
        found = await directory.user(caller, path_id(request, "user"))
        return JSON(wire.OneUser(wire.user(found, base_url(request))))

    async def list_accounts(caller: Caller, request: Request) -> Response:
        """List accounts: the caller's, or all for one who administers the main one."""
        found = await directory.accounts(caller, NAME.read(request))
        return JSON(wire.accounts(found, base_url(request), _own(request)))

    async def show_account(caller: Caller, request: Request) -> Response:
        """Show one account."""
        found = await directory.account(caller, path_id(request, "domain"))
        return JSON(wire.OneDomain(wire.account(found, base_url(request))))

    filters = (NAME, DOMAIN, PARENT, ENABLED, PAGE, PER_PAGE)
    return [
        operations.read("GET", "/v3/projects", list_projects, parameters=filters, answer=wire.Projects),
        operations.read("GET", "/v3/auth/projects", list_usable_projects, answer=wire.Projects),
        operations.read("GET", "/v3/projects/{project}", show_project, answer=wire.OneProject),
        operations.read("GET", "/v3/auth/domains", list_usable_accounts, answer=wire.Domains),
        operations.read("GET", "/v3/users", list_users, parameters=(NAME, DOMAIN), answer=wire.Users),
        operations.read("GET", "/v3/users/{user}", show_user, answer=wire.OneUser),
        operations.read("GET", "/v3/domains", list_accounts, parameters=(NAME,), answer=wire.Domains),
        operations.read("GET", "/v3/domains/{domain}", show_account, answer=wire.OneDomain),
        Route("/", _versions, methods=["GET"]),
        Route("/v3", _version, methods=["GET"]),
        Route("/v3/", _version, methods=["GET"]),
    ]


async def _versions(request: Request) -> Response:
    """Answer as Keystone does on its root: there is something to choose from. Needs no sign-in."""
    return JSON({"versions": {"values": [wire.version(base_url(request))]}}, 300)


async def _version(request: Request) -> Response:
    return JSON({"version": wire.version(base_url(request))})


def _own(request: Request) -> str:
    return f"{base_url(request)}{request.url.path}"
