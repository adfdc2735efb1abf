"""Who is calling: a token in `X-Auth-Token`, or an AK/SK signature in `Authorization` (contract section 12)."""

from starlette.requests import Request

from darkroom.domain.accounts import Caller
from darkroom.domain.times import Clock
from darkroom.errors import Unauthenticated
from darkroom.http.requests import whole_body
from darkroom.services.identity import Identity
from darkroom.services.lockout import Lockout
from darkroom.wire import signing


class Authenticator:
    """Finds out who makes a request. A signature, where there is one, decides (section 12)."""

    def __init__(self, identity: Identity, clock: Clock) -> None:
        self._identity, self._clock = identity, clock
        self._lockout = Lockout(clock)

    async def caller(self, request: Request, *, streamed: bool = False) -> Caller:
        """Return the caller. Unless the body is `streamed`, it is read. Raises Unauthenticated or Forbidden."""
        authorization = request.headers.get("authorization", "")
        if signing.is_signature(authorization):
            return await self._by_signature(request, authorization, streamed=streamed)
        token = request.headers.get("x-auth-token")
        if not token:
            raise Unauthenticated
        return await self._identity.token_caller(token)

    async def _by_signature(self, request: Request, value: str, *, streamed: bool) -> Caller:
        authorization = signing.parse_authorization(value)
        headers = request.headers.raw
        signing.check_date(signing.signed_date(headers), self._clock())
        security_token = request.headers.get("x-security-token", "")
        key = await self._identity.key(authorization.access, security_token)
        self._lockout.check(key.access)
        body = None if streamed else await whole_body(request)
        scope = request.scope
        raw_path = scope.get("raw_path") or scope["path"].encode()
        try:
            signing.verify(
                authorization,
                key.secret,
                request.method,
                raw_path,
                scope["query_string"],
                headers,
                signing.body_hashes(headers, body),
            )
        except Unauthenticated:
            self._lockout.failed(key.access)
            raise
        self._lockout.succeeded(key.access)
        request.state.body = body
        project_id = request.headers.get("x-project-id") or request.path_params.get("project_id", "")
        return await self._identity.key_caller(key, project_id, request.headers.get("x-domain-id", ""))
