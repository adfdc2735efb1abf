"""Routes of tokens and temporary keys (contract sections 12.3 and 12.4)."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from darkroom.domain.accounts import Caller
from darkroom.errors import InvalidParameter, Unauthenticated
from darkroom.http.answers import JSON
from darkroom.http.operations import Operation, Operations, describe
from darkroom.http.parameters import Text
from darkroom.http.requests import base_url, decode, whole_body
from darkroom.services.sign_in import Scope, SignIn, Who
from darkroom.wire import credentials as keys_wire
from darkroom.wire import iam as wire

TOKENS = "/v3/auth/tokens"
SUBJECT = "x-subject-token"
NO_CATALOG = Text("nocatalog", 255, meaning="Leaves the catalogue out, whatever it is.")


def routes(operations: Operations, sign_in: SignIn, region: str) -> list[BaseRoute]:
    def catalog(request: Request) -> list[wire.Service]:
        return [] if NO_CATALOG.read(request) else wire.catalog(base_url(request), region)

    async def create_token(request: Request) -> Response:
        """CreateToken: sign in by password or token; the token is in the header `X-Subject-Token`."""
        wanted = decode(request, await whole_body(request), wire.TokenRequest, wire.IN_WORDS).auth
        identity = wanted.identity
        method = wire.method_of(identity.methods, ("password", "token"))
        scope = _scope(wire.checked_scope(wanted.scope))
        offered = catalog(request)
        if method == "token":
            if identity.token is None:
                raise InvalidParameter("auth.identity.token", "it is mandatory")
            text, token = await sign_in.by_token(identity.token.id, scope)
        else:
            if identity.password is None:
                raise InvalidParameter("auth.identity.password", "it is mandatory")
            user = identity.password.user
            text, token = await sign_in.by_password(_who(user), user.password, scope)
        return JSON(wire.token(token, offered), 201, headers={SUBJECT: text})

    async def show_token(caller: Caller, request: Request) -> Response:
        """ValidateToken: tell whether the token in `X-Subject-Token` is valid, and what it says."""
        subject = _subject(request)
        token = await sign_in.examine(caller, subject)
        return JSON(wire.token(token, catalog(request)), headers={SUBJECT: subject})

    async def revoke_token(caller: Caller, request: Request) -> Response:
        """Revoke the token in `X-Subject-Token`, and those that were got by it."""
        await sign_in.revoke(caller, _subject(request))
        return Response(status_code=204)

    async def create_temporary_key(request: Request) -> Response:
        """CreateTemporaryAccessKey: get a temporary key for a token."""
        wanted = decode(request, await whole_body(request), keys_wire.TemporaryKeyRequest, {}).auth.identity
        wire.method_of(wanted.methods, ("token",))
        source = wanted.token or keys_wire.TokenSource()
        token = source.id or request.headers.get("x-auth-token")
        if not token:
            raise Unauthenticated
        text, key = await sign_in.temporary_key(token, source.duration_seconds or keys_wire.SHORTEST)
        return JSON(keys_wire.temporary_key(key, text), 201)

    return [
        Operation(
            "POST",
            TOKENS,
            create_token,
            describe(
                create_token,
                parameters=(NO_CATALOG,),
                body=wire.TokenRequest,
                answer=wire.TokenAnswer,
                status=201,
                signed_in=False,
            ),
        ),
        operations.read("GET", TOKENS, show_token, parameters=(NO_CATALOG,), answer=wire.TokenAnswer),
        operations.read("DELETE", TOKENS, revoke_token, status=204),
        Operation(
            "POST",
            "/v3.0/OS-CREDENTIAL/securitytokens",
            create_temporary_key,
            describe(
                create_temporary_key,
                body=keys_wire.TemporaryKeyRequest,
                answer=keys_wire.TemporaryKeyAnswer,
                status=201,
                signed_in=False,
            ),
        ),
    ]


def _who(user: wire.UserRef) -> Who:
    domain = user.domain or wire.DomainRef()
    if not user.id and not (user.name and (domain.id or domain.name)):
        raise InvalidParameter("auth.identity.password.user", "needs an id, or a name with its domain")
    return Who(
        user_id=user.id or "",
        user_name=user.name or "",
        account_id=domain.id or "",
        account_name=domain.name or "",
    )


def _scope(scope: wire.ScopeRef) -> Scope:
    project = scope.project or wire.ProjectRef()
    domain = scope.domain or project.domain or wire.DomainRef()
    return Scope(
        project_id=project.id or "",
        project_name=project.name or "",
        account_id=domain.id or "",
        account_name=domain.name or "",
    )


def _subject(request: Request) -> str:
    subject = request.headers.get(SUBJECT)
    if not subject:
        raise InvalidParameter("X-Subject-Token", "it is mandatory")
    return subject
