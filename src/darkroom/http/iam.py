"""Sign-in: `POST /v3/auth/tokens` (contract section 12.3)."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from darkroom.errors import InvalidParameter
from darkroom.http.answers import JSON
from darkroom.http.requests import decode, whole_body
from darkroom.services.identity import Identity, Scope
from darkroom.wire import iam as wire


def routes(identity: Identity, region: str) -> list[BaseRoute]:
    async def create_token(request: Request) -> Response:
        """Sign in by password, for a project; the token is in the header `X-Subject-Token`."""
        wanted = decode(request, await whole_body(request), wire.TokenRequest, {}).auth
        if wanted.identity.methods != ["password"]:
            raise InvalidParameter("auth.identity.methods", "must be password alone")
        user, project = wanted.identity.password.user, wanted.scope.project
        domain, project_domain = user.domain or wire.DomainRef(), project.domain or wire.DomainRef()
        if not user.id and not (user.name and (domain.id or domain.name)):
            raise InvalidParameter("auth.identity.password.user", "needs an id, or a name with its domain")
        if not project.id and not project.name:
            raise InvalidParameter("auth.scope.project", "needs an id or a name")
        text, token = await identity.sign_in(
            user_id=user.id,
            user_name=user.name,
            account_id=domain.id,
            account_name=domain.name,
            password=user.password,
            scope=Scope(
                project_id=project.id,
                project_name=project.name,
                account_id=project_domain.id,
                account_name=project_domain.name,
            ),
        )
        endpoint = f"{request.url.scheme}://{request.url.netloc}"
        catalog = [] if request.query_params.get("nocatalog") else wire.catalog(endpoint, region)
        return JSON(wire.token(token, catalog), 201, headers={"x-subject-token": text})

    return [Route("/v3/auth/tokens", create_token, methods=["POST"])]
