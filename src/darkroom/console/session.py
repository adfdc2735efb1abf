"""Who is signed in to the console: a cookie that holds a token of the API, good for as long and ended by the same.

A user of one project is put there at once. One of several chooses; until then the token is good for the account alone.
"""

from typing import Final

import msgspec
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from darkroom.console.csrf import token_of
from darkroom.domain.accounts import Caller, Project, Token
from darkroom.errors import Unauthenticated
from darkroom.services.directory import ProjectFilter
from darkroom.services.iam import Iam
from darkroom.services.sign_in import Scope, Who

COOKIE: Final = "darkroom_session"
PATH: Final = "/console"


class Session(msgspec.Struct, frozen=True):
    """A signed-in user: the token as text, what it says, and who carries it."""

    text: str
    token: Token
    caller: Caller

    @property
    def csrf(self) -> str:
        return token_of(self.text)


class Sessions:
    """Begins sessions, finds them by the cookie, and ends them."""

    def __init__(self, iam: Iam) -> None:
        self._iam = iam

    async def begin(self, who: Who, password: str) -> str:
        """Sign in; return the token's text. Raises WrongPassword."""
        text, _ = await self._iam.sign_in.by_password(who, password, Scope())
        projects = await self.projects(await self.read(text))
        return await self.choose(text, projects[0].id) if len(projects) == 1 else text

    async def choose(self, text: str, project_id: str) -> str:
        """Return the text of a token for a project, which ends when the first one does. Raises Forbidden."""
        return (await self._iam.sign_in.by_token(text, Scope(project_id=project_id)))[0]

    async def of(self, request: HTTPConnection) -> Session:
        """Return the session of a request. Raises Unauthenticated."""
        text = request.cookies.get(COOKIE)
        if not text:
            raise Unauthenticated
        return await self.read(text)

    async def read(self, text: str) -> Session:
        """Return the session that a token stands for. Raises Unauthenticated if it is good no more."""
        return Session(text, *await self._iam.identity.token(text))

    async def end(self, session: Session) -> None:
        """Make the session's token good no more, and those that it came from or that came of it."""
        await self._iam.sign_in.end(session.text)

    async def projects(self, session: Session) -> list[Project]:
        """Return the projects that the user may work in, by name."""
        return await self._iam.directory.projects(session.caller, ProjectFilter(enabled=True))


def remember(request: Request, response: Response, text: str) -> None:
    """Put a session into the browser. It ends with the browser, and no later than the token."""
    response.set_cookie(COOKIE, text, path=PATH, httponly=True, samesite="lax", secure=request.url.scheme == "https")


def forget(response: Response) -> None:
    response.delete_cookie(COOKIE, path=PATH)
