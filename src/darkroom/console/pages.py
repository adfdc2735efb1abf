"""A page: a route that knows who asks and in which language, and answers with HTML, errors included."""

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote, urlsplit

import structlog
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from darkroom.console import csrf
from darkroom.console.forms import Values, first, read
from darkroom.console.headers import secure
from darkroom.console.i18n import N_, language_of
from darkroom.console.session import PATH, Session, Sessions, forget
from darkroom.console.views import Views
from darkroom.domain.accounts import Caller
from darkroom.domain.ids import ProjectId
from darkroom.errors import DarkroomError, Fault, Refused, Unauthenticated
from darkroom.http.requests import path_id, whole_body
from darkroom.http.throttle import Throttle

log = structlog.get_logger(__name__)

SIGN_IN = f"{PATH}/sign-in"
CHOOSE_PROJECT = f"{PATH}/project"
NO_PAGE = N_("There is no such page.")
THEME = "darkroom_theme"
THEMES = ("auto", "light", "dark")


class Guest:
    """Somebody who asks, signed in or not: in which language and in which colours."""

    def __init__(self, request: Request, views: Views, session: Session | None = None) -> None:
        self.request, self._views, self._session = request, views, session
        self.language = language_of(request)
        theme = request.cookies.get(THEME, "")
        self.theme = theme if theme in THEMES else "auto"

    def page(self, template: str, status: int = 200, /, **context: Any) -> Response:
        """Return a whole page."""
        html = self._views.render(self.language, template, self._known(context))
        return HTMLResponse(html, status)

    def fragment(self, template: str, block: str, **context: Any) -> str:
        """Return one block of a page."""
        return self._views.fragment(self.language, template, block, self._known(context))

    def error(self, error: DarkroomError) -> Response:
        """Return the page that tells what is wrong and what can be done."""
        return self.page("error.html", error.status, error=error, request_id=self.request.state.request_id)

    def to_sign_in(self) -> Response:
        """Send a browser to the sign-in page and back; a part of a page tells its page to go there."""
        request = self.request
        if "hx-request" in request.headers:
            here = within_console(request.headers.get("hx-current-url", ""))
            answer = Response(status_code=401, headers={"hx-redirect": f"{SIGN_IN}?next={quote(here)}"})
        else:
            here = str(request.url) if request.method == "GET" else request.headers.get("referer", "")
            answer = to(f"{SIGN_IN}?next={quote(within_console(here))}")
        forget(answer)
        return answer

    def _known(self, context: dict[str, Any]) -> dict[str, Any]:
        return {
            "language": self.language,
            "theme": self.theme,
            "here": within_console(str(self.request.url)),
            "session": self._session,
            **context,
        }


class Visit(Guest):
    """A signed-in user who asks."""

    def __init__(self, request: Request, views: Views, session: Session) -> None:
        super().__init__(request, views, session)
        self.session = session

    def renew(self, session: Session) -> None:
        """Go on as what the session is now."""
        self.session = self._session = session

    @property
    def caller(self) -> Caller:
        return self.session.caller

    @property
    def project_id(self) -> ProjectId:
        return self.session.caller.project_id

    def id_of(self, name: str) -> str:
        """Return an id from the path."""
        return path_id(self.request, name)


Opener = Callable[[Guest, Values], Awaitable[Response]]
Reader = Callable[[Visit], Awaitable[Response]]
Writer = Callable[[Visit, Values], Awaitable[Response]]


class Pages:
    """Makes routes of handlers."""

    def __init__(self, sessions: Sessions, throttle: Throttle, views: Views) -> None:
        self._sessions, self._throttle, self._views = sessions, throttle, views

    def open(self, method: str, path: str, handler: Opener) -> Route:
        """Return a route for everybody, signed in or not."""

        async def work(request: Request) -> Response:
            guest = Guest(request, self._views)
            if method == "GET":
                return await handler(guest, {})
            csrf.check_origin(request.headers)
            return await handler(guest, read(await whole_body(request)))

        return self._route(method, path, work)

    def read(self, path: str, handler: Reader, *, needs_project: bool = True) -> Route:
        """Return a route that only shows something."""

        async def work(request: Request) -> Response:
            visit = await self._visit(request)
            return await handler(visit) if visit.project_id or not needs_project else to(CHOOSE_PROJECT)

        return self._route("GET", path, work)

    def write(self, path: str, handler: Writer) -> Route:
        """Return a route that takes a form and changes something."""

        async def work(request: Request) -> Response:
            csrf.check_origin(request.headers)
            visit = await self._visit(request)
            values = read(await whole_body(request))
            csrf.check_token(visit.session.text, request.headers.get(csrf.HEADER) or first(values, csrf.FIELD))
            return await handler(visit, values)

        return self._route("POST", path, work)

    async def _visit(self, request: Request) -> Visit:
        session = await self._sessions.of(request)
        self._throttle.check(session.caller.user_id, request.method)
        return Visit(request, self._views, session)

    def _route(self, method: str, path: str, work: Callable[[Request], Awaitable[Response]]) -> Route:
        async def endpoint(request: Request) -> Response:
            answer = await self._answer(request, work)
            secure(MutableHeaders(raw=answer.raw_headers))
            return answer

        return Route(path, endpoint, methods=[method])

    async def _answer(self, request: Request, work: Callable[[Request], Awaitable[Response]]) -> Response:
        try:
            return await work(request)
        except Unauthenticated:
            return Guest(request, self._views).to_sign_in()
        except Refused as error:
            return (await self._whoever(request)).error(error)
        except ClientDisconnect:
            raise  # nobody is there to see a page
        except Exception as error:
            log.exception("page failed", path=request.url.path)
            return (await self._whoever(request)).error(error if isinstance(error, Fault) else Fault())

    async def _whoever(self, request: Request) -> Guest:
        """Return who asks, even if they are not signed in."""
        try:
            return Visit(request, self._views, await self._sessions.of(request))
        except DarkroomError:
            return Guest(request, self._views)


def to(path: str) -> Response:
    """Send a browser to another page, to be read."""
    return RedirectResponse(path, 303)


def within_console(url: str) -> str:
    """Return the path and query of a URL if it is one of the console's pages, else the console's first page."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return PATH
    path = parts.path
    if not path.startswith(f"{PATH}/") or "\\" in path or path.startswith(SIGN_IN):
        return PATH
    return f"{path}?{parts.query}" if parts.query else path
