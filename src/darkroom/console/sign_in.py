"""Pages of signing in and out, of choosing a project, and the switches for language and colours."""

from typing import Final

from starlette.responses import Response
from starlette.routing import BaseRoute

from darkroom.console import session
from darkroom.console.forms import Values, first
from darkroom.console.i18n import COOKIE, LANGUAGES
from darkroom.console.pages import CHOOSE_PROJECT, SIGN_IN, THEME, THEMES, Guest, Pages, Visit, to, within_console
from darkroom.console.session import PATH, Sessions
from darkroom.errors import Forbidden, WrongPassword
from darkroom.services.sign_in import Who

#: Seconds for which a browser remembers language and colours: a year.
REMEMBERED: Final = 365 * 24 * 60 * 60
_SIGN_OUT: Final = f"{PATH}/sign-out"


def routes(make: Pages, sessions: Sessions) -> list[BaseRoute]:
    async def show(guest: Guest, _: Values) -> Response:
        following = within_console(guest.request.query_params.get("next", ""))
        return guest.page("sign-in.html", following=following, values={}, failed=False)

    async def sign_in(guest: Guest, form: Values) -> Response:
        following = within_console(first(form, "next"))
        who = Who(account_name=first(form, "account").strip(), user_name=first(form, "user").strip())
        try:
            text = await sessions.begin(who, first(form, "password"))
        except WrongPassword:
            return guest.page("sign-in.html", 401, following=following, values=form, failed=True)
        answer = to(following)
        session.remember(guest.request, answer, text)
        return answer

    async def sign_out(visit: Visit, _: Values) -> Response:
        await sessions.end(visit.session)
        answer = to(SIGN_IN)
        session.forget(answer)
        return answer

    async def list_projects(visit: Visit) -> Response:
        return visit.page("project.html", projects=await sessions.projects(visit.session))

    async def choose_project(visit: Visit, form: Values) -> Response:
        project_id = first(form, "project")
        if not project_id:
            raise Forbidden("Choose a project.")
        answer = to(PATH)
        session.remember(visit.request, answer, await sessions.choose(visit.session.text, project_id))
        return answer

    async def prefer(guest: Guest, form: Values) -> Response:
        answer = to(within_console(first(form, "back")))
        for cookie, value, possible in (
            (COOKIE, first(form, "language"), LANGUAGES),
            (THEME, first(form, "theme"), THEMES),
        ):
            if value in possible:
                secure = guest.request.url.scheme == "https"
                answer.set_cookie(cookie, value, path=PATH, max_age=REMEMBERED, secure=secure, samesite="lax")
        return answer

    async def first_page(_: Visit) -> Response:
        return to(f"{PATH}/jobs")

    return [
        make.open("GET", SIGN_IN, show),
        make.open("POST", SIGN_IN, sign_in),
        make.open("POST", f"{PATH}/preferences", prefer),
        make.write(_SIGN_OUT, sign_out),
        make.read(CHOOSE_PROJECT, list_projects, needs_project=False),
        make.write(CHOOSE_PROJECT, choose_project),
        make.read(PATH, first_page),
        make.read(f"{PATH}/", first_page),
    ]
