"""All routes of identity."""

from starlette.routing import BaseRoute

from darkroom.http import directory, projects, roles, tokens, users
from darkroom.http.operations import Operations
from darkroom.services.iam import Iam


def routes(operations: Operations, iam: Iam, region: str) -> list[BaseRoute]:
    return [
        *tokens.routes(operations, iam.sign_in, region),
        *directory.routes(operations, iam.directory),
        *users.routes(operations, iam.users),
        *projects.routes(operations, iam.projects),
        *roles.routes(operations, iam.roles, iam.directory),
    ]
