"""Identity: says who a caller is, by the token or the access key of a request (contract section 12)."""

from darkroom.domain.accounts import AccessKey, Caller, Token
from darkroom.domain.ids import ProjectId
from darkroom.domain.roles import EVERYWHERE
from darkroom.errors import Forbidden, TokenInvalid, Unauthenticated
from darkroom.services.keys import TemporaryKeys
from darkroom.services.register import Register
from darkroom.services.tokens import Tokens


class Identity:
    """Knows the callers. What they may do is what the register says at the time of the request."""

    def __init__(self, register: Register, tokens: Tokens, temporary_keys: TemporaryKeys) -> None:
        self._register, self._tokens, self._temporary_keys = register, tokens, temporary_keys

    async def token(self, text: str) -> tuple[Token, Caller]:
        """Return what a token says and who carries it. Raises TokenInvalid.

        The caller's roles are those that the token was issued with, as far as the user still has them.
        """
        token = self._tokens.read(text)
        standing = await self._register.knowing(token.user_id, token.project_id or EVERYWHERE)
        carrier = standing.carrier(token)
        if carrier is None:
            raise TokenInvalid("token is good no more: it was revoked, or its user or project is disabled")
        return token, carrier

    async def key(self, access: str, security_token: str = "") -> AccessKey:
        """Return an enabled key; a temporary one comes with its security token. Raises Unauthenticated."""
        key = await self._register.key(access)
        if key is None and security_token:
            return self._temporary_keys.read(access, security_token)
        if key is None or not key.enabled:
            raise Unauthenticated(f"ak {access} not exist")
        return key

    async def key_caller(self, key: AccessKey, project_id: str, account_id: str = "") -> Caller:
        """Return who has signed with a key: in that project, or without one in that account or the user's own.

        Raises Unauthenticated or Forbidden.
        """
        standing = await self._register.knowing(key.user_id, ProjectId(project_id))
        user = standing.active(key.user_id)
        if user is None or (key.temporary and key.created_at < user.tokens_from):
            raise Unauthenticated(f"ak {key.access} not exist")
        if project_id and not standing.usable(user, ProjectId(project_id)):
            raise Forbidden(f"You have no access to the project {project_id}.")
        if not project_id and account_id not in ("", user.account_id):
            raise Forbidden(f"You have no access to the account {account_id}.")
        return standing.caller(user, ProjectId(project_id))
