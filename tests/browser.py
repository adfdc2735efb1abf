"""A browser without pictures: it keeps cookies, sends forms with their hidden fields, and reads pages as text."""

import html
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2

_HIDDEN = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)">')
_TAG = re.compile(r"<[^>]*>")


class Browser:
    """Somebody at the console. Redirects are shown, not followed."""

    def __init__(self, endpoint: str, **headers: str) -> None:
        self.client = httpx2.Client(
            base_url=endpoint, timeout=60, trust_env=False, headers={"Accept": "text/html", **headers}
        )

    def get(self, path: str, **headers: str) -> httpx2.Response:
        return self.client.get(path, headers=headers)

    def page(self, path: str) -> str:
        """Return a page that is there."""
        answer = self.get(path)
        assert answer.status_code == 200, (answer.status_code, answer.headers.get("location"))
        return answer.text

    def text(self, path: str) -> str:
        """Return what a page says."""
        return words(self.page(path))

    def post(self, path: str, fields: Any = None, **headers: str) -> httpx2.Response:
        """Send fields as they are."""
        return self.client.post(path, data=fields or {}, headers=headers)

    def submit(self, path: str, fields: Any = None, *, form: str = "") -> httpx2.Response:
        """Send the form of a page, by default that of the path, with its hidden fields."""
        return self.post(path, {**hidden(self.page(form or path)), **(fields or {})})

    def sign_in(self, account: str, user: str, password: str, **more: str) -> httpx2.Response:
        return self.post("/console/sign-in", {"account": account, "user": user, "password": password, **more})

    @property
    def session(self) -> str:
        return self.client.cookies.get("darkroom_session") or ""


@contextmanager
def browser(endpoint: str, **headers: str) -> Iterator[Browser]:
    """Open a browser, and close it."""
    opened = Browser(endpoint, **headers)
    with opened.client:
        yield opened


def hidden(page: str) -> dict[str, str]:
    """Return the hidden fields of a page's main part."""
    main = page.partition("<main")[2].partition("</main>")[0]
    return {name: html.unescape(value) for name, value in _HIDDEN.findall(main)}


def words(page: str) -> str:
    """Return what a page says, without its tags."""
    return " ".join(html.unescape(_TAG.sub(" ", page.partition("<body>")[2])).split())
