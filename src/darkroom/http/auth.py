"""Who is calling: a token in `X-Auth-Token`, or an AK/SK signature in `Authorization` (contract section 12)."""

from starlette.requests import HTTPConnection, Request

from darkroom.domain.accounts import AccessKey, Caller
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

    async def caller(self, request: HTTPConnection, *, streamed: bool = False) -> Caller:
        """Return the caller. Unless the body is `streamed`, it is read. Raises Unauthenticated or Forbidden."""
        authorization = request.headers.get("authorization", "")
        if signing.is_signature(authorization):
            key = await self._signed(request, authorization, streamed=streamed)
            return await self._key_caller(request, key)
        token = request.headers.get("x-auth-token")
        if not token:
            raise Unauthenticated
        _, caller = await self._identity.token(token)
        return caller

    async def caller_again(self, request: HTTPConnection) -> Caller:
        """Return who made a request that `caller` let in, as long as token or key are good; a signature may age.

        Raises Unauthenticated or Forbidden.
        """
        authorization = request.headers.get("authorization", "")
        if signing.is_signature(authorization):
            return await self._key_caller(request, await self._key(request, signing.parse_authorization(authorization)))
        return await self.caller(request)

    async def _key_caller(self, request: HTTPConnection, key: AccessKey) -> Caller:
        project_id = request.headers.get("x-project-id") or request.path_params.get("project_id", "")
        return await self._identity.key_caller(key, project_id, request.headers.get("x-domain-id", ""))

    async def _key(self, request: HTTPConnection, authorization: signing.Authorization) -> AccessKey:
        return await self._identity.key(authorization.access, request.headers.get("x-security-token", ""))

    async def _signed(self, request: HTTPConnection, value: str, *, streamed: bool) -> AccessKey:
        """Return the key by which a request is signed."""
        authorization = signing.parse_authorization(value)
        headers = signing.headers_of(request.scope["headers"])
        signing.check_date(signing.signed_date(headers), self._clock())
        key = await self._key(request, authorization)
        self._lockout.check(key.access)
        body = None if streamed else await _body(request)
        scope = request.scope
        raw_path = scope.get("raw_path") or scope["path"].encode()
        try:
            signing.verify(
                authorization,
                key.secret,
                scope.get("method", "GET"),  # a WebSocket begins as one (RFC 6455, section 4.1)
                raw_path,
                scope["query_string"],
                headers,
                signing.body_hashes(headers, body),
            )
        except Unauthenticated:
            self._lockout.failed(key.access)
            raise
        self._lockout.succeeded(key.access)
        scope["state"]["body"] = body
        return key


async def _body(request: HTTPConnection) -> bytes:
    return await whole_body(request) if isinstance(request, Request) else b""
